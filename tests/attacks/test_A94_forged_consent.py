"""A94: nobody allows an app but the person who reads the page: no other site's form, no frame, no other session's form."""

import pytest

from oauth_app import App, Consenting, Television
from world import World


@pytest.fixture
def asked(world: World) -> Consenting:
    """Alice's browser on the page that asks."""
    world.register()
    browser = App(world).opened()
    browser.sign_in()
    return browser


def test_the_page_cannot_be_framed_and_sends_its_form_to_us_and_the_app_alone(asked: Consenting) -> None:
    assert asked.policy("frame-ancestors") == "'none'"
    assert asked.page.headers["X-Frame-Options"] == "DENY"
    assert asked.policy("form-action") == "'self' https://app.example.com"
    assert asked.policy("script-src") == "'self'"


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://app.example.com"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_another_sites_form_allows_nothing(asked: Consenting, headers: dict[str, str]) -> None:
    fields = {"form_token": asked.page.fields["form_token"], "decision": "allow"}
    asked.send(fields, **headers)
    assert (asked.left, asked.page.status) == ("", 403)


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_form_without_our_token_allows_nothing(asked: Consenting, token: str) -> None:
    asked.send({"form_token": token, "decision": "allow"})
    assert (asked.left, asked.page.status) == ("", 403)


def test_the_form_of_another_session_allows_nothing(world: World, asked: Consenting) -> None:
    world.register("mallory")
    other = App(world).opened()
    other.sign_in("mallory")
    asked.send({"form_token": other.page.fields["form_token"], "decision": "allow"})
    assert (asked.left, asked.page.status) == ("", 403)


def test_opening_the_address_allows_nothing(world: World, asked: Consenting) -> None:
    app = App(world)
    asked.open(f"{app.url()}&decision=allow")
    assert asked.left == ""
    assert "Allow" in asked.page.buttons


def test_neither_silence_nor_another_word_is_consent(asked: Consenting) -> None:
    path = asked.path
    for decision in ("", "yes", "Allow", "deny"):
        asked.submit({"form_token": asked.page.fields["form_token"], "decision": decision}, path)
        assert asked.told()["error"] == "access_denied"


def test_a_name_cannot_pass_for_something_else(world: World) -> None:
    world.register()
    app = App(world, client_name="\u202eofficial <b>https://example.org</b> 'secure'" + "x" * 200)
    browser = app.opened()
    browser.sign_in()
    assert "\u202e" not in browser.page.html
    assert "<b>" not in browser.page.html
    assert "https://example.org" not in browser.page.text
    assert "app.example.com" in browser.page.strong


def test_the_same_holds_for_the_page_of_devices(world: World) -> None:
    world.register()
    device = Television(world)
    begun = device.begin()
    browser = Consenting(world, "/account/link")
    browser.sign_in()
    browser.press("Continue", code=begun["user_code"])
    assert browser.policy("frame-ancestors") == "'none'"
    fields = {"form_token": browser.page.fields["form_token"], "code": begun["user_code"], "decision": "allow"}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert browser.submit(fields, "/account/link/decide", **headers).status == 403
    assert browser.submit({**fields, "form_token": "x"}, "/account/link/decide").status == 403
    assert device.error(begun["device_code"]) == "authorization_pending"
