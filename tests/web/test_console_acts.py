"""The console, for somebody who helps on the phone: what else operators do there, as with commands and the admin API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from operators import world_of_operators
from threepid.api.endpoints import ADMIN
from threepid.clock import HOUR
from threepid.domain.audit import Event
from threepid.spec.operator_scopes import Scope
from threepid.storage import audit, suppressions
from threepid.storage.engine.database import Tx
from threepid.storage.engine.queries import Query
from web.console_pages import ALICE, PAGES, operator_browser
from web.portal_browser import Browser
from world import PASSWORD, World

C = "/_matrix/client/v3"
ADDRESS = "alice@example.com"
AWAY = {"X-Forwarded-For": "203.0.113.7"}


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_of_operators(database_url, tmp_path, sms__countries=["GB"]) as made:
        token = made.register()
        made.add(token, made.validated(made.identity_token(token)))
        made.clock.advance(1)
        yield made


@pytest.fixture
def desk(world: World) -> Browser:
    """The browser of the help desk."""
    return operator_browser(world)


def log(world: World) -> list[audit.Entry]:
    """The newest entries of the audit log, newest first."""
    return world.run(world.database.read(lambda tx: audit.recent(tx, audit.Which(), before=None, count=20)))


def newest(world: World) -> tuple[str, str, str]:
    """The newest entry: what, about whom, by whom."""
    return (log(world)[0].kind, log(world)[0].user_id, log(world)[0].caller)


def log_in(world: World, password: str = PASSWORD, **more: Any) -> int:
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": password}
    return world.post(f"{C}/login", body, **more).status_code


ACCOUNT = "/admin/account"
SAME = {
    "search_accounts": "GET /admin/",
    "show_account": f"GET {ACCOUNT}",
    "show_messages": f"GET {ACCOUNT}",
    "create_account": "POST /admin/new-account",
    "send_password_link": f"POST {ACCOUNT}/link",
    "add_contact": f"POST {ACCOUNT}/add-contact",
    "verify_contact": f"POST {ACCOUNT}/verify-contact",
    "remove_contact": f"POST {ACCOUNT}/remove-contact",
    "log_device_out": f"POST {ACCOUNT}/log-out",
    "end_session": f"POST {ACCOUNT}/log-out",
    "log_account_out": f"POST {ACCOUNT}/log-out",
    "lock_account": f"POST {ACCOUNT}/lock",
    "unlock_account": f"POST {ACCOUNT}/unlock",
    "deactivate_account": f"POST {ACCOUNT}/deactivate",
    "reactivate_account": f"POST {ACCOUNT}/reactivate",
    "export_account": f"POST {ACCOUNT}/data",
    "clear_limits": "POST /admin/limits",
    "list_messages": "GET /admin/queue",
    "show_message": "GET /admin/queue",
    "resend_message": "POST /admin/resend",
    "list_suppressions": "GET /admin/suppressions",
    "remove_suppression": "POST /admin/suppressions",
    "list_invites": "GET /admin/invitations",
    "cancel_invite": "POST /admin/invitations",
    "read_audit_log": "GET /admin/audit",
}
"""The endpoints of the admin API, and the pages that do the same."""
API_ONLY = {"set_password", "show_remains", "read_audit_sums"}
"""docs/decisions/0104-what-the-console-leaves-out.md"""


def test_what_the_admin_api_does_is_in_the_console_with_the_same_scope() -> None:
    assert {one.name for one in ADMIN} == {*SAME, *API_ONLY}
    pages = {repr(page): page for page in PAGES}
    for endpoint in ADMIN:
        if endpoint.name not in API_ONLY:
            scope = pages[SAME[endpoint.name]].scope
            # The start page and that of an account show what the token permits.
            assert scope == endpoint.scope or SAME[endpoint.name] in ("GET /admin/", f"GET {ACCOUNT}"), endpoint


# -- contacts


def test_a_contact_is_confirmed_again(world: World, desk: Browser) -> None:
    before = world.run(world.homeserver.directory.show(ALICE)).contacts[0]
    world.clock.advance(HOUR)
    desk = operator_browser(world, name="later")
    desk.open("/admin/account?user=alice")
    desk.press("It is still theirs")
    assert "A contact was confirmed" in desk.page.text
    after = world.run(world.homeserver.directory.show(ALICE)).contacts[0]
    assert (after.added_at, after.validated_at) == (before.added_at, world.clock.now())
    assert newest(world) == (Event.CONTACT_VERIFIED, ALICE, "later")


def test_a_contact_of_somebody_else_is_not_confirmed(world: World, desk: Browser) -> None:
    world.register("bob")
    form = {"user": "bob", "medium": "email", "address": ADDRESS, "form_token": desk.page.fields["form_token"]}
    desk.submit(form, "/admin/account/verify-contact")
    assert (desk.page.status, desk.page.problem) == (404, "The account has no such contact.")
    desk.submit({**form, "address": "no address"}, "/admin/account/verify-contact")
    assert (desk.page.status, desk.page.problem) == (400, "This is not a valid email address.")
    assert Event.CONTACT_VERIFIED not in {one.kind for one in log(world)}


# -- accounts as a whole


def test_an_operator_who_wants_to_erase_need_not_tick_it_again(world: World, desk: Browser) -> None:
    ticked = 'name="erase" value="yes" checked'
    desk.open("/admin/account/deactivate?user=alice")
    assert ticked not in desk.page.html
    desk.press("Close the account", check=("erase",))
    assert desk.page.problem == "Tick the box first: this cannot be undone."
    assert ticked in desk.page.html


def test_a_closed_account_is_opened_again_and_its_owner_chooses_a_password(world: World, desk: Browser) -> None:
    desk.open("/admin/account/deactivate?user=alice")
    desk.press("Close the account", check=("understood",))
    assert "its contacts and devices do not come back" in desk.page.text
    desk.press("Open the account again")
    assert "The account was opened again" in desk.page.text
    assert "The account has no password" in desk.page.text
    assert newest(world) == (Event.REACTIVATED, ALICE, "helpdesk")
    assert "Open the account again" not in desk.page.buttons
    desk.press("Add a contact", address=ADDRESS)
    desk.press("Send a link for a new password")
    assert world.mail().recipient == ADDRESS


def test_an_open_account_is_not_opened_again(world: World, desk: Browser) -> None:
    desk.submit({"user": "alice", "form_token": desk.page.fields["form_token"]}, "/admin/account/reactivate")
    assert (desk.page.status, desk.page.problem) == (403, "This account is not deactivated.")


def test_an_account_is_created_for_a_person(world: World, desk: Browser) -> None:
    desk.follow("Create an account")
    desk.press("Create the account", username=" carol ")
    assert (desk.page.heading, "@carol:example.org" in desk.page.text) == ("Account", True)
    assert "The account has no password" in desk.page.text
    assert newest(world) == (Event.REGISTERED, "@carol:example.org", "helpdesk")


@pytest.mark.parametrize(
    ("name", "status", "problem"),
    [
        ("alice", 400, "This user ID is already taken."),
        ("two words", 400, "A username must have 1 to 255 of the characters"),
    ],
)
def test_a_wrong_username_is_named(world: World, desk: Browser, name: str, status: int, problem: str) -> None:
    desk.open("/admin/new-account")
    desk.press("Create the account", username=name)
    assert (desk.page.status, desk.page.heading) == (status, "Create an account")
    assert desk.page.problem.startswith(problem)
    assert desk.page.attributes["username"]["value"] == name


def test_the_data_of_an_account_is_downloaded(world: World, desk: Browser) -> None:
    desk.open("/admin/account?user=alice")
    found = desk.download("Download the data of the account")
    assert [one["address"] for one in found["contacts"]] == [ADDRESS]
    assert newest(world) == (Event.DATA_DOWNLOADED, ALICE, "helpdesk")
    reader = operator_browser(world, Scope.ACCOUNTS_READ, Scope.ACCOUNTS_WRITE, Scope.AUDIT_READ, name="reader")
    reader.open("/admin/account?user=alice")
    assert "Download the data of the account" not in reader.page.buttons


# -- limits


@pytest.fixture
def limited(database_url: str, tmp_path: Path) -> Iterator[World]:
    limits = {
        "all": "on",
        "guesses_at_account_from_client": {"burst": 3, "per_hour": 1},
        "message_to_address": {"burst": 2, "per_hour": 1},
    }
    with world_of_operators(database_url, tmp_path, limits=limits) as made:
        made.register()
        yield made


@pytest.mark.parametrize("typed", [{"user": "alice", "network": "203.0.113.7"}, {"user": "alice"}])
def test_limits_of_an_account_and_a_network_are_cleared(limited: World, typed: dict[str, str]) -> None:
    for _ in range(3):
        assert log_in(limited, "a wrong password", headers=AWAY) == 403
    assert log_in(limited, headers=AWAY) == 429
    desk = operator_browser(limited)
    desk.open("/admin/account?user=alice")
    desk.follow("Clear the limits of a network")
    assert desk.page.attributes["user"]["value"] == ALICE
    desk.press("Clear the limits", check=(), **typed)
    assert "Limits were cleared" in desk.page.text
    assert newest(limited) == (Event.LIMITS_CLEARED, ALICE, "helpdesk")
    assert log_in(limited, headers=AWAY) == 200
    desk.press("Clear the limits", user="alice")
    assert "No limit was used up." in desk.page.text


def test_limits_of_an_address_without_an_account_are_cleared(limited: World) -> None:
    def ask(number: int) -> int:
        body = {"client_secret": "secret", "send_attempt": number, "email": "new@example.com"}
        return limited.post(f"{C}/register/email/requestToken", body).status_code

    answers = [ask(number) for number in range(1, 4)]
    assert answers[-1] == 429
    desk = operator_browser(limited)
    desk.follow("Limits")
    desk.press("Clear the limits", user="New@example.com")
    assert "Limits were cleared" in desk.page.text
    assert newest(limited) == (Event.LIMITS_CLEARED, "", "helpdesk")
    assert "n***@example.com" in log(limited)[0].details
    assert ask(4) == 200


@pytest.mark.parametrize(
    ("typed", "status", "problem"),
    [
        ({}, 400, "Name an account, an address or a network."),
        ({"user": "nobody"}, 404, "There is no such account."),
        ({"user": "a@b@c"}, 400, "This is not a valid email address."),
        ({"network": "here"}, 400, "This is not an IP address or a network."),
        ({"user": "alice", "network": "203.0.113.7/99"}, 400, "This is not an IP address or a network."),
    ],
)
def test_what_cannot_be_cleared_is_named(
    world: World, desk: Browser, typed: dict[str, str], status: int, problem: str
) -> None:
    desk.open("/admin/limits")
    desk.press("Clear the limits", check=(), **typed)
    assert (desk.page.status, desk.page.problem) == (status, problem)
    assert {name: desk.page.attributes[name]["value"] for name in typed} == typed
    assert Event.LIMITS_CLEARED not in {one.kind for one in log(world)}


# -- addresses that get no mails


def suppress(world: World, *addresses: str) -> None:
    now = world.clock.now()

    def step(tx: Any) -> None:
        for address in addresses:
            suppressions.record(tx, canonical=address, kind="bounce", status="5.1.1", message_id="m", now=now)

    world.run(world.database.write(step))


def test_an_address_without_an_account_gets_mails_again(world: World, desk: Browser) -> None:
    suppress(world, "new@example.com", "other@example.com")
    desk.follow("Addresses that get no mails")
    assert desk.page.strong == ["new@example.com", "other@example.com"]
    desk.open("/admin/suppressions?address=NEW%40example.com")
    assert desk.page.strong == ["new@example.com"]
    assert "5.1.1" in desk.page.text
    desk.press("Send mails again")
    assert "An address gets mails again" in desk.page.text
    assert desk.page.strong == ["other@example.com"]
    assert newest(world) == (Event.SUPPRESSION_REMOVED, "", "helpdesk")
    desk.open("/admin/suppressions?address=new%40example.com")
    assert "Nothing was found." in desk.page.text
    desk.open("/admin/suppressions?address=new")
    assert (desk.page.status, desk.page.problem) == (400, "This is not a valid email address.")


def test_the_list_of_addresses_goes_on_on_the_next_page(world: World, desk: Browser) -> None:
    suppress(world, *(f"person{number:02}@example.com" for number in range(60)))
    desk.open("/admin/suppressions")
    first = list(desk.page.strong)
    desk.follow("Next page")
    assert (len(first), desk.page.strong[0], len(desk.page.strong)) == (50, "person50@example.com", 10)
    assert "Next page" not in desk.page.links


# -- invitations


def invite(world: World, *addresses: str) -> None:
    identity = world.identity_token(world.register("carol"), "carol")
    for number, address in enumerate(addresses):
        body = {"medium": "email", "address": address, "room_id": f"!room{number}:b", "sender": "@carol:example.org"}
        assert world.post("/_matrix/identity/v2/store-invite", body, token=identity).status_code == 200
        world.clock.advance(1)


def rooms(desk: Browser) -> list[str]:
    return [word for word in desk.page.text.split() if word.startswith("!room")]


def test_an_invitation_is_cancelled(world: World, desk: Browser) -> None:
    invite(world, "new@example.com", "other@example.com")
    desk.follow("Invitations")
    assert rooms(desk) == ["!room0:b", "!room1:b"]
    desk.open("/admin/invitations?address=New%40example.com")
    assert rooms(desk) == ["!room0:b"]
    cancelled = dict(desk.page.values[desk.page.form_of["Cancel the invitation"]])
    desk.press("Cancel the invitation")
    assert "An invitation was cancelled" in desk.page.text
    assert rooms(desk) == ["!room0:b"]
    assert desk.page.text.count("cancelled") == 2
    assert "Cancel the invitation" not in desk.page.buttons
    assert newest(world) == (Event.INVITE_CANCELLED, "", "helpdesk")
    assert "n***@example.com" in log(world)[0].details
    desk.submit(cancelled, "/admin/invitations")
    assert (desk.page.status, desk.page.problem) == (400, "This invitation is already cancelled.")
    assert rooms(desk) == ["!room0:b"]
    desk.submit({**cancelled, "invite": "nosuch"}, "/admin/invitations")
    assert (desk.page.status, desk.page.problem) == (404, "This invitation does not exist.")


STATES = {
    "en": ("is waiting", "expired", "accepted", "does not know", "user knows", "cancelled"),
    "de": ("wartet", "abgelaufen", "angenommen", "kennt die Einladung noch nicht", "kennt sie", "zurückgezogen"),
    "ja": ("待っています", "切れ", "承諾", "まだ", "通知済み", "取り消されました"),
}


@pytest.mark.parametrize("language", STATES)
def test_the_state_of_an_invitation_is_a_sentence_in_the_operators_language(
    world: World, desk: Browser, language: str
) -> None:
    invite(world, *(f"person{number}@example.com" for number in range(6)))
    changes = ("expires_at = 1", "signed_for = '@a:b'", "bound_to = '@a:b'", "delivered_at = 1", "cancelled_at = 1")

    def change(tx: Tx) -> None:
        for number, text in enumerate(changes, 1):
            sql = f"UPDATE invites SET {text} WHERE room_id = '!room{number}:b'"
            tx.run(Query("test", sql, sql))

    world.run(world.database.write(change))
    desk.follow("Invitations")
    if language != "en":
        desk.speak(language)
    parts = desk.page.text.split("!room")[1:]
    assert len(parts) == len(STATES[language])
    for part, words in zip(parts, STATES[language], strict=True):
        assert words in part
    if language != "en":
        assert "cancelled" not in desk.page.text
        assert "waiting" not in desk.page.text


@pytest.mark.parametrize(("query", "first"), [("", "!room0:b"), ("?address=new%40example.com", "!room59:b")])
def test_the_list_of_invitations_goes_on_on_the_next_page(world: World, desk: Browser, query: str, first: str) -> None:
    invite(world, *["new@example.com"] * 60)
    desk.open(f"/admin/invitations{query}")
    shown = rooms(desk)
    desk.follow("Next page")
    rest = rooms(desk)
    assert (shown[0], len(shown), len(rest), len({*shown, *rest})) == (first, 50, 10, 60)
    assert "Next page" not in desk.page.links


def test_who_may_only_read_messages_sees_no_buttons(world: World) -> None:
    suppress(world, "new@example.com")
    invite(world, "new@example.com")
    reader = operator_browser(world, Scope.MESSAGES_READ, name="reader")
    assert "Limits" not in reader.page.links
    for path in ("/admin/suppressions", "/admin/invitations"):
        reader.open(path)
        assert "new@example.com" in reader.page.text
        assert set(reader.page.buttons) == {"Search", "Sign out"}


def test_a_server_with_one_role_has_the_pages_of_that_role(database_url: str, tmp_path: Path) -> None:
    with world_of_operators(database_url, tmp_path, accounts=None) as world:
        desk = operator_browser(world)
        assert "Create an account" not in desk.page.links
        desk.open("/admin/new-account")
        assert desk.page.status == 404
        desk.open("/admin/limits")
        desk.press("Clear the limits", user="new@example.com")
        assert "No limit was used up." in desk.page.text
        desk.press("Clear the limits", user="alice")
        assert desk.page.problem == "There is no such account."
    with world_of_operators(database_url, tmp_path / "second", identity=None) as world:
        desk = operator_browser(world, name="second")
        desk.follow("Invitations")
        assert "Nothing was found." in desk.page.text
