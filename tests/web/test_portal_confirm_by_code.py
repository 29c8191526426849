"""Confirming that it is you by a code: for accounts without a password, and forgotten ones."""

from pathlib import Path

import pytest

from threepid.clock import DAY, MINUTE
from threepid.storage import threepids
from threepid.storage.engine.database import Tx
from threepid.storage.threepids import Threepid
from web.portal_browser import Browser
from world import BASE, PASSWORD, World

SESSION = "__Host-threepid-session"
ALICE = "@alice:example.org"


def with_contact(world: World) -> str:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.mails()
    world.clock.advance(1)
    return token


def later(world: World) -> Browser:
    """Alice's browser at a page that takes a fresh proof."""
    browser = Browser(world)
    browser.sign_in()
    world.clock.advance(11 * MINUTE)
    browser.open("/account/password")
    return browser


def without_password(world: World) -> Browser:
    """The browser of Bob, whose account has an email address and no password."""
    user_id, now = world.run(world.homeserver.registration.create("bob", None)), world.clock.now()

    def step(tx: Tx) -> str:
        assert threepids.insert(tx, user_id, Threepid("email", "bob@example.com", "bob@example.com", now, now))
        return world.homeserver.web_sessions.open(tx, user_id, client="192.0.2.7", user_agent="test")

    browser = Browser(world)
    browser.cookies[SESSION] = world.run(world.database.write(step))
    return browser


@pytest.fixture
def alice(world: World) -> str:
    """Alice's access token; her account has an email address."""
    return with_contact(world)


def test_a_form_that_is_sent_twice_sends_one_mail_with_the_right_code(world: World, alice: str) -> None:
    browser = later(world)
    browser.follow("I can't remember it")
    before, form, path = len(world.mails()), browser.page.values[-1], browser.path
    for _ in range(2):
        browser.submit(form, path)
        world.clock.advance(1)
    assert len(world.mails()) == before + 1
    browser.press("Continue", code=world.mail().code)
    assert browser.path == "/account/password"


def ask(browser: Browser) -> Browser:
    browser.follow("I can't remember it")
    browser.press("alice@example.com")
    assert browser.path.startswith("/account/confirm/code?sent=")
    return browser


def test_a_code_confirms_in_place_of_the_password(world: World, alice: str) -> None:
    browser = later(world)
    before = dict(browser.cookies)
    assert browser.path == "/account/confirm?next=%2Faccount%2Fpassword"
    ask(browser)
    text = " ".join(world.mail().text.split())
    assert f"is signed in to the Matrix account {ALICE} and wants to change it" in text
    assert "Requested on" in text
    assert BASE not in text
    browser.press("Continue", code="12345")
    assert browser.page.problem == "This code is wrong."
    browser.press("Continue", code=world.mail().code)
    assert browser.path == "/account/password"
    assert browser.cookies[SESSION] != before[SESSION]
    browser.press("Save the password", password="another long password")
    assert "Your new password is saved." in browser.page.text


def test_an_account_without_a_password_is_asked_for_a_code(world: World) -> None:
    browser = without_password(world)
    world.clock.advance(11 * MINUTE)
    browser.open("/account/password")
    assert browser.path == "/account/confirm/contact?next=%2Faccount%2Fpassword"
    assert "Use the password instead" not in browser.page.links
    browser.press("bob@example.com")
    browser.press("Continue", code=world.mail().code)
    assert browser.page.heading == "Choose a password"


def test_five_wrong_codes_lead_to_a_new_start(world: World, alice: str) -> None:
    browser = ask(later(world))
    for _ in range(5):
        browser.press("Continue", code="12345")
    assert browser.page.problem == "Too many wrong codes were entered. Please start again."
    world.clock.advance(1)
    browser.follow("Start again")
    browser.press("alice@example.com")
    browser.press("Continue", code=world.mail().code)
    assert browser.path == "/account/password"


def test_a_code_works_once(world: World, alice: str) -> None:
    browser = ask(later(world))
    page, code = browser.path, world.mail().code
    fields = {**browser.page.fields, "code": code}
    browser.press("Continue", code=code)
    world.clock.advance(11 * MINUTE)
    browser.submit(fields, page)
    assert browser.page.problem == "This code has expired. Please ask for a new one."
    browser.open("/account/password")
    assert browser.path.startswith("/account/confirm")


def test_a_code_confirms_only_the_browser_that_asked(world: World, alice: str) -> None:
    other = Browser(world)
    other.sign_in()
    browser = ask(later(world))
    other.open("/account/password")
    token = other.page.fields["form_token"]
    other.submit({"form_token": token, "code": world.mail().code}, browser.path)
    assert other.page.problem == "This code has expired. Please ask for a new one."
    browser.press("Continue", code=world.mail().code)
    assert browser.path == "/account/password"


def test_no_api_takes_the_code(world: World, alice: str) -> None:
    browser = ask(later(world))
    sid = browser.path.partition("sent=")[2].partition(".")[0]
    body = {"sid": sid, "client_secret": "x", "token": world.mail().code}
    answer = world.post("/_threepid/client/v1/submit_token", body)
    assert answer.json()["errcode"] == "M_NO_VALID_SESSION"


def test_a_contact_that_was_removed_confirms_nothing(world: World, alice: str) -> None:
    browser = ask(later(world))
    body = {"medium": "email", "address": "alice@example.com"}
    assert world.post("/_matrix/client/v3/account/3pid/delete", body, token=alice).status_code == 200
    browser.press("Continue", code=world.mails()[1].code)
    assert browser.page.problem == "Your account has no such contact any more."


def test_another_accounts_contact_gets_no_code(world: World, alice: str) -> None:
    world.register("mallory")
    browser = Browser(world)
    browser.sign_in("mallory")
    world.clock.advance(11 * MINUTE)
    browser.open("/account/confirm/contact")
    before = len(world.mails())
    token = browser.page.fields["form_token"]
    browser.submit({"form_token": token, "medium": "email", "address": "alice@example.com"}, browser.path)
    assert browser.page.problem == "Your account has no such contact any more."
    assert len(world.mails()) == before


def test_a_contact_of_long_ago_confirms_nothing(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, policy__reset_contact_max_age_days=30) as world:
        with_contact(world)
        world.clock.advance(31 * DAY)
        browser = ask(later(world))
        browser.press("Continue", code=world.mail_with_code().code)
        assert "validated too long ago" in browser.page.problem


def test_a_server_without_recovery_asks_for_the_password_alone(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__recover_with=[]) as world:
        with_contact(world)
        browser = later(world)
        assert "I can't remember it" not in browser.page.links
        browser.open("/account/confirm/contact?next=/account/password")
        assert "no contact that we can send a code to" in browser.page.text
        browser.follow("Use the password instead")
        browser.press("Continue", password=PASSWORD)
        assert browser.path == "/account/password"


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_sites_form_sends_and_confirms_nothing(world: World, alice: str, headers: dict[str, str]) -> None:
    browser = ask(later(world))
    code, page, token = world.mail().code, browser.path, browser.page.fields["form_token"]
    before = len(world.mails())
    browser.submit({"form_token": token, "code": code}, page, **headers)
    assert browser.page.status == 403
    browser.submit({"form_token": token, "medium": "email", "address": "alice@example.com"}, page, **headers)
    assert browser.page.status == 403
    assert len(world.mails()) == before
