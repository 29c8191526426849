"""Whatever operators change is in the audit log: every endpoint of the admin API, and every form of the console.

The commands stand in tests/cli/test_noted_commands.py.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from noted import ADDRESS, GONE, Made, entries, furnish, new_entries, path_of
from operators import ADMIN, operator_token, world_of_operators
from threepid.api.endpoints import ADMIN as ENDPOINTS
from threepid.domain.audit import CallerKind, Event
from threepid.storage import accounts, audit
from threepid.web.console.pages import OF_ACCOUNTS, PAGES
from web.console_pages import operator_browser
from web.portal_browser import Browser
from world import World

GUIDE = Path(__file__).parents[1] / "docs" / "guides" / "helping-people.md"
ALICE = "@alice:example.org"
MORE = {"medium": "email", "address": "more@example.com"}
Call = tuple[str, Any, Event]
Form = tuple[dict[str, str], Event]

CALLS: dict[str, Callable[[Made], Call]] = {
    "create_account": lambda _: ("/accounts", {"username": "bob"}, Event.REGISTERED),
    "set_password": lambda _: ("/accounts/alice/password", {"password": "a better password"}, Event.PASSWORD_CHANGED),
    "send_password_link": lambda _: ("/accounts/alice/password_link", {}, Event.LINK_SENT),
    "add_contact": lambda _: ("/accounts/alice/contacts/add", MORE, Event.CONTACT_ADDED),
    "verify_contact": lambda _: ("/accounts/alice/contacts/verify", MORE, Event.CONTACT_VERIFIED),
    "remove_contact": lambda _: ("/accounts/alice/contacts/remove", MORE, Event.CONTACT_REMOVED),
    "clear_limits": lambda _: ("/limits/clear", {"account": "alice"}, Event.LIMITS_CLEARED),
    "resend_message": lambda made: (f"/messages/{path_of(made.messages[0])}/resend", {}, Event.MESSAGE_RESENT),
    "remove_suppression": lambda _: (
        "/suppressions/remove",
        {"medium": "email", "address": GONE},
        Event.SUPPRESSION_REMOVED,
    ),
    "cancel_invite": lambda made: (f"/invites/{path_of(made.invite)}/cancel", {}, Event.INVITE_CANCELLED),
    "export_account": lambda _: ("/accounts/alice/export", {}, Event.DATA_DOWNLOADED),
    "log_account_out": lambda _: ("/accounts/bob/log_out", {}, Event.SIGNED_OUT_EVERYWHERE),
    "lock_account": lambda _: ("/accounts/alice/lock", {}, Event.LOCKED),
    "unlock_account": lambda _: ("/accounts/alice/unlock", {}, Event.UNLOCKED),
    "deactivate_account": lambda _: ("/accounts/alice/deactivate", {}, Event.DEACTIVATED),
    "reactivate_account": lambda _: ("/accounts/alice/reactivate", {}, Event.REACTIVATED),
}
"""What each endpoint that changes something is sent, in an order in which each can do its work, and what the log has of it."""
FIRST: dict[str, Callable[[Made], Call]] = {
    "log_device_out": lambda made: (f"/accounts/alice/devices/{made.device}", None, Event.SIGNED_OUT),
    "end_session": lambda made: (f"/accounts/alice/sessions/{path_of(made.session)}", None, Event.SIGNED_OUT),
}
"""Those before a new password, which signs everything out."""
FORMS: dict[str, Callable[[Made], Form]] = {
    "/admin/account/log-out": lambda made: ({"kind": "browser", "id": made.session}, Event.SIGNED_OUT),
    "/admin/account/link": lambda _: ({}, Event.LINK_SENT),
    "/admin/account/lock": lambda _: ({}, Event.LOCKED),
    "/admin/account/unlock": lambda _: ({}, Event.UNLOCKED),
    "/admin/account/add-contact": lambda _: ({"address": MORE["address"]}, Event.CONTACT_ADDED),
    "/admin/account/verify-contact": lambda _: (MORE, Event.CONTACT_VERIFIED),
    "/admin/account/remove-contact": lambda _: (MORE, Event.CONTACT_REMOVED),
    "/admin/account/limits": lambda _: ({}, Event.LIMITS_CLEARED),
    "/admin/account/data": lambda _: ({}, Event.DATA_DOWNLOADED),
    "/admin/limits": lambda _: ({"network": "192.0.2.1"}, Event.LIMITS_CLEARED),
    "/admin/suppressions": lambda _: ({"medium": "email", "address": GONE}, Event.SUPPRESSION_REMOVED),
    "/admin/resend": lambda made: ({"message": made.messages[0]}, Event.MESSAGE_RESENT),
    "/admin/invitations": lambda made: ({"invite": made.invite}, Event.INVITE_CANCELLED),
    "/admin/new-account": lambda _: ({"username": "carol"}, Event.REGISTERED),
    "/admin/account/deactivate": lambda _: ({"understood": "yes"}, Event.DEACTIVATED),
    "/admin/account/reactivate": lambda _: ({}, Event.REACTIVATED),
}
"""The same of each form of the console by its path, for the account of Alice."""
SESSIONS = {"/admin/sign-in", "/admin/sign-out", "/admin/by-account"}
"""The forms that open and close the console."""


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_of_operators(database_url, tmp_path, email__bounce_address="bounces@example.org") as made:
        yield made


def test_every_endpoint_that_changes_something_is_called_here() -> None:
    assert sorted([*FIRST, *CALLS]) == sorted(one.handler.__name__ for one in ENDPOINTS if one.method != "GET")


def test_every_form_of_the_console_is_sent_here() -> None:
    declared = [page.path for page in (*PAGES, *OF_ACCOUNTS) if page.method == "POST"]
    assert sorted([*FORMS, *SESSIONS]) == sorted(declared)


def test_the_guide_names_every_event() -> None:
    section = GUIDE.read_text().partition("## What the audit log notes\n")[2].partition("\n## ")[0]
    named = [name for row in section.splitlines() if row.startswith("|") for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(Event)


def test_every_change_by_the_admin_api_is_noted_with_its_operator(world: World) -> None:
    made = furnish(world)
    token = operator_token(world)
    methods = {one.handler.__name__: one.method for one in ENDPOINTS}
    for name, sent in {**FIRST, **CALLS}.items():
        path, body, event = sent(made)
        before = entries(world)
        answer = world.call(methods[name], f"{ADMIN}{path}", body, token=token)
        assert answer.status_code == 200, (name, answer.text)
        found = new_entries(world, before)
        assert event in {one.kind for one in found}, name
        assert {(one.caller_kind, one.caller) for one in found} == {(CallerKind.OPERATOR, "helpdesk")}, name


def test_a_call_that_reads_or_fails_notes_nothing(world: World) -> None:
    furnish(world)
    token = operator_token(world)
    before = entries(world)
    for endpoint in ENDPOINTS:
        path = re.sub(r"\{\w+\}", "nosuch", str(endpoint.paths[0]))
        body: Any = None if endpoint.method in {"GET", "DELETE"} else {}
        assert world.call(endpoint.method, path, body, token=token).status_code in {200, 400, 404}, path
    assert entries(world) == before


def test_every_change_in_the_console_is_noted_with_its_operator(world: World) -> None:
    made = furnish(world)
    desk = operator_browser(world)
    for path, sent in FORMS.items():
        fields, event = sent(made)
        desk.open("/admin/account?user=alice")
        before = entries(world)
        page = desk.submit({"form_token": desk.page.fields["form_token"], "user": ALICE, **fields}, path)
        assert (page.status, page.problem) == (200, ""), path
        found = new_entries(world, before)
        assert event in {one.kind for one in found}, path
        assert {(one.caller_kind, one.caller) for one in found} == {(CallerKind.OPERATOR, "helpdesk")}, path


def consoles(world: World) -> list[tuple[str, str, str]]:
    """What the log has of sessions of the console: event, account and operator."""
    found = [one for one in entries(world) if one.kind.startswith("console_")]
    return [(one.kind, one.user_id, one.caller) for one in found]


def test_the_log_says_who_opened_and_closed_the_console(world: World) -> None:
    desk = operator_browser(world)
    stale = dict(desk.cookies)
    desk.press("Sign out")
    opened_and_closed = [(Event.CONSOLE_OPENED, "", "helpdesk"), (Event.CONSOLE_CLOSED, "", "helpdesk")]
    assert consoles(world) == opened_and_closed
    late = Browser(world, "/admin/sign-in")
    late.cookies = stale
    late.submit({"form_token": "x"}, "/admin/sign-out")
    assert consoles(world) == opened_and_closed, "a session that has ended is not closed"


def test_the_log_says_which_account_opened_and_closed_the_console(world: World) -> None:
    world.register()
    now = world.clock.now()
    world.run(world.database.write(lambda tx: accounts.set_admin(tx, ALICE, now)))
    browser = Browser(world, "/admin/by-account")
    browser.sign_in()
    browser.press("Continue")
    world.clock.advance(1)
    browser.press("Sign out")
    assert consoles(world) == [(Event.CONSOLE_OPENED, ALICE, ALICE), (Event.CONSOLE_CLOSED, ALICE, ALICE)]


def test_no_entry_has_the_address_of_a_person(world: World) -> None:
    made = furnish(world)
    token = operator_token(world)
    for name in ("add_contact", "remove_suppression", "cancel_invite"):
        path, body, _ = CALLS[name](made)
        assert world.call("POST", f"{ADMIN}{path}", body, token=token).status_code == 200
    whole = world.run(world.database.read(lambda tx: audit.oldest(tx, audit.Which(), after=None, count=1000)))
    for address in (ADDRESS, GONE, MORE["address"]):
        assert address not in repr(whole)
