"""The admin API: the queue, suppressed addresses, invitations, and the audit log by time."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from operators import get, operator_token, post, world_of_operators
from threepid.clock import HOUR, MINUTE
from threepid.spec.operator_scopes import Scope
from threepid.storage import suppressions
from world import World

INVITE = "/_matrix/identity/v2/store-invite"


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_of_operators(database_url, tmp_path) as made:
        yield made


@pytest.fixture
def token(world: World) -> str:
    return operator_token(world)


def test_messages_that_wait_come_page_by_page(world: World, token: str) -> None:
    person = world.register()
    identity = world.identity_token(person)
    for name in ("one", "two", "three"):
        world.request_token(identity, f"{name}@example.com", secret=name)
        world.clock.advance(1000)
    first = get(world, "/messages?limit=2", token).json()
    rest = get(world, f"/messages?limit=2&after={quote(first['next'])}", token).json()
    assert [one["recipient"] for one in first["messages"] + rest["messages"]] == [
        "o***@example.com",
        "t***@example.com",
        "t***@example.com",
    ]
    assert rest["next"] is None
    assert get(world, "/messages?failed=true", token).json() == {"messages": [], "next": None}
    assert get(world, "/messages?failed=maybe", token).status_code == 400
    assert get(world, "/messages?after=nosuch", token).status_code == 404


def test_suppressed_addresses_are_listed_and_lifted(world: World, token: str) -> None:
    def record(name: str) -> None:
        world.run(
            world.database.write(
                lambda tx: suppressions.record(
                    tx, canonical=f"{name}@example.com", kind="bounce", status="5.1.1", message_id="m", now=7
                )
            )
        )

    for name in ("b", "a", "c"):
        record(name)
    first = get(world, "/suppressions?limit=2", token).json()
    assert first["suppressions"][0] == {
        "address": "a@example.com",
        "kind": "bounce",
        "status": "5.1.1",
        "message_id": "m",
        "first_at": 7,
        "latest_at": 7,
    }
    rest = get(world, f"/suppressions?limit=2&after={quote(first['next'])}", token).json()
    assert [one["address"] for one in rest["suppressions"]] == ["c@example.com"]
    assert rest["next"] is None
    contact = {"medium": "email", "address": "C@example.com"}
    assert post(world, "/suppressions/remove", token, contact).status_code == 200
    assert post(world, "/suppressions/remove", token, contact).status_code == 404


def test_invitations_are_listed_and_cancelled(world: World, token: str) -> None:
    identity = world.identity_token(world.register())
    for name in ("one", "two", "three"):
        body = {
            "medium": "email",
            "address": f"{name}@example.com",
            "room_id": "!room:example.org",
            "sender": "@alice:example.org",
        }
        assert world.post(INVITE, body, token=identity).status_code == 200
        world.clock.advance(1000)
    first = get(world, "/invites?limit=2", token).json()
    assert [one["address"] for one in first["invites"]] == ["one@example.com", "two@example.com"]
    rest = get(world, f"/invites?limit=2&after={quote(first['next'])}", token).json()
    assert ([one["address"] for one in rest["invites"]], rest["next"]) == (["three@example.com"], None)
    (found,) = get(world, "/invites?address=Two@example.com", token).json()["invites"]
    assert found == first["invites"][1]
    assert get(world, "/invites?after=nosuch", token).status_code == 404
    assert get(world, "/invites?address=one@example.com&after=nosuch", token).status_code == 404
    path = f"/invites/{quote(found['id'])}/cancel"
    assert post(world, path, token).json() == {**found, "state": "cancelled"}
    assert post(world, path, token).status_code == 400
    assert post(world, "/invites/nosuch/cancel", token).status_code == 404
    last = get(world, "/audit", token).json()["entries"][-1]
    assert (last["event"], last["caller"]) == ("invite_cancelled", "helpdesk")
    assert last["details"] == {"invite_id": found["id"], "contact": "t***@example.com"}


def test_all_invitations_to_an_address_are_listed_newest_first(world: World, token: str) -> None:
    identity = world.identity_token(world.register())
    for number in range(5):
        body = {
            "medium": "email",
            "address": "other@example.com" if number == 2 else "one@example.com",
            "room_id": f"!room{number}:example.org",
            "sender": "@alice:example.org",
        }
        assert world.post(INVITE, body, token=identity).status_code == 200
        if number != 3:
            world.clock.advance(1000)  # two are from the same moment
    found, path = [], "/invites?address=one@example.com&limit=1"
    page = get(world, path, token).json()
    while page["next"] is not None:
        found += page["invites"]
        page = get(world, f"{path}&after={quote(page['next'])}", token).json()
    rooms = [one["room_id"] for one in found]
    assert sorted(rooms[:2]) == ["!room3:example.org", "!room4:example.org"]
    assert rooms[2:] == ["!room1:example.org", "!room0:example.org"]


def test_the_audit_log_is_read_by_time(world: World, token: str) -> None:
    begun = world.clock.now()
    world.register()
    world.clock.advance(HOUR)
    world.register("bob")

    def about(query: str) -> set[str]:
        return {one["user_id"] for one in get(world, f"/audit?{query}", token).json()["entries"]}

    assert about(f"since={begun + 1}") == {"@bob:example.org"}
    assert about(f"until={begun + HOUR}") == {"", "@alice:example.org"}
    assert about(f"since={begun + 1}&until={begun + HOUR}") == set()
    assert get(world, "/audit?until=-1", token).status_code == 400


@pytest.mark.parametrize("path", ["/audit", "/audit/sums"])
@pytest.mark.parametrize(("since", "until"), [(2, 1), (2, 2), (1, 0)])
def test_a_period_that_ends_before_it_begins_is_refused(
    world: World, token: str, path: str, since: int, until: int
) -> None:
    refused = get(world, f"{path}?since={since}&until={until}", token)
    assert (refused.status_code, refused.json()["errcode"]) == (400, "M_INVALID_PARAM")
    assert refused.json()["error"] == "The period must end after it begins."
    assert get(world, f"{path}?since={since}&until={since + 1}", token).status_code == 200


def test_the_audit_log_is_read_by_event_and_account(world: World, token: str) -> None:
    person = world.register()
    world.add(person, world.validated(world.identity_token(person)))
    world.register("bob")
    for _ in range(3):
        assert post(world, "/accounts/alice/lock", token).status_code == 200
        assert post(world, "/accounts/alice/unlock", token).status_code == 200

    def read(query: str, token: str = token) -> list[str]:
        answer = get(world, f"/audit?{query}", token)
        assert answer.status_code == 200, answer.text
        return [one["event"] for one in answer.json()["entries"]]

    assert read("event=locked") == ["locked"] * 3
    assert read("event=locked&account=bob") == []
    assert read("account=bob") == ["registered", "signed_in"]
    for name in ("alice", "Alice@example.com", "@alice:example.org"):
        assert read(f"account={quote(name)}&event=contact_added") == ["contact_added"]
    whole = read("account=alice")
    pages, after = [], ""
    while True:
        page = get(world, f"/audit?account=alice&limit=2{after}", token).json()
        pages += [one["event"] for one in page["entries"]]
        if page["next"] is None:
            break
        after = f"&after={quote(page['next'])}"
    assert pages == whole
    assert whole[:3] == ["registered", "signed_in", "contact_added"]
    last = get(world, "/audit?account=bob", token).json()["entries"][0]["id"]
    assert get(world, f"/audit?account=alice&after={quote(last)}", token).status_code == 404
    assert get(world, "/audit?account=nobody", token).status_code == 404
    assert get(world, "/audit?event=nosuch", token).status_code == 400
    reader = operator_token(world, Scope.AUDIT_READ, name="reader")
    assert read("account=alice@example.com", reader) == []
    assert read("account=%40bob%3Aexample.org", reader) == ["registered", "signed_in"]


def test_addresses_in_the_log_are_hashed_where_the_setting_says_so(database_url: str, tmp_path: Path) -> None:
    """The same address has the same hash, so that its entries can be found; nobody without the server's secret can guess it."""
    with world_of_operators(database_url, tmp_path, audit__addresses="hashed") as world:
        person, desk = world.register(), operator_token(world)
        world.add(person, world.validated(world.identity_token(person)))
        contact = {"medium": "email", "address": "ALICE@example.com"}
        assert post(world, "/accounts/alice/contacts/verify", desk, contact).status_code == 200
        assert post(world, "/accounts/alice/contacts/remove", desk, contact).status_code == 200
        answer = get(world, "/audit", desk)
        assert "example.com" not in answer.text
        found = [one["details"]["contact"] for one in answer.json()["entries"] if "contact" in one["details"]]
        assert (len(found), len(set(found))) == (3, 1)
        assert re.fullmatch("[0-9a-f]{16}", found[0])
        assert found[0] not in {
            hashlib.sha256(text).hexdigest()[:16] for text in (b"alice@example.com", b"ALICE@example.com")
        }


def test_sums_are_read_by_event(world: World, token: str) -> None:
    get(world, "/accounts", "tpo_nosuch")
    world.run(world.server.services.sums.write())
    assert len(get(world, "/audit/sums?event=operator_token_rejected", token).json()["sums"]) == 1
    assert get(world, "/audit/sums?event=login_failed", token).json()["sums"] == []
    assert get(world, "/audit/sums?event=locked", token).status_code == 400


def test_sums_come_page_by_page(world: World, token: str) -> None:
    begun = world.clock.now() // MINUTE * MINUTE
    for minute in range(3):
        for _ in range(minute + 1):
            get(world, "/accounts", "tpo_nosuch")
        world.run(world.server.services.sums.write())
        world.clock.advance(MINUTE)
    first = get(world, "/audit/sums?limit=2", token).json()
    assert [(one["at"], one["event"], one["network"], one["count"]) for one in first["sums"]] == [
        (begun, "operator_token_rejected", "127.0.0.1", 1),
        (begun + MINUTE, "operator_token_rejected", "127.0.0.1", 2),
    ]
    rest = get(world, f"/audit/sums?limit=2&after={quote(first['next'])}", token).json()
    assert [one["count"] for one in rest["sums"]] == [3]
    assert rest["next"] is None
    until = get(world, f"/audit/sums?until={begun + MINUTE}", token).json()
    assert [one["count"] for one in until["sums"]] == [1]


@pytest.mark.parametrize("after", ["x", "1", "x y z", "-1 a b", "1e9 a b", "9" * 40 + " a b", "² a b"])
def test_a_place_that_no_answer_gave_is_refused(world: World, token: str, after: str) -> None:
    assert get(world, f"/audit/sums?after={quote(after)}", token).status_code == 400
