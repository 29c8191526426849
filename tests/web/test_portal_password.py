"""A new password for an account whose owner is signed in."""

import pytest

from threepid.clock import MINUTE
from web.portal_browser import Browser
from world import PASSWORD, World

NEW = "another long password"
WHOAMI = "/_matrix/client/v3/account/whoami"


def log_in(world: World, password: str) -> int:
    identifier = {"type": "m.id.user", "user": "alice"}
    body = {"type": "m.login.password", "identifier": identifier, "password": password}
    return world.post("/_matrix/client/v3/login", body).status_code


def alive(world: World, token: str) -> bool:
    return world.get(WHOAMI, token=token).status_code == 200


@pytest.fixture
def alice(world: World) -> str:
    """Alice's access token; her account has an email address."""
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    return token


@pytest.fixture
def browser(world: World, alice: str) -> Browser:
    """Alice's browser at the page for a new password."""
    browser = Browser(world)
    browser.sign_in()
    browser.follow("Password")
    assert browser.path == "/account/password"
    return browser


def test_a_new_password_signs_out_everything_else(world: World, alice: str, browser: Browser) -> None:
    other = Browser(world)
    other.sign_in()
    browser.press("Save the password", check=("sign_out",), password=NEW)
    assert "Your new password is saved." in browser.page.text
    assert (log_in(world, PASSWORD), log_in(world, NEW)) == (403, 200)
    assert not alive(world, alice)
    other.open("/account/")
    assert other.path.startswith("/account/sign-in")
    browser.open("/account/")
    assert browser.path == "/account/"
    assert "was changed" in world.mail().text


def test_devices_stay_signed_in_if_that_is_wished(world: World, alice: str, browser: Browser) -> None:
    other = Browser(world)
    other.sign_in()
    browser.press("Save the password", password=NEW)
    assert alive(world, alice)
    other.open("/account/")
    assert other.path.startswith("/account/sign-in")


def test_the_box_that_signs_out_is_ticked_at_first(browser: Browser) -> None:
    assert 'type="checkbox" value="1" checked' in browser.page.html
    assert browser.page.attributes["password"]["autocomplete"] == "new-password"


def test_the_rules_are_said_before_and_after_a_mistake(world: World, alice: str, browser: Browser) -> None:
    assert browser.page.texts["password-hint"] == "At least 8 characters."
    browser.press("Save the password", password="short")
    assert browser.page.status == 400
    assert browser.page.problem == "A password must have at least 8 characters."
    assert 'value="1" checked' not in browser.page.html
    assert (log_in(world, PASSWORD), alive(world, alice)) == (200, True)


def test_an_old_proof_of_ownership_changes_no_password(world: World, browser: Browser) -> None:
    world.clock.advance(11 * MINUTE)
    browser.press("Save the password", password=NEW)
    assert browser.path.startswith("/account/confirm?next=")
    assert log_in(world, NEW) == 403
    browser.press("Continue", password=PASSWORD)
    assert browser.path == "/account/password"


def test_an_account_without_a_password_chooses_its_first_one(world: World) -> None:
    user_id = world.run(world.homeserver.registration.create("bob", None))
    browser = Browser(world)
    token = world.run(
        world.database.write(
            lambda tx: world.homeserver.web_sessions.open(tx, user_id, client="192.0.2.7", user_agent="test")
        )
    )
    browser.cookies["__Host-threepid-session"] = token
    browser.open("/account/password")
    assert browser.page.heading == "Choose a password"
    browser.press("Save the password", password=NEW)
    assert browser.page.heading == "Change your password"
    other = Browser(world)
    other.sign_in("bob", NEW)
    assert other.path == "/account/"


def test_a_new_password_by_the_api_signs_browsers_out(world: World, alice: str) -> None:
    browser = Browser(world)
    browser.sign_in()
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    body = {"new_password": NEW, "auth": auth, "logout_devices": False}
    assert world.post("/_matrix/client/v3/account/password", body, token=alice).status_code == 200
    browser.open("/account/")
    assert browser.path.startswith("/account/sign-in")


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_sites_form_changes_no_password(world: World, browser: Browser, headers: dict[str, str]) -> None:
    browser.send({**browser.page.fields, "password": NEW}, **headers)
    assert browser.page.status == 403
    assert log_in(world, NEW) == 403


def test_a_form_without_its_token_changes_no_password(world: World, browser: Browser) -> None:
    browser.send({"password": NEW})
    assert browser.page.status == 403
    assert log_in(world, NEW) == 403
