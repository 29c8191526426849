"""A129: no other site sends a form of the console for an operator, signs one in, or frames a page.

What is tried at one page is tried at every declared page.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from attacks.test_A25_forged_forms import FORGED, OURS, refused, send, token_of
from operators import world_of_operators
from threepid.web.page import Access
from threepid.web.page import Page as Declared
from web.console_pages import COOKIE, GETS, POSTS, operator_browser
from web.portal_browser import Browser
from web.test_every_page import check_headers
from web.visitor import Page
from world import World

FIELDS = {
    "user": "alice",
    "kind": "all",
    "understood": "yes",
    "address": "evil@example.com",
    "medium": "email",
    "message": "nosuch",
    "operator_token": "tpo_nosuch",
    "invite": "nosuch",
    "network": "192.0.2.1",
    "username": "evil",
}
BEFORE = tuple(page for page in POSTS if page.access is Access.NEAR)


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_of_operators(database_url, tmp_path) as made:
        made.register()
        yield made


@pytest.fixture
def desk(world: World) -> Browser:
    return operator_browser(world)


def test_there_are_pages_to_attack() -> None:
    assert len(POSTS) > 10
    assert len(GETS) > 6
    assert all(page.csrf for page in POSTS)


@pytest.mark.parametrize("page", POSTS, ids=repr)
def test_a_form_from_somewhere_else_is_refused_even_with_the_token(world: World, desk: Browser, page: Declared) -> None:
    content = urlencode({**FIELDS, "form_token": token_of(desk)})
    for headers in FORGED.values():
        refused(world, desk, page, content, headers)


@pytest.mark.parametrize("page", POSTS, ids=repr)
def test_a_form_needs_the_token_of_its_own_session(world: World, desk: Browser, page: Declared) -> None:
    own = token_of(desk)
    other, visitor = operator_browser(world, name="other"), Browser(world, "/admin/sign-in")
    portal = Browser(world)
    portal.sign_in()
    tokens = (None, "", own[:-1], own.upper(), own + "x", "é", token_of(other), token_of(visitor), token_of(portal))
    for token in tokens:
        content = urlencode({**FIELDS, **({} if token is None else {"form_token": token})})
        for headers in (OURS, {}):
            refused(world, desk, page, content, headers)


@pytest.mark.parametrize("page", BEFORE, ids=repr)
def test_a_form_needs_the_token_of_its_own_visitor(world: World, desk: Browser, page: Declared) -> None:
    visitor, other = Browser(world, "/admin/sign-in"), Browser(world, "/admin/sign-in")
    for token in ("", token_of(other), token_of(desk), token_of(Browser(world, "/account/sign-in"))):
        refused(world, visitor, page, urlencode({**FIELDS, "form_token": token}), OURS)
    for headers in FORGED.values():
        refused(world, visitor, page, urlencode({**FIELDS, "form_token": token_of(visitor)}), headers)


@pytest.mark.parametrize("page", POSTS, ids=repr)
def test_a_form_is_no_other_kind_of_body(world: World, desk: Browser, page: Declared) -> None:
    fields = urlencode({**FIELDS, "form_token": token_of(desk)})
    for content_type in ("text/plain", "application/json", ""):
        refused(world, desk, page, fields, {**OURS, "Content-Type": content_type})


@pytest.mark.parametrize("page", POSTS, ids=repr)
def test_the_same_form_from_our_page_is_taken(world: World, desk: Browser, page: Declared) -> None:
    """Without this, a page that refuses everything would pass."""
    answer = send(world, desk, page, urlencode({**FIELDS, "form_token": token_of(desk)}), OURS)
    assert "out of date" not in Page(answer).text
    assert "sent by another site" not in Page(answer).text


@pytest.mark.parametrize("page", POSTS, ids=repr)
def test_a_form_without_a_session_changes_nothing(world: World, desk: Browser, page: Declared) -> None:
    if page.access is Access.NEAR:
        return
    stranger = Browser(world, "/admin/sign-in")
    before = world.database.writes
    for token in (token_of(stranger), token_of(desk)):
        answer = send(world, stranger, page, urlencode({**FIELDS, "form_token": token}), OURS)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/admin/sign-in?next=")
    assert world.database.writes == before


@pytest.mark.parametrize("page", GETS, ids=repr)
def test_opening_a_page_writes_nothing_and_cannot_be_framed_or_kept(
    world: World, desk: Browser, page: Declared
) -> None:
    before = world.database.writes
    desk.open(f"{page.path}?user=alice")
    assert world.database.writes == before
    check_headers(page.path, desk.page)
    assert desk.page.headers["cache-control"] == "no-store"


def test_a_stranger_cannot_sign_an_operator_in_with_the_strangers_token(world: World) -> None:
    victim, stranger = Browser(world, "/admin/sign-in"), Browser(world, "/admin/sign-in")
    victim.submit({"operator_token": "x", "form_token": token_of(stranger)}, "/admin/sign-in")
    assert victim.page.status == 403
    assert COOKIE not in victim.cookies
