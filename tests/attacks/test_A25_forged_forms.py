"""A25: no other site and no stranger sends a form of the portal for a person, or signs a person in to another account.

What is tried at one page is tried at every declared page that takes a form.
"""

from typing import Any, Final
from urllib.parse import urlencode

import httpx
import pytest

from threepid.web.page import Access
from threepid.web.page import Page as Declared
from web.portal_browser import Browser
from web.portal_pages import GETS, POSTS, of, path_of
from web.visitor import Page
from world import BASE, PASSWORD, World

SESSION: Final = "__Host-threepid-session"
VISITOR: Final = "__Host-threepid-visitor"
FORM: Final = "application/x-www-form-urlencoded"
OURS: Final = {"Content-Type": FORM, "Origin": BASE, "Sec-Fetch-Site": "same-origin"}
FIELDS: Final = {"name": "bob", "username": "mallory", "password": PASSWORD, "kind": "others", "understood": "yes"}
"""Fields that would have an effect on one page or another."""
FORGED: Final[dict[str, dict[str, str]]] = {
    "another site": {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    "another site, by an old browser": {"Origin": "https://evil.example"},
    "another site, without an origin": {"Sec-Fetch-Site": "cross-site"},
    "another host of our site": {"Origin": "https://other.example.org", "Sec-Fetch-Site": "same-site"},
    "a host whose name begins with ours": {"Origin": f"{BASE}.evil.example"},
    "our host over plain HTTP": {"Origin": BASE.replace("https", "http")},
    "our host at another port": {"Origin": f"{BASE}:8448"},
    "a sandboxed frame": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "a sandboxed frame, by an old browser": {"Origin": "null"},
}
"""The headers of a form that comes from somewhere else."""


def send(
    world: World, browser: Browser, page: Declared, content: str, headers: dict[str, str] | None = None
) -> httpx.Response:
    """The answer to a form; it must not have written anything if it is not from a page of ours."""
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    given = {"Content-Type": FORM, "Cookie": cookie, **(headers or {})}
    answer = world.run(world.http.request("POST", path_of(page), content=content, headers=given))
    world.http.cookies.clear()
    return answer


def refused(world: World, browser: Browser, page: Declared, content: str, headers: dict[str, str]) -> None:
    """The form is refused, sets no cookie that signs anybody in or out, and writes nothing."""
    before = world.database.writes
    answer = send(world, browser, page, content, headers)
    assert answer.status_code in (400, 403), (page, headers, answer.status_code)
    assert "set-cookie" not in answer.headers, page
    assert world.database.writes == before, page
    assert Page(answer).heading == "This did not work", page


@pytest.fixture
def alice(world: World) -> Browser:
    """Alice's browser, signed in."""
    world.register()
    browser = Browser(world)
    browser.sign_in()
    return browser


@pytest.fixture
def bob(world: World) -> Browser:
    """Bob's browser, signed in."""
    world.register("bob")
    browser = Browser(world)
    browser.sign_in("bob")
    return browser


@pytest.fixture
def visitor(world: World) -> Browser:
    """A browser that is not signed in."""
    return Browser(world, "/account/sign-in")


def token_of(browser: Browser) -> str:
    return browser.page.fields["form_token"]


def test_there_are_pages_to_attack() -> None:
    assert len(POSTS) > 15
    assert len(GETS) > 15
    assert all(page.csrf for page in POSTS)


@pytest.mark.parametrize("page", POSTS, ids=repr)
def test_a_form_from_somewhere_else_is_refused_even_with_the_token(
    world: World, alice: Browser, page: Declared
) -> None:
    content = urlencode({**FIELDS, "form_token": token_of(alice)})
    for headers in FORGED.values():
        refused(world, alice, page, content, headers)
    alice.open("/account/")
    assert alice.page.heading == "Your account"


@pytest.mark.parametrize("page", of(POSTS, Access.ANYONE), ids=repr)
def test_a_form_from_somewhere_else_is_refused_before_the_sign_in(
    world: World, visitor: Browser, page: Declared
) -> None:
    content = urlencode({**FIELDS, "form_token": token_of(visitor)})
    for headers in FORGED.values():
        refused(world, visitor, page, content, headers)


@pytest.mark.parametrize("page", POSTS, ids=repr)
def test_a_form_needs_the_token_of_its_own_session(
    world: World, alice: Browser, bob: Browser, visitor: Browser, page: Declared
) -> None:
    own = token_of(alice)
    for token in (None, "", own[:-1], own.upper(), own + "x", "é", token_of(bob), token_of(visitor)):
        content = urlencode({**FIELDS, **({} if token is None else {"form_token": token})})
        for headers in (OURS, {}):
            refused(world, alice, page, content, headers)


@pytest.mark.parametrize("page", of(POSTS, Access.ANYONE), ids=repr)
def test_a_form_needs_the_token_of_its_own_visitor(
    world: World, alice: Browser, visitor: Browser, page: Declared
) -> None:
    other = Browser(world, "/account/sign-in")
    for token in ("", token_of(other), token_of(alice)):
        refused(world, visitor, page, urlencode({**FIELDS, "form_token": token}), OURS)


@pytest.mark.parametrize("page", POSTS, ids=repr)
def test_a_form_is_no_other_kind_of_body(world: World, alice: Browser, page: Declared) -> None:
    """These kinds of bodies can be sent by another site without asking first, or by a script."""
    fields = urlencode({**FIELDS, "form_token": token_of(alice)})
    for content_type, content in (
        ("text/plain", fields),
        ("text/plain;charset=UTF-8", fields),
        ("application/json", f'{{"form_token": "{token_of(alice)}"}}'),
        (
            "multipart/form-data; boundary=x",
            f'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n{fields}\r\n--x--',
        ),
        ("", fields),
    ):
        refused(world, alice, page, content, {**OURS, "Content-Type": content_type})


@pytest.mark.parametrize("page", POSTS, ids=repr)
def test_the_same_form_from_our_page_is_taken(world: World, alice: Browser, page: Declared) -> None:
    """Without this, a page that refuses everything would pass."""
    answer = send(world, alice, page, urlencode({**FIELDS, "form_token": token_of(alice)}), OURS)
    shown = Page(answer).text if "html" in answer.headers["content-type"] else ""
    assert "out of date" not in shown
    assert "sent by another site" not in shown


@pytest.mark.parametrize("page", GETS, ids=repr)
def test_opening_a_page_writes_nothing(world: World, alice: Browser, page: Declared) -> None:
    """An image or a link on another site opens pages with the person's cookie."""
    before = world.database.writes
    alice.open(path_of(page))
    assert world.database.writes == before
    alice.open("/account/")
    assert alice.page.heading == "Your account"


def test_a_stranger_cannot_sign_a_person_in_to_the_strangers_account(world: World, visitor: Browser) -> None:
    """Login CSRF: what the person then types or adds would be the stranger's."""
    world.register("bob")
    stranger = Browser(world, "/account/sign-in")
    fields: dict[str, Any] = {"name": "bob", "password": PASSWORD}
    for token in ({}, {"form_token": token_of(stranger)}):
        visitor.submit({**fields, **token}, "/account/sign-in")
        assert visitor.page.status == 403
        assert SESSION not in visitor.cookies


def test_a_sign_in_form_is_worth_nothing_once_somebody_is_signed_in(world: World, visitor: Browser) -> None:
    world.register()
    before = token_of(visitor)
    visitor.sign_in()
    assert VISITOR not in visitor.cookies
    visitor.submit({"form_token": before, "name": "alice", "password": PASSWORD}, "/account/sign-in")
    assert visitor.page.status == 403


def test_a_mailed_link_of_another_person_changes_nothing_of_the_one_who_opens_it(
    world: World, alice: Browser, bob: Browser
) -> None:
    bob.open("/account/contacts/add?medium=email")
    bob.press("Send me a code", address="bob@example.com")
    link, before = world.mail().link, dict(alice.cookies)
    alice.open(link)
    alice.press("Yes, confirm it")
    assert alice.cookies == before
    alice.open("/account/contacts")
    assert "bob@example.com" not in alice.page.html
    bob.press("I pressed the button")
    bob.open("/account/contacts")
    assert "bob@example.com" in bob.page.text
    alice.open("/account/")
    assert "@alice:example.org" in alice.page.text


def test_a_link_for_another_persons_new_password_signs_nobody_out(world: World, alice: Browser, bob: Browser) -> None:
    bob.open("/account/contacts/add?medium=email")
    bob.press("Send me a code", address="bob@example.com")
    bob.press("Continue", code=world.mail().code)
    world.clock.advance(1)
    asking = Browser(world, "/account/forgot")
    asking.press("Send me a code", address="bob@example.com")
    before = dict(alice.cookies)
    alice.open(world.mail().link)
    assert "@bob:example.org" in alice.page.text
    assert alice.cookies == before
    alice.open("/account/")
    assert "@alice:example.org" in alice.page.text
