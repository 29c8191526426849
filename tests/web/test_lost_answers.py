"""Forms that are sent again because the answer was lost: by a second tap on a slow connection, or by a reload."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from web.portal_browser import Browser
from web.visitor import Page
from world import BASE, PASSWORD, World

CREATE = "Create the account without a contact"
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
        browser.press(CREATE)
    browser.press(CREATE)
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


class TwoForms:
    """The same form, which creates an account, twice; one account from here uses the limit up."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.browser = registering(world)
        form = self.browser.page.form_of[CREATE]
        self._path, self._fields = self.browser.page.forms[form][0], urlencode(self.browser.page.values[form])
        self._headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.browser.cookies.items()),
            "Origin": BASE,
        }

    async def send(self) -> httpx.Response:
        return await self.world.acall("POST", self._path, self._fields, headers=self._headers)


@pytest.fixture
def two(database_url: str, tmp_path: Path) -> Iterator[TwoForms]:
    with World(database_url, tmp_path, limits={"registration_from_client": {"burst": 1, "per_hour": 1}}) as world:
        yield TwoForms(world)


@pytest.mark.parametrize("read", range(1, 10))
def test_who_creates_an_account_while_the_first_form_is_answered_is_told_that_it_is_there(
    two: TwoForms, read: int
) -> None:
    """Before each of the second form's reads: the name may be taken by then."""
    database, reads = two.world.database, count(1)

    async def answer_the_first() -> None:
        if next(reads) == read:
            database.before_reads = None
            await two.send()

    database.before_reads = answer_the_first
    page = two.browser.press(CREATE)
    assert two.browser.path == "/account/" or page.problem == FINISHED


def test_who_creates_an_account_twice_at_once_is_told_that_it_is_there(two: TwoForms) -> None:
    """Both may have been read when the first is answered, and it was the last that the limit allows."""
    first, second = sorted(two.world.together(two.send, two.send), key=lambda answer: answer.status_code)
    assert first.headers["location"] == "/account/"
    assert Page(second).problem == FINISHED


def test_a_finished_registration_signs_nobody_in(world: World) -> None:
    browser = registering(world)
    with lost(browser):
        browser.press(CREATE)
    browser.press(CREATE)
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
