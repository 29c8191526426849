"""Forms that are sent again because the answer was lost: by a second tap on a slow connection, or by a reload."""

from collections.abc import Iterator
from contextlib import contextmanager

from web.portal_browser import Browser
from world import PASSWORD, World

FINISHED = "This registration is finished. Sign in with your password."


@contextmanager
def lost(browser: Browser) -> Iterator[None]:
    """The server does what the browser asks for within, and the browser never learns of it."""
    cookies, page, path = dict(browser.cookies), browser.page, browser.path
    yield
    browser.cookies, browser.page, browser.path = cookies, page, path


def registering(world: World) -> Browser:
    browser = Browser(world, "/account/register")
    browser.press("Continue", username="carol", password=PASSWORD)
    return browser


def signed_in(world: World, path: str) -> Browser:
    browser = Browser(world, path)
    browser.sign_in()
    return browser


def sign_in_from_there(browser: Browser) -> None:
    """Nothing but the sign-in is offered, and it knows who is there."""
    assert browser.page.problem == FINISHED
    assert browser.page.links.keys() == {"Sign in"}
    browser.follow("Sign in")
    assert browser.page.fields["name"] == "@carol:example.org"
    browser.press("Sign in", password=PASSWORD)
    assert browser.path == "/account/"


def test_who_creates_an_account_twice_is_told_that_it_is_there(world: World) -> None:
    browser = registering(world)
    with lost(browser):
        browser.press("Create the account without a contact")
    browser.press("Create the account without a contact")
    sign_in_from_there(browser)


def test_who_sends_the_last_code_twice_is_told_that_the_account_is_there(world: World) -> None:
    browser = registering(world)
    browser.follow("Add an email address")
    browser.press("Send me a code", address="carol@example.com")
    code = world.mail().code
    with lost(browser):
        browser.press("Continue", code=code)
    browser.press("Continue", code=code)
    sign_in_from_there(browser)


def test_a_finished_registration_signs_nobody_in(world: World) -> None:
    browser = registering(world)
    with lost(browser):
        browser.press("Create the account without a contact")
    browser.press("Create the account without a contact")
    browser.open("/account/")
    assert browser.path.startswith("/account/sign-in")


def test_who_removes_a_contact_twice_is_told_that_it_is_removed(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    browser = signed_in(world, "/account/contacts")
    browser.follow("Remove")
    with lost(browser):
        browser.press("Remove it")
    browser.press("Remove it")
    assert browser.path == "/account/contacts?removed=1"
    assert "The contact was removed." in browser.page.text


def test_who_signs_out_twice_is_signed_out(world: World) -> None:
    world.register()
    browser = signed_in(world, "/account/")
    with lost(browser):
        browser.press("Sign out")
    browser.press("Sign out")
    assert "You are signed out." in browser.page.text


def test_who_signed_out_in_another_tab_is_signed_out(world: World) -> None:
    world.register()
    browser = signed_in(world, "/account/")
    page, path = browser.page, browser.path
    browser.press("Sign out")
    browser.page, browser.path = page, path
    browser.press("Sign out")
    assert "You are signed out." in browser.page.text
