"""Readings of the audit log: which entries come, in which order, and by which way."""

import pytest

from plans import plan
from threepid.storage import audit
from threepid.storage.audit import Which
from threepid.storage.engine.database import Tx
from world import World

ALICE, BOB = "@alice:example.org", "@bob:example.org"
ENTRIES = (
    ("e1", 10, "locked", ALICE),
    ("e2", 20, "locked", BOB),
    ("e3", 20, "unlocked", ALICE),
    ("e4", 20, "locked", ALICE),
    ("e5", 30, "unlocked", BOB),
    ("e6", 40, "limits_cleared", ""),
)


@pytest.fixture
def filled(world: World) -> World:
    def fill(tx: Tx) -> None:
        for entry_id, at, kind, user_id in ENTRIES:
            audit.append(tx, audit.Entry(entry_id, at, kind, user_id, "operator", "test", "{}", "{}"))

    world.run(world.database.write(fill))
    return world


def read(world: World, which: Which, *, count: int = 100) -> list[str]:
    """The IDs of the entries, read oldest first and newest first, page by page."""

    def step(tx: Tx) -> tuple[list[audit.Entry], list[audit.Entry]]:
        up: list[audit.Entry] = []
        down: list[audit.Entry] = []
        while page := audit.oldest(tx, which, after=up[-1] if up else None, count=count):
            up += page
        while page := audit.recent(tx, which, before=down[-1] if down else None, count=count):
            down += page
        return up, down

    up, down = world.run(world.database.read(step))
    assert up == down[::-1]
    return [entry.entry_id for entry in up]


@pytest.mark.parametrize("count", [1, 2, 100])
@pytest.mark.parametrize(
    ("which", "found"),
    [
        (Which(), "e1 e2 e3 e4 e5 e6"),
        (Which(kind="locked"), "e1 e2 e4"),
        (Which(user_id=ALICE), "e1 e3 e4"),
        (Which(kind="locked", user_id=ALICE), "e1 e4"),
        (Which(since=20), "e2 e3 e4 e5 e6"),
        (Which(until=20), "e1"),
        (Which(since=20, until=21), "e2 e3 e4"),
        (Which(user_id=ALICE, since=11), "e3 e4"),
        (Which(user_id=ALICE, until=20), "e1"),
        (Which("unlocked", BOB, 30, 31), "e5"),
        (Which(user_id="@carol:example.org"), ""),
        (Which(since=30, until=20), ""),
    ],
)
def test_every_entry_that_is_asked_for_comes_once_in_its_order(
    filled: World, which: Which, found: str, count: int
) -> None:
    assert read(filled, which, count=count) == found.split()


def test_the_entries_of_one_account_are_found_without_those_of_others(filled: World, engine: str) -> None:
    common = {"user_id": ALICE, "since": "0", "until": "100", "kind": "", "count": "2"}
    for query, place in ((audit._sql.oldest_of_user, "after_id"), (audit._sql.recent_of_user, "before_id")):
        way = plan(filled, engine, query, {**common, place: ""})
        assert "audit_log_by_user" in way, way
        assert "TEMP B-TREE" not in way, way


def test_the_entries_about_one_event_are_found_without_those_about_others(filled: World, engine: str) -> None:
    common = {"kind": "locked", "count": "2"}
    for query, place in (
        (audit._sql.oldest_of_kind, {"after_at": "0", "after_id": "", "until": "100"}),
        (audit._sql.recent_of_kind, {"before_at": "100", "before_id": "", "since": "0"}),
    ):
        way = plan(filled, engine, query, {**common, **place})
        assert "audit_log_by_event" in way, way
        assert "TEMP B-TREE" not in way, way


@pytest.mark.parametrize("kind", ["signed_in", "limits_cleared", "of_a_newer_version"])
def test_entries_are_found_by_kind_whether_this_version_knows_it_or_not(filled: World, kind: str) -> None:
    def append(tx: Tx) -> None:
        for number, other in enumerate((kind, "bound", kind)):
            audit.append(tx, audit.Entry(f"f{number}", 50, other, "", "server", "", "{}", "{}"))

    filled.run(filled.database.write(append))
    earlier = ["e6"] if kind == "limits_cleared" else []
    assert read(filled, Which(kind=kind), count=1) == [*earlier, "f0", "f2"]
    assert read(filled, Which(kind=kind, since=50, until=51)) == ["f0", "f2"]
    assert read(filled, Which(kind=kind, since=51)) == []
