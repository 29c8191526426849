"""Registration in the portal: username and password, then the stages of the configuration."""

import re
from pathlib import Path

import pytest

from captcha_provider import RIGHT, SITE_KEY, CaptchaProvider
from threepid.clock import MINUTE
from web.portal_browser import Browser
from world import PASSWORD, World, unnoted

SESSION = "__Host-threepid-session"
REGISTRATION = "__Host-threepid-registration"
SENT = "__Host-threepid-registration-sent"
TERMS = {
    "id": "privacy",
    "version": "1.2",
    "languages": {"en": {"name": "Privacy", "url": "https://example.org/en/privacy"}},
}


def registering(world: World, username: str = "carol") -> Browser:
    """A browser that has chosen username and password."""
    browser = Browser(world)
    browser.follow("Create an account")
    assert browser.path == "/account/register"
    browser.press("Continue", username=username, password=PASSWORD)
    return browser


def contacts(world: World, user_id: str) -> list[str]:
    return [contact.address for contact in world.run(world.homeserver.threepids.of(user_id))]


def is_in(browser: Browser, user_id: str = "@carol:example.org") -> bool:
    return browser.path == "/account/" and user_id in browser.page.text


def test_an_account_is_created_at_once_where_nothing_else_is_asked(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, email=None) as world:
        browser = registering(world)
        assert is_in(browser)
        assert REGISTRATION not in browser.cookies
        other = Browser(world)
        other.sign_in("carol")
        assert is_in(other)


def test_an_account_may_have_no_contact_where_none_is_required(world: World) -> None:
    browser = registering(world)
    assert browser.page.heading == "How can we reach you?"
    browser.press("Create the account without a contact")
    assert is_in(browser)
    assert contacts(world, "@carol:example.org") == []


def test_an_email_address_is_proven_by_a_code(world: World) -> None:
    browser = registering(world)
    browser.follow("Add an email address")
    assert "You are creating an account. @carol:example.org" in browser.page.text
    browser.press("Send me a code", address="carol@example.com")
    browser.press("Continue", code="000000")
    assert browser.page.problem == "This code is wrong."
    browser.press("Continue", code=world.mail().code)
    assert is_in(browser)
    assert contacts(world, "@carol:example.org") == ["carol@example.com"]


def test_an_email_address_is_proven_by_its_link(world: World) -> None:
    browser = registering(world)
    browser.follow("Add an email address")
    browser.press("Send me a code", address="carol@example.com")
    browser.press("I pressed the button")
    assert "We have not seen that yet." in browser.page.problem
    assert world.post(world.mail().link).status_code == 200
    browser.press("I pressed the button")
    assert is_in(browser)


def test_the_page_that_asks_for_the_code_comes_back(world: World) -> None:
    """A phone may forget the page while its person reads the mail, and the language may be switched."""
    browser = registering(world)
    browser.follow("Add an email address")
    browser.press("Send me a code", address="carol@example.com")
    assert browser.trail[-1] == "GET /account/register/email"
    browser.speak("de")
    assert browser.page.heading == "Sieh in deine E-Mails"
    assert "carol@example.com" in browser.page.text
    browser.press("Noch eine Mail schicken")
    assert "noch eine Mail an carol@example.com" in browser.page.text
    assert len(world.mails()) == 2
    browser.follow("Andere E-Mail-Adresse benutzen")
    assert browser.page.heading == "Deine E-Mail-Adresse"
    browser.press("Code schicken", address="carol2@example.com")
    browser.open("/account/register/next")
    browser.follow("E-Mail-Adresse hinzufügen")
    browser.press("Weiter", code=world.mail().code)
    assert is_in(browser)
    assert contacts(world, "@carol:example.org") == ["carol2@example.com"]
    assert SENT not in browser.cookies


def test_a_code_of_another_browser_is_not_asked_for(world: World) -> None:
    browser, other = registering(world), registering(world, "mallory")
    browser.follow("Add an email address")
    browser.press("Send me a code", address="carol@example.com")
    sid = browser.cookies[SENT].partition(".")[0]
    for value in (f"{sid}.", f"{sid}.x", sid, ".", "x.y"):
        other.cookies[SENT] = value
        other.open("/account/register/email")
        assert other.page.heading == "Your email address"
        assert "carol@example.com" not in other.page.html


@pytest.mark.parametrize("secret", ["x\r\nSet-Cookie: other=1", "x; Domain=example.org", "\u65e5", "\u00e9", "x" * 256])
def test_a_form_puts_nothing_of_its_own_into_a_header(world: World, secret: str) -> None:
    browser = registering(world)
    browser.follow("Add an email address")
    browser.press("Send me a code", address="carol@example.com")
    browser.press("Send another mail", client_secret=secret)
    assert browser.page.heading == "Check your email"
    assert re.fullmatch(r"[0-9A-Za-z_-]+\.[0-9A-Za-z_-]{20,100}", browser.cookies[SENT])
    assert "other" not in browser.cookies
    browser.press("Continue", code=world.mail().code)
    assert is_in(browser)


def test_who_starts_again_is_asked_for_an_address_again(world: World) -> None:
    browser = registering(world)
    browser.follow("Add an email address")
    browser.press("Send me a code", address="carol@example.com")
    browser.open("/account/register")
    browser.press("Continue", username="dave", password=PASSWORD)
    browser.follow("Add an email address")
    assert browser.page.heading == "Your email address"


def test_every_stage_of_a_flow_has_its_page(database_url: str, tmp_path: Path) -> None:
    with (
        CaptchaProvider(tmp_path) as provider,
        World(
            database_url,
            tmp_path,
            accounts__captcha=provider.settings,
            accounts__registration="token",
            accounts__terms=[TERMS],
            accounts__required_contacts=["email", "msisdn"],
            sms__countries=["GB"],
            outbound=provider.outbound,
        ) as world,
    ):
        token = world.run(world.homeserver.registration_tokens.create(uses_allowed=1, note=unnoted))
        browser = registering(world)
        assert browser.path == "/account/register/captcha"
        assert "script-src" in browser.page.headers["Content-Security-Policy"]
        assert browser.page.headers["Referrer-Policy"] == "same-origin"
        browser.send({**browser.page.fields, "g-recaptcha-response": f"{RIGHT}:{SITE_KEY}"})
        assert browser.path == "/account/register/token"
        browser.press("Continue", token="wrong")
        assert browser.page.problem == "This registration token is unknown, has expired or has no uses left."
        browser.press("Continue", token=token)
        assert browser.path == "/account/register/terms"
        browser.press("I accept")
        assert browser.page.problem == "Read and accept everything to continue."
        browser.press("I accept", check=("accept-privacy",))
        assert browser.path == "/account/register/email"
        browser.press("Send me a code", address="carol@example.com")
        browser.press("Continue", code=world.mail().code)
        assert browser.path == "/account/register/phone"
        browser.press("Send me a code", address="07400 123456")
        browser.press("Continue", code=world.text().code)
        assert is_in(browser)
        assert contacts(world, "@carol:example.org") == ["carol@example.com", "+447400123456"]
        again = registering(world, "dave")
        again.send({**again.page.fields, "g-recaptcha-response": f"{RIGHT}:{SITE_KEY}"})
        again.press("Continue", token=token)
        assert "no uses left" in again.page.problem


@pytest.mark.parametrize(
    ("username", "problem"),
    [
        ("alice", "This user ID is already taken."),
        ("ALICE", "This user ID is already taken."),
        ("admin", "This username is reserved."),
        ("a b", "A username must have 1 to 255 of the characters a-z, 0-9, '.', '_', '=', '-', '/' and '+'."),
        ("", "A username must have 1 to 255 of the characters a-z, 0-9, '.', '_', '=', '-', '/' and '+'."),
    ],
)
def test_a_username_that_cannot_be_had_is_said_at_its_field(
    database_url: str, tmp_path: Path, username: str, problem: str
) -> None:
    with World(database_url, tmp_path, accounts__reserved_usernames=["admin"]) as world:
        world.register()
        browser = registering(world, username)
        assert browser.page.texts["username-problem"] == problem
        assert browser.page.fields["username"] == username
        browser.press("Continue", username="carol", password=PASSWORD)
        assert browser.path == "/account/register/next"


@pytest.mark.parametrize("password", ["short", "@carol:example.org", "", "x" * 600])
def test_a_password_that_is_refused_is_said_at_its_field(world: World, password: str) -> None:
    browser = Browser(world, "/account/register")
    browser.press("Continue", username="carol", password=password)
    assert browser.page.status == 400
    assert "password must" in browser.page.texts["password-problem"]
    assert browser.page.fields["username"] == "carol"


def test_the_hint_names_the_server(world: World) -> None:
    browser = Browser(world, "/account/register")
    assert "@username:example.org" in browser.page.texts["username-hint"]
    browser.press("Continue", username="Érika!", password=PASSWORD)
    assert "@username:example.org" in browser.page.texts["username-hint"]
    assert browser.page.attributes["password"]["autocomplete"] == "new-password"


def test_a_closed_registration_says_so(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__registration="closed") as world:
        browser = Browser(world)
        assert "Create an account" not in browser.page.links
        browser.open("/account/register")
        assert browser.page.status == 403
        assert "Registration is closed" in browser.page.text
        browser.open("/account/forgot")
        fields = {"form_token": browser.page.fields["form_token"], "username": "carol", "password": PASSWORD}
        browser.submit(fields, "/account/register")
        assert browser.page.status == 403
        assert world.run(world.homeserver.accounts.get("@carol:example.org")) is None


def test_a_username_taken_meanwhile_can_be_chosen_again(world: World) -> None:
    browser = registering(world)
    world.register("carol")
    browser.press("Create the account without a contact")
    assert browser.page.texts["username-problem"] == "This user ID is already taken."
    browser.press("Continue", username="dave", password=PASSWORD)
    browser.press("Create the account without a contact")
    assert is_in(browser, "@dave:example.org")


def test_a_registration_that_waits_too_long_begins_again(world: World) -> None:
    browser = registering(world)
    world.clock.advance(16 * MINUTE)
    browser.press("Create the account without a contact")
    assert browser.page.problem == "This registration has taken too long, or is finished."
    browser.follow("Start again")
    assert browser.path == "/account/register"


def test_a_step_that_does_not_come_next_leads_to_the_one_that_does(world: World) -> None:
    browser = registering(world)
    for step in ("terms", "token", "captcha", "phone", "nothing"):
        browser.open(f"/account/register/{step}")
        assert browser.path == "/account/register/next"


def test_a_person_who_is_signed_in_registers_nothing(world: World) -> None:
    world.register()
    browser = Browser(world)
    browser.sign_in()
    browser.open("/account/register")
    assert browser.path == "/account/"


def test_a_registration_keeps_its_secrets_out_of_every_address(world: World) -> None:
    browser = registering(world)
    session = browser.cookies[REGISTRATION]
    assert browser.attributes[REGISTRATION].endswith("Path=/; HttpOnly; SameSite=Lax; Secure")
    browser.follow("Add an email address")
    assert session not in browser.page.html
    browser.press("Send me a code", address="carol@example.com")
    assert session not in browser.page.html
    browser.follow("Use another email address")
    assert browser.page.heading == "Your email address"
    browser.press("Send me a code", address="carol@example.com")
    world.clock.advance(1)
    browser.press("Continue", code=world.mail().code)
    assert is_in(browser)
    assert not [one for one in browser.trail if session in one or PASSWORD in one]
