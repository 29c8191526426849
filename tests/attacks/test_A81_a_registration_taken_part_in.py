"""A81: a registration goes on only in the browser where it began, and by forms of our own pages."""

import pytest

from web.portal_browser import Browser
from world import PASSWORD, World

SESSION = "__Host-threepid-session"
REGISTRATION = "__Host-threepid-registration"
C = "/_matrix/client/v3"


@pytest.fixture
def stranger(world: World) -> Browser:
    """The browser of a stranger who has begun to register."""
    browser = Browser(world, "/account/register")
    browser.press("Continue", username="mallory", password=PASSWORD)
    assert browser.path == "/account/register/next"
    return browser


def exists(world: World, username: str = "mallory") -> bool:
    return world.run(world.homeserver.accounts.get(f"@{username}:example.org")) is not None


@pytest.mark.parametrize("step", ["next", "email", "finish"])
def test_no_address_lets_another_browser_take_part(world: World, stranger: Browser, step: str) -> None:
    session = stranger.cookies[REGISTRATION]
    for query in ("", f"?session={session}", f"?{REGISTRATION}={session}"):
        victim = Browser(world, "/account/sign-in")
        if step != "finish":
            victim.open(f"/account/register/{step}{query}")
            assert victim.path == "/account/register"
        victim.open("/account/register")
        fields = {"form_token": victim.page.fields["form_token"], "action": "send", "address": "v@example.com"}
        victim.submit(fields, f"/account/register/{'finish' if step == 'next' else step}{query}")
        assert SESSION not in victim.cookies
    assert not exists(world)
    assert world.mails() == []


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_sites_form_registers_nothing(world: World, stranger: Browser, headers: dict[str, str]) -> None:
    token = stranger.page.fields["form_token"]
    for path in ("/account/register", "/account/register/finish", "/account/register/email"):
        stranger.submit({"form_token": token, "username": "eve", "password": PASSWORD}, path, **headers)
        assert stranger.page.status == 403
    assert (exists(world), exists(world, "eve")) == (False, False)


def test_a_form_of_another_browser_registers_nothing(world: World, stranger: Browser) -> None:
    """Login CSRF: a victim would use the stranger's account without knowing it."""
    victim = Browser(world, "/account/register")
    for token in (stranger.page.fields["form_token"], "", "guessed"):
        fields = {"form_token": token, "username": "eve", "password": PASSWORD}
        for path in ("/account/register", "/account/register/finish"):
            victim.submit(fields, path)
            assert victim.page.status == 403
    assert SESSION not in victim.cookies
    assert not exists(world, "eve")


def test_the_id_of_a_registration_logs_in_nobody(world: World, stranger: Browser) -> None:
    session = stranger.cookies[REGISTRATION]
    stranger.press("Create the account without a contact")
    assert exists(world)
    for body in ({}, {"username": "mallory", "password": PASSWORD}):
        answer = world.post(f"{C}/register", {**body, "auth": {"session": session}})
        assert "access_token" not in answer.json()
    again = Browser(world, "/account/register")
    again.cookies[REGISTRATION] = session
    again.submit({"form_token": again.page.fields["form_token"]}, "/account/register/finish")
    assert again.page.status == 403
    assert "This registration is finished. Sign in with your password." in again.page.text
    assert SESSION not in again.cookies
    again.open("/account/")
    assert again.path.startswith("/account/sign-in")


def test_the_session_after_a_registration_is_a_new_one(world: World, stranger: Browser) -> None:
    stranger.cookies[SESSION] = "tpw_chosen-before"
    stranger.open("/account/register/next")
    stranger.press("Create the account without a contact")
    assert stranger.cookies[SESSION] != "tpw_chosen-before"
    assert stranger.path == "/account/"


def test_an_address_that_an_account_has_is_not_told_to_a_stranger(world: World, stranger: Browser) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.clock.advance(1)
    stranger.follow("Add an email address")
    stranger.press("Send me a code", address="alice@example.com")
    taken = stranger.page.text.replace("alice@", "X@")
    stranger.follow("Use another email address")
    stranger.press("Send me a code", address="free@example.com")
    assert stranger.page.text.replace("free@", "X@") == taken
