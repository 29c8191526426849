"""A100: nobody but the person gives an app a login token: no link, no other site's form, no address that hides where it leads."""

from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from oauth_app import Consenting
from threepid.spec.sso import parse_target
from world import PASSWORD, World

C = "/_matrix/client/v3"
APP = "https://app.example.com/"


def opened(world: World, url: str = APP, username: str = "alice") -> Consenting:
    """The browser of somebody who is signed in, on the page that asks."""
    browser = Consenting(world, f"/account/sso?redirectUrl={quote(url, safe='')}")
    browser.sign_in(username)
    return browser


HOSTILE = [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "java\nscript:alert(1)",
    "javascript://app.example.com/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "DATA:text/html;base64,PHA+",
    "file:///etc/passwd",
    "vbscript:msgbox(1)",
    "blob:https://app.example.com/1",
    "filesystem:https://app.example.com/x",
    "about:blank",
    "view-source:https://app.example.com/",
    "intent://x#Intent;scheme=https;end",
    "mailto:mallory@evil.example",
    "sms:+441632960000",
    "tel:+441632960000",
    "ftp://evil.example/",
    "ws://evil.example/",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https:\\\\evil.example",
    "https://app.example.com\\@evil.example/",
    "https://app.example.com@evil.example/",
    "https://app.example.com:443@evil.example/",
    "https://evil.example\uff0fapp.example.com/",
    "https://app.example\u3002com/",
    "https://\u0430pp.example.com/",
    "https://app.example.com:99999/",
    "https://app.example.com:/@evil.example",
    "https://[::1/",
    "https://",
    "https://?x",
    "https://#x",
    "//evil.example/",
    "/account/",
    "account",
    "",
    ":",
    "https",
    "x:",
    "1x:/y",
    "https://app.example.com/\r\nSet-Cookie: a=b",
    "https://app.example.com/\x00",
    "https://app.example.com/" + "x" * 2_000,
]


@pytest.mark.parametrize("url", HOSTILE)
def test_no_browser_is_sent_to_an_address_that_browsers_read_otherwise(world: World, url: str) -> None:
    assert parse_target(url) is None
    world.register()
    browser = Consenting(world, "/account/")
    browser.sign_in()
    form_token = browser.page.fields["form_token"]
    path = f"/account/sso?redirectUrl={quote(url, safe='')}"
    browser.open(path)
    assert (browser.left, browser.page.status) == ("", 400)
    assert "form_token" not in browser.page.fields
    browser.submit({"form_token": form_token, "decision": "allow"}, path)
    assert (browser.left, browser.page.status) == ("", 400)


def test_no_stranger_is_asked_to_sign_in_for_such_an_address(world: World) -> None:
    browser = Consenting(world, "/account/sso?redirectUrl=javascript%3Aalert(1)")
    assert (browser.left, browser.page.status) == ("", 400)


def test_two_addresses_are_refused(world: World) -> None:
    for path in (f"{C}/login/sso/redirect", "/account/sso"):
        first, second = quote(APP, safe=""), quote("https://evil.example/", safe="")
        assert world.get(f"{path}?redirectUrl={first}&redirectUrl={second}").status_code == 400


def test_opening_the_address_hands_nothing_out(world: World) -> None:
    world.register()
    browser = opened(world)
    for more in ("", "&decision=allow", "&form_token=x&decision=allow", "&loginToken=x"):
        browser.open(f"/account/sso?redirectUrl={quote(APP, safe='')}{more}")
        assert browser.left == ""
        assert "Allow" in browser.page.buttons


def test_the_page_cannot_be_framed_and_leads_to_us_and_the_app_alone(world: World) -> None:
    world.register()
    page = opened(world, "https://app.example.com:8443/x?y")
    assert page.policy("frame-ancestors") == "'none'"
    assert page.policy("form-action") == "'self' https://app.example.com:8443"
    assert page.policy("script-src") == "'self'"
    assert opened(world, "io.element.desktop:/x").policy("form-action") == "'self' io.element.desktop:"


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://app.example.com"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_another_sites_form_hands_nothing_out(world: World, headers: dict[str, str]) -> None:
    world.register()
    browser = opened(world)
    browser.send({"form_token": browser.page.fields["form_token"], "decision": "allow"}, **headers)
    assert (browser.left, browser.page.status) == ("", 403)


def test_a_form_of_no_session_or_of_another_hands_nothing_out(world: World) -> None:
    world.register()
    world.register("mallory")
    browser = opened(world)
    path = browser.path
    mallorys = opened(world, username="mallory").page.fields["form_token"]
    for form_token in ("", "wrong", mallorys):
        browser.submit({"form_token": form_token, "decision": "allow"}, path)
        assert (browser.left, browser.page.status) == ("", 403)


def test_neither_silence_nor_another_word_is_consent(world: World) -> None:
    world.register()
    browser = opened(world)
    path, form_token = browser.path, browser.page.fields["form_token"]
    for decision in ("", "yes", "Allow", "deny"):
        browser.submit({"form_token": form_token, "decision": decision}, path)
        assert (browser.left, browser.path) == ("", "/account/")


@pytest.mark.parametrize(
    "query",
    [
        "loginToken=mallorys",
        "a=b&loginToken=mallorys",
        "login%54oken=mallorys",
        "loginToken",
        "loginToken=1&loginToken=2",
    ],
)
def test_an_address_cannot_bring_a_login_token_of_its_own(world: World, query: str) -> None:
    world.register()
    browser = opened(world, f"https://app.example.com/?{query}")
    browser.press("Allow")
    pairs = parse_qsl(urlsplit(browser.left).query, keep_blank_values=True)
    (token,) = [value for name, value in pairs if name == "loginToken"]
    login = world.post(f"{C}/login", {"type": "m.login.token", "token": token})
    assert login.json()["user_id"] == "@alice:example.org"


def test_the_host_is_shown_and_not_what_the_path_says(world: World) -> None:
    world.register()
    browser = opened(world, "https://evil.example/https://app.example.com/?https://app.example.com#app.example.com")
    assert browser.page.strong == ["evil.example"]
    assert "app.example.com" not in browser.page.text


@pytest.mark.parametrize("end", ["sign out", "everywhere", "password", "deactivate"])
def test_a_token_ends_with_the_browser_session_that_gave_it(world: World, end: str) -> None:
    access = world.register()
    browser = opened(world)
    browser.press("Allow")
    token = dict(parse_qsl(urlsplit(browser.left).query))["loginToken"]
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": PASSWORD,
    }
    if end == "sign out":
        browser.open("/account/")
        browser.press("Sign out")
    elif end == "everywhere":
        assert world.post(f"{C}/logout/all", token=access).status_code == 200
    elif end == "password":
        body = {"new_password": "another long password", "auth": auth}
        assert world.post(f"{C}/account/password", body, token=access).status_code == 200
    else:
        assert world.post(f"{C}/account/deactivate", {"auth": auth}, token=access).status_code == 200
    assert world.post(f"{C}/login", {"type": "m.login.token", "token": token}).status_code == 403


def test_a_form_that_was_sent_after_the_sign_out_hands_nothing_out(world: World) -> None:
    world.register()
    browser = opened(world)
    other_tab = browser.path, browser.page.fields["form_token"]
    browser.open("/account/")
    browser.press("Sign out")
    browser.submit({"form_token": other_tab[1], "decision": "allow"}, other_tab[0])
    assert browser.left == ""
