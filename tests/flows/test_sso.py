"""An app of the old login signs in through the pages of the account: `m.login.sso`."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx
import pytest

from oauth_app import App, Consenting, whoami
from threepid.clock import MINUTE
from world import BASE, PASSWORD, World

C = "/_matrix/client/v3"
APP = "https://app.example.com/welcome"


def asked(url: str = APP, **more: str) -> str:
    """The address to which the app sends the browser."""
    return f"{C}/login/sso/redirect?{urlencode({'redirectUrl': url, **more})}"


def opened(world: World, url: str = APP, **more: str) -> Consenting:
    """A browser that the app has sent here."""
    answer = world.get(asked(url, **more))
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(f"{BASE}/account/sso?")
    return Consenting(world, answer.headers["location"].removeprefix(BASE))


def token_of(browser: Consenting) -> str:
    assert browser.left, browser.page.html
    return dict(parse_qsl(urlsplit(browser.left).query))["loginToken"]


def log_in(world: World, token: str, **more: Any) -> httpx.Response:
    return world.post(f"{C}/login", {"type": "m.login.token", "token": token, **more})


def test_the_flow_is_offered_beside_the_others(world: World) -> None:
    for family in ("r0", "v3", "unstable"):
        assert world.get(f"/_matrix/client/{family}/login").json()["flows"] == [
            {"type": "m.login.password"},
            {"type": "m.login.token", "get_login_token": True},
            {
                "type": "m.login.sso",
                "oauth_aware_preferred": True,
                "org.matrix.msc3824.delegated_oidc_compatibility": True,
            },
        ]


def test_without_the_oauth_api_it_is_not_offered_and_not_there(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, oauth__enabled=False) as world:
        assert "sso" not in world.get(f"{C}/login").text
        assert world.get(asked()).status_code == 404
        assert world.get(f"/account/sso?redirectUrl={quote(APP)}").status_code == 404


@pytest.mark.parametrize("family", ["r0", "v3", "unstable"])
def test_every_version_leads_to_the_same_page(world: World, family: str) -> None:
    answer = world.get(f"/_matrix/client/{family}/login/sso/redirect?redirectUrl={quote(APP, safe='')}")
    assert answer.status_code == 302
    assert answer.headers["location"] == f"{BASE}/account/sso?redirectUrl={quote(APP, safe='')}"


@pytest.mark.parametrize("family", ["r0", "v3", "unstable"])
def test_a_slash_behind_the_path_changes_nothing(world: World, family: str) -> None:
    """Element for iOS sent one until 2023, and a redirect URL whose `?` it did not escape."""
    query = "redirectUrl=element://connect?transaction_id%3Dm1554409636.1"
    answer = world.get(f"/_matrix/client/{family}/login/sso/redirect/?{query}")
    assert answer.status_code == 302
    url = quote("element://connect?transaction_id=m1554409636.1", safe="")
    assert answer.headers["location"] == f"{BASE}/account/sso?redirectUrl={url}"
    assert world.get(f"/_matrix/client/{family}/login/sso/redirect/idp?{query}").status_code == 404


def test_an_app_signs_in(world: World) -> None:
    world.register()
    browser = opened(world)
    assert browser.page.heading == "Sign in"
    browser.sign_in()
    assert browser.page.heading == "Let app.example.com use your account?"
    assert "app.example.com" in browser.page.strong
    assert "@alice:example.org" in browser.page.text
    browser.press("Allow")
    assert browser.left.startswith(f"{APP}?loginToken=")
    login = log_in(world, token_of(browser), device_id="PHONE").json()
    assert whoami(world, login["access_token"]).json() == {
        "user_id": "@alice:example.org",
        "device_id": "PHONE",
        "is_guest": False,
    }


def test_who_is_signed_in_is_asked_all_the_same_and_every_time(world: World) -> None:
    world.register()
    browser = opened(world)
    browser.sign_in()
    for _ in range(2):
        browser.press("Allow")
        assert log_in(world, token_of(browser)).status_code == 200
        browser.open(f"/account/sso?redirectUrl={quote(APP, safe='')}")
        assert (browser.left, browser.page.heading) == ("", "Let app.example.com use your account?")


def test_who_wants_an_account_gets_one_on_the_way(world: World) -> None:
    browser = opened(world, action="register")
    assert browser.page.heading == "Create an account"
    browser.press("Continue", username="alice", password=PASSWORD)
    if "Create the account without a contact" in browser.page.buttons:
        browser.press("Create the account without a contact")
    assert browser.page.heading == "Let app.example.com use your account?"
    browser.press("Allow")
    assert log_in(world, token_of(browser)).json()["user_id"] == "@alice:example.org"


def test_apps_that_know_the_draft_ask_for_an_account_by_its_name_of_the_action(world: World) -> None:
    # The draft's name of `oauth_aware_preferred` is in the answer to /login, so its name of `action` is understood as well.
    assert opened(world, **{"org.matrix.msc3824.action": "register"}).page.heading == "Create an account"
    assert opened(world, **{"org.matrix.msc3824.action": "login"}).page.heading == "Sign in"
    both = {"action": "login", "org.matrix.msc3824.action": "register"}
    assert opened(world, **both).page.heading == "Sign in"


@pytest.mark.parametrize("action", ["login", "dance"])
def test_other_actions_lead_to_the_sign_in_page(world: World, action: str) -> None:
    assert opened(world, action=action).page.heading == "Sign in"


def test_where_nobody_may_register_the_person_signs_in(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__registration="closed") as world:
        assert opened(world, action="register").page.heading == "Sign in"


def test_who_does_not_allow_it_stays_here(world: World) -> None:
    world.register()
    browser = opened(world)
    browser.sign_in()
    browser.press("Don't allow")
    assert (browser.left, browser.path) == ("", "/account/")


def test_another_account_can_be_used(world: World) -> None:
    world.register()
    world.register("bob")
    browser = opened(world)
    browser.sign_in()
    browser.press("Use another account")
    browser.sign_in("bob")
    browser.press("Allow")
    assert log_in(world, token_of(browser)).json()["user_id"] == "@bob:example.org"


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("https://app.example.com", "https://app.example.com?loginToken="),
        ("https://app.example.com/?", "https://app.example.com/?loginToken="),
        ("https://app.example.com/?a=1&b=%20+c&a=2", "https://app.example.com/?a=1&b=%20+c&a=2&loginToken="),
        ("https://app.example.com/#/home?x=1", "https://app.example.com/?loginToken=…#/home?x=1"),
        ("https://app.example.com/?a=b#", "https://app.example.com/?a=b&loginToken=…#"),
        ("http://localhost:8000/x", "http://localhost:8000/x?loginToken="),
        ("io.element.desktop:/vector/webapp/?id=7", "io.element.desktop:/vector/webapp/?id=7&loginToken="),
        ("element://connect", "element://connect?loginToken="),
    ],
)
def test_the_token_is_added_and_nothing_else_changes(world: World, url: str, answer: str) -> None:
    world.register()
    browser = opened(world, url)
    browser.sign_in()
    browser.press("Allow")
    before, _, after = answer.partition("…")
    assert browser.left.startswith(before)
    assert browser.left.endswith(after)
    token = browser.left.removeprefix(before).removesuffix(after)
    assert log_in(world, token).status_code == 200


def test_the_page_says_where_an_app_without_tls_or_with_a_scheme_is(world: World) -> None:
    world.register()
    browser = opened(world, "http://192.0.2.7:8080/app")
    browser.sign_in()
    assert "http://192.0.2.7:8080" in browser.page.strong
    browser = opened(world, "io.element.desktop:/x")
    browser.sign_in()
    assert "io.element.desktop" in browser.page.strong


def test_a_request_without_an_address_is_refused(world: World) -> None:
    for query in ("", "?action=login"):
        answer = world.get(f"{C}/login/sso/redirect{query}")
        assert (answer.status_code, answer.json()["errcode"]) == (400, "M_MISSING_PARAM")
    assert world.get(f"{C}/login/sso/redirect?redirectUrl=").status_code == 400
    assert world.get("/account/sso").status_code == 400


def test_there_are_no_identity_providers(world: World) -> None:
    answer = world.get(f"{C}/login/sso/redirect/github?redirectUrl={quote(APP, safe='')}")
    assert (answer.status_code, answer.json()["errcode"]) == (404, "M_NOT_FOUND")


def test_the_token_is_good_for_one_login_within_its_life(world: World) -> None:
    world.register()
    browser = opened(world)
    browser.sign_in()
    browser.press("Allow")
    token = token_of(browser)
    assert [log_in(world, token).status_code for _ in range(2)] == [200, 403]
    browser.open(f"/account/sso?redirectUrl={quote(APP, safe='')}")
    browser.press("Allow")
    world.clock.advance(2 * MINUTE)
    assert log_in(world, token_of(browser)).status_code == 403


def test_the_capabilities_of_an_app_leave_out_what_the_account_pages_do(world: World) -> None:
    old = world.register()
    new = App(world).tokens().access_token
    for token, enabled in ((old, True), (new, False)):
        found = world.get(f"{C}/capabilities", token=token).json()["capabilities"]
        for name in ("m.change_password", "m.3pid_changes", "m.get_login_token"):
            assert found[name] == {"enabled": enabled}
        assert found["m.set_displayname"] == {"enabled": True}
