"""The admin API: accounts are created, locked, closed and opened again, and their data is handed out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from operators import ADMIN, get, operator_token, post, root, world_of_operators
from threepid.domain import audit
from threepid.spec.operator_scopes import Scope
from world import PASSWORD, World

C = "/_matrix/client/v3"
ALICE, BOB = "@alice:example.org", "@bob:example.org"
BOBS = {"medium": "email", "address": "bob@example.com"}


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_of_operators(database_url, tmp_path) as made:
        token = made.register()
        made.add(token, made.validated(made.identity_token(token)))
        yield made


@pytest.fixture
def token(world: World) -> str:
    return operator_token(world)


def log_in(world: World, user: str, password: str = PASSWORD) -> int:
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password}
    return world.post(f"{C}/login", body).status_code


def acts(world: World, user_id: str) -> list[str]:
    """What this operator did to the account, newest first."""
    found = world.run(audit.entries_of(world.server.context, user_id, count=50))
    return [one.event for one in found if (one.caller_kind, one.caller) == (audit.CallerKind.OPERATOR, "helpdesk")]


def errcode(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["errcode"]


def test_an_account_is_created_with_a_password(world: World, token: str) -> None:
    answer = post(world, "/accounts", token, {"username": "Bob", "password": PASSWORD})
    assert answer.json() == {"user_id": BOB}
    assert log_in(world, "bob") == 200
    assert acts(world, BOB) == [audit.Event.REGISTERED]
    assert errcode(post(world, "/accounts", token, {"username": "bob"})) == (400, "M_USER_IN_USE")
    assert errcode(post(world, "/accounts", token, {"username": "b b"})) == (400, "M_INVALID_USERNAME")
    assert errcode(post(world, "/accounts", token, {"username": "carl", "password": "x"})) == (400, "M_WEAK_PASSWORD")
    assert len(get(world, "/accounts", token).json()["accounts"]) == 2


def test_the_owner_of_an_account_without_a_password_chooses_one(world: World, token: str) -> None:
    assert post(world, "/accounts", token, {"username": "bob"}).status_code == 200
    assert post(world, "/accounts/bob/contacts/add", token, BOBS).status_code == 200
    assert log_in(world, "bob", "") == 403
    assert post(world, "/accounts/bob/password_link", token).status_code == 200
    mail = world.mails()[-1]
    assert mail.recipient == "bob@example.com"
    assert world.get(mail.link).status_code == 200


def test_a_locked_account_waits(world: World, token: str) -> None:
    assert post(world, "/accounts/alice/lock", token).json() == {"done": True}
    assert post(world, "/accounts/alice/lock", token).json() == {"done": False}
    assert log_in(world, "alice") == 401
    assert get(world, "/accounts/alice", token).json()["locked_at"] == world.clock.now()
    assert post(world, "/accounts/alice/unlock", token).json() == {"done": True}
    assert post(world, "/accounts/alice/unlock", token).json() == {"done": False}
    assert log_in(world, "alice") == 200
    assert acts(world, ALICE) == [audit.Event.UNLOCKED, audit.Event.LOCKED]


def test_a_locked_account_is_put_right_before_it_is_unlocked(world: World, token: str) -> None:
    """Otherwise whoever has stolen it goes on in the moment between its unlocking and the new password."""
    path = f"{ADMIN}/accounts/alice"
    contact = {"medium": "email", "address": "new@example.com"}
    assert post(world, "/accounts/alice/lock", token).json() == {"done": True}
    assert world.call("PUT", f"{path}/password", {"password": "the new password"}, token=token).status_code == 200
    assert post(world, "/accounts/alice/contacts/add", token, contact).status_code == 200
    assert post(world, "/accounts/alice/contacts/verify", token, contact).status_code == 200
    assert post(world, "/accounts/alice/log_out", token).status_code == 200
    shown = get(world, "/accounts/alice", token).json()
    assert (shown["locked_at"] is None, shown["devices"]) == (False, [])
    assert log_in(world, "alice", "the new password") == 401
    assert post(world, "/accounts/alice/unlock", token).json() == {"done": True}
    assert log_in(world, "alice", PASSWORD) == 403
    assert log_in(world, "alice", "the new password") == 200


def test_a_link_needs_a_contact(world: World, token: str) -> None:
    world.register("bob")
    answer = post(world, "/accounts/bob/password_link", token)
    assert answer.status_code == 404
    assert answer.json()["error"] == "The account has no contact to which this server sends such a link."


def test_an_account_is_closed_and_opened_again(world: World, token: str) -> None:
    assert errcode(post(world, "/accounts/alice/reactivate", token)) == (403, "M_FORBIDDEN")
    assert post(world, "/accounts/alice/deactivate", token).json() == {"unbound": True}
    shown = get(world, "/accounts/alice", token).json()
    assert (shown["deactivated_at"], shown["contacts"], shown["devices"]) == (world.clock.now(), [], [])
    assert errcode(post(world, "/accounts/alice/deactivate", token)) == (403, "M_FORBIDDEN")
    assert post(world, "/accounts/alice/lock", token).json() == {"done": False}
    weak = post(world, "/accounts/alice/reactivate", token, {"password": "x"})
    assert errcode(weak) == (400, "M_WEAK_PASSWORD")
    assert post(world, "/accounts/alice/reactivate", token, {"password": "another long one"}).json() == {}
    assert log_in(world, "alice", "another long one") == 200
    assert acts(world, ALICE) == [audit.Event.REACTIVATED, audit.Event.DEACTIVATED]


def test_an_erased_account_leaves_little(world: World, token: str) -> None:
    before = {one["table"] for one in get(world, "/accounts/alice/remains", token).json()["remains"]}
    assert {"accounts", "threepids", "devices", "audit_log"} <= before
    assert post(world, "/accounts/alice/deactivate", token, {"erase": True}).status_code == 200
    after = get(world, "/accounts/alice/remains", token).json()["remains"]
    assert {"table": "accounts", "rows": 1} in after
    assert not {"threepids", "devices", "audit_log"} & {one["table"] for one in after}
    assert get(world, "/accounts/nobody/remains", token).status_code == 404


def test_the_data_of_an_account_is_that_of_its_owner(world: World, token: str) -> None:
    data = post(world, "/accounts/alice/export", token).json()
    assert data == {
        **world.run(world.homeserver.export.of(ALICE, root(world).grant(ALICE))),
        "security_log": data["security_log"],
    }
    assert [contact["address"] for contact in data["contacts"]] == ["alice@example.com"]
    assert acts(world, ALICE) == [audit.Event.DATA_DOWNLOADED]
    assert post(world, "/accounts/nobody/export", token).status_code == 404


@pytest.mark.parametrize("missing", [Scope.AUDIT_READ, Scope.MESSAGES_READ])
def test_the_data_takes_the_scopes_of_what_is_in_it(world: World, missing: Scope) -> None:
    token = operator_token(world, *(one for one in Scope if one is not missing), name="nolog")
    answer = post(world, "/accounts/alice/export", token)
    assert errcode(answer) == (403, "M_FORBIDDEN")
    assert missing in answer.json()["error"]
    assert post(world, "/accounts/nobody/export", token).json() == answer.json()
