"""A131: an operator does more in the console than the scopes of the token permit, or changes an administrator's account."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from noted import waiting_message
from operators import world_of_operators
from threepid.spec.operator_scopes import Scope
from threepid.storage import accounts, suppressions
from threepid.web.page import Access
from threepid.web.page import Page as Declared
from web.console_pages import ALICE, PAGES, operator_browser
from web.portal_browser import Browser
from world import World

WITH_SCOPE = tuple(page for page in PAGES if page.scope is not None)
OF_NONE = ("/admin/new-account", "/admin/account/reactivate")
"""Their account is nobody's yet, or closed, and then not an administrator's."""
OF_AN_ACCOUNT = tuple(
    page for page in PAGES if page.scope is Scope.ACCOUNTS_WRITE and page.method == "POST" and page.path not in OF_NONE
)
ASKS = next(page for page in PAGES if page.path == "/admin/account/deactivate" and page.method == "GET")
BOB = "bob@example.net"
FORMS = {
    "/admin/account/add-contact": {"address": "evil@example.com"},
    "/admin/account/verify-contact": {"medium": "email", "address": "alice@example.com"},
    "/admin/account/remove-contact": {"medium": "email", "address": "alice@example.com"},
    "/admin/account/log-out": {"kind": "all"},
    "/admin/account/deactivate": {"understood": "yes", "erase": "yes"},
}


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_of_operators(database_url, tmp_path) as made:
        token = made.register()
        made.add(token, made.validated(made.identity_token(token)))
        yield made


def ask(browser: Browser, page: Declared) -> None:
    if page.method == "GET":
        browser.open(f"{page.path}?user=alice&q=alice&address=alice%40example.com")
    else:
        token = browser.page.fields["form_token"]
        browser.submit({"user": "alice", "form_token": token, **FORMS.get(page.path, {})}, page.path)


def test_all_pages_of_the_console_but_the_first_take_a_scope() -> None:
    assert [page for page in PAGES if page.access is Access.OPERATOR and page.scope is None] == [
        page for page in PAGES if page.path == "/admin/"
    ]


@pytest.mark.parametrize("page", WITH_SCOPE, ids=repr)
def test_every_page_wants_its_scope(world: World, page: Declared) -> None:
    browser = operator_browser(world, *(scope for scope in Scope if scope is not page.scope))
    before, mails = world.run(world.homeserver.directory.show(ALICE)), len(world.mails())
    writes = world.database.writes
    ask(browser, page)
    assert browser.page.status == 403
    assert "alice" not in browser.page.text
    assert world.run(world.homeserver.directory.show(ALICE)) == before
    assert world.database.writes == writes
    assert len(world.mails()) == mails


def test_the_first_page_names_nobody_without_the_scope(world: World) -> None:
    browser = operator_browser(world, Scope.AUDIT_READ)
    browser.open("/admin/?q=alice")
    assert "@alice" not in browser.page.html


@pytest.mark.parametrize("page", OF_AN_ACCOUNT, ids=repr)
def test_only_a_token_for_admins_changes_an_admins_account(world: World, page: Declared) -> None:
    browser = operator_browser(world)
    world.run(world.database.write(lambda tx: accounts.set_admin(tx, ALICE, world.clock.now())))
    before, mails = world.run(world.homeserver.directory.show(ALICE)), len(world.mails())
    ask(browser, page)
    assert browser.page.status == 403
    assert "admins:write" in browser.page.problem
    assert world.run(world.homeserver.directory.show(ALICE)) == before
    assert len(world.mails()) == mails


@pytest.mark.parametrize("page", OF_AN_ACCOUNT, ids=repr)
def test_a_token_for_admins_does(world: World, page: Declared) -> None:
    """Without this, a page that refuses everything would pass."""
    browser = operator_browser(world, *Scope)
    world.run(world.database.write(lambda tx: accounts.set_admin(tx, ALICE, world.clock.now())))
    ask(browser, page)
    assert browser.page.status == 200
    assert not browser.page.problem


def test_a_closed_account_of_an_administrator_comes_back_as_an_ordinary_one(world: World) -> None:
    """Otherwise a token without `admins:write` opens it again, adds a contact and has a password chosen there."""
    browser, strong = operator_browser(world), operator_browser(world, *Scope, name="strong")
    world.run(world.database.write(lambda tx: accounts.set_admin(tx, ALICE, world.clock.now())))
    form = {"user": "alice", "form_token": strong.page.fields["form_token"], "understood": "yes"}
    strong.submit(form, "/admin/account/deactivate")
    browser.submit({"user": "alice", "form_token": browser.page.fields["form_token"]}, "/admin/account/reactivate")
    assert browser.page.status == 200
    shown = world.run(world.homeserver.directory.show(ALICE))
    assert (shown.deactivated_at, shown.is_admin, shown.has_password, shown.contacts) == (None, False, False, [])


@pytest.mark.parametrize("scope", [Scope.AUDIT_READ, Scope.MESSAGES_READ, Scope.ACCOUNTS_READ])
def test_the_data_of_an_account_takes_three_scopes(world: World, scope: Scope) -> None:
    browser = operator_browser(world, *(one for one in Scope if one is not scope))
    writes = world.database.writes
    browser.submit({"user": "alice", "form_token": browser.page.fields["form_token"]}, "/admin/account/data")
    assert browser.page.status == 403
    assert "content-disposition" not in browser.page.headers
    assert scope.value in browser.page.text
    assert world.database.writes == writes


def test_only_a_token_for_admins_gets_an_admins_data(world: World) -> None:
    browser, strong = operator_browser(world), operator_browser(world, *Scope, name="strong")
    world.run(world.database.write(lambda tx: accounts.set_admin(tx, ALICE, world.clock.now())))
    for one, status in ((browser, 403), (strong, 200)):
        one.open("/admin/account?user=alice")
        if status == 200:
            assert one.download("Download the data of the account")["account"]["user_id"] == ALICE
        else:
            one.press("Download the data of the account")
            assert (one.page.status, "content-disposition" in one.page.headers) == (403, False)


@pytest.mark.parametrize("typed", ["alice", "alice@example.com", "nobody"])
def test_the_forms_of_messages_do_not_say_whose_an_address_is(world: World, typed: str) -> None:
    """They name the account of whose page they are a part. Without the scope there is no such page."""
    browser = operator_browser(world, Scope.MESSAGES_READ, Scope.MESSAGES_WRITE)
    token = browser.page.fields["form_token"]
    message = waiting_message(world, BOB)
    browser.trail.clear()
    browser.submit({"user": typed, "form_token": token, "message": message}, "/admin/resend")
    assert browser.trail == ["POST /admin/resend", "GET /admin/queue?done=sent"]
    browser.trail.clear()
    report: dict[str, Any] = {"kind": "bounce", "status": "5.1.1", "message_id": message, "now": world.clock.now()}
    world.run(world.database.write(lambda tx: suppressions.record(tx, canonical=BOB, **report)))
    form = {"user": typed, "form_token": token, "medium": "email", "address": BOB}
    browser.submit(form, "/admin/suppressions")
    assert browser.trail == ["POST /admin/suppressions", "GET /admin/suppressions?done=mailed"]


@pytest.mark.parametrize("page", [*OF_AN_ACCOUNT, ASKS], ids=repr)
def test_who_may_only_change_accounts_does_not_learn_whose_an_address_is(world: World, page: Declared) -> None:
    """The admin API names the account of an address with `accounts:read` only."""
    browser = operator_browser(world, Scope.ACCOUNTS_WRITE)
    token = browser.page.fields["form_token"]
    for typed in ("alice@example.com", "nobody@example.com"):
        browser.trail.clear()
        if page.method == "GET":
            browser.open(f"{page.path}?user={quote(typed)}")
        else:
            browser.submit({"form_token": token, **FORMS.get(page.path, {}), "user": typed}, page.path)
        assert "@alice" not in browser.page.html
        assert not any("%40alice" in step for step in browser.trail)


def test_fields_that_a_form_does_not_have_change_nothing(world: World) -> None:
    browser = operator_browser(world)
    more = {"is_admin": "1", "admin": "yes", "scope": "admins:write", "password": "evil password", "user_id": "@bob:x"}
    token = browser.page.fields["form_token"]
    browser.submit({"user": "alice", "form_token": token, **more}, "/admin/account/unlock")
    shown = world.run(world.homeserver.directory.show(ALICE))
    assert not shown.is_admin
    browser.submit({"user": "alice", "form_token": token, **more}, "/admin/account/lock")
    assert world.run(world.homeserver.directory.show(ALICE)).locked_at is not None
    assert not world.run(world.homeserver.directory.show(ALICE)).is_admin


def test_a_device_of_another_account_is_not_logged_out(world: World) -> None:
    world.register("bob")
    device = world.run(world.homeserver.directory.show("@bob:example.org")).devices[0].device_id
    browser = operator_browser(world)
    token = browser.page.fields["form_token"]
    form = {"user": "alice", "form_token": token, "kind": "device", "id": device}
    browser.submit(form, "/admin/account/log-out")
    assert browser.page.status == 404
    assert len(world.run(world.homeserver.directory.show("@bob:example.org")).devices) == 1
