"""Signing in to the account portal, confirming that it is you, and signing out."""

import pytest

from threepid.clock import DAY, MINUTE
from web.portal_browser import Browser
from world import PASSWORD, World

SESSION = "__Host-threepid-session"


@pytest.fixture
def browser(world: World) -> Browser:
    """The browser of Alice, who has an account and is not signed in yet."""
    world.register()
    return Browser(world)


def test_a_person_signs_in_and_sees_the_account(browser: Browser) -> None:
    assert browser.path == "/account/sign-in?next=%2Faccount%2F"
    browser.sign_in()
    assert browser.path == "/account/"
    assert "@alice:example.org" in browser.page.text
    assert browser.attributes[SESSION].endswith("Path=/; Max-Age=1209600; HttpOnly; SameSite=Lax; Secure")


@pytest.mark.parametrize("name", ["alice", "@alice:example.org", " Alice ", "alice@example.com", "ALICE@example.com"])
def test_every_name_of_the_account_signs_in(world: World, name: str) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    browser = Browser(world)
    browser.sign_in(name)
    assert browser.path == "/account/", browser.page.problem


@pytest.mark.parametrize("name", ["alice", "bob", "nobody@example.com"])
def test_a_wrong_sign_in_says_the_same_whoever_is_named(browser: Browser, name: str) -> None:
    browser.sign_in(name, "wrong")
    assert browser.page.status == 403
    assert browser.page.problem == "The username or password is wrong."
    assert SESSION not in browser.cookies


def test_signing_out_ends_the_session_on_the_server(browser: Browser) -> None:
    browser.sign_in()
    stolen = dict(browser.cookies)
    browser.press("Sign out")
    assert "You are signed out." in browser.page.text
    browser.cookies = stolen
    browser.open("/account/")
    assert browser.path.startswith("/account/sign-in")


def test_signing_in_leaves_nothing_of_the_cookie_before(world: World, browser: Browser) -> None:
    browser.cookies[SESSION] = "tpw_chosen-by-a-stranger"
    browser.sign_in()
    assert browser.cookies[SESSION] != "tpw_chosen-by-a-stranger"
    assert browser.page.status == 200


def test_a_session_that_is_not_used_for_a_day_ends(world: World, browser: Browser) -> None:
    browser.sign_in()
    world.clock.advance(DAY - MINUTE)
    browser.open("/account/")
    assert browser.path == "/account/"
    world.clock.advance(DAY)
    browser.open("/account/")
    assert browser.path.startswith("/account/sign-in")


def test_a_session_ends_after_two_weeks_however_much_it_is_used(world: World, browser: Browser) -> None:
    browser.sign_in()
    for _ in range(13):
        world.clock.advance(DAY - MINUTE)
        browser.open("/account/")
        assert browser.path == "/account/"
    world.clock.advance(DAY)
    browser.open("/account/")
    assert browser.path.startswith("/account/sign-in")


def test_confirming_gives_the_session_a_new_secret(world: World, browser: Browser) -> None:
    browser.sign_in()
    before = dict(browser.cookies)
    world.clock.advance(11 * MINUTE)
    browser.open("/account/confirm?next=/account/")
    assert browser.page.heading == "Confirm that it is you"
    browser.press("Continue", password="wrong")
    assert browser.page.problem == "The password is wrong."
    browser.press("Continue", password=PASSWORD)
    assert browser.path == "/account/"
    assert browser.cookies[SESSION] != before[SESSION]
    browser.cookies = before
    browser.open("/account/")
    assert browser.path.startswith("/account/sign-in")


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "/account/\r\nSet-Cookie: a=b", "javascript:0"],
)
def test_a_sign_in_leads_to_no_other_site(world: World, browser: Browser, target: str) -> None:
    browser.open("/account/sign-in")
    browser.path = f"/account/sign-in?next={Browser.escaped(target)}"
    browser.sign_in()
    assert browser.path == "/account/"


def test_a_session_opens_nothing_of_the_api(world: World, browser: Browser) -> None:
    browser.sign_in()
    for headers in ({"Cookie": f"{SESSION}={browser.cookies[SESSION]}"}, {"Authorization": browser.cookies[SESSION]}):
        assert world.get("/_matrix/client/v3/account/whoami", headers=headers).status_code == 401
    answer = world.get("/_matrix/client/v3/account/whoami", token=browser.cookies[SESSION])
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/account/deactivate", "/logout/all"])
def test_a_browser_is_signed_out_with_the_account(world: World, path: str) -> None:
    token = world.register()
    browser = Browser(world)
    browser.sign_in()
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    assert world.post(f"/_matrix/client/v3{path}", {"auth": auth}, token=token).status_code == 200
    browser.open("/account/")
    assert browser.path.startswith("/account/sign-in")


def test_after_a_wrong_password_the_cursor_is_in_its_field(world: World) -> None:
    world.register()
    browser = Browser(world)
    assert "autofocus" in browser.page.attributes["name"]
    browser.press("Sign in", name="alice", password="wrong")
    assert "autofocus" in browser.page.attributes["password"]
    assert "autofocus" not in browser.page.attributes["name"]
