"""Hashes of associations under peppers, and tallies of what was asked for, on each engine."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pausing import pause_until
from threepid.clock import Clock
from threepid.spec.lookup_hash import lookup_hash
from threepid.storage import associations, peppers, tallies
from threepid.storage.associations import Association
from threepid.storage.engine.database import StorageError, Tx
from threepid.storage.engine.migrate import known_migrations, migrate
from threepid.storage.engine.queries import Query
from threepid.storage.engine.sqlite import connect
from threepid.storage.tallies import Tally
from world import World

T = TypeVar("T")
LATER = 2_000_000_000_000


def statement(sqlite: str) -> Query:
    return Query("test", sqlite, re.sub(r":(\w+)", r"%(\1)s", sqlite))


TAKE = statement(
    "INSERT INTO association_hashes (key, pepper, hash, mxid, not_after) VALUES (:key, :pepper, :hash, :mxid, :until)"
)
FREE = statement("DELETE FROM association_hashes WHERE key = :key")
PLACE = statement("SELECT MAX(key) FROM association_hashes WHERE hash = :hash")


def write(world: World, step: Callable[[Tx], T]) -> T:
    return world.run(world.server.context.database.write(step))


def association(number: int, mxid: str = "@alice:example.org", not_after: int = LATER) -> Association:
    return Association("email", f"a{number:04}@example.com", mxid, 1, 1, not_after)


def publish(world: World, *several: Association) -> None:
    def step(tx: Tx) -> None:
        for one in several:
            associations.bind(tx, one)

    write(world, step)


def found(world: World, numbers: range, pepper: peppers.Pepper, now: int = 2) -> dict[str, str]:
    hashes = {lookup_hash(f"a{number:04}@example.com", "email", pepper.pepper): number for number in numbers}
    rows = write(world, lambda tx: peppers.by_hashes(tx, pepper.number, hashes, now))
    return {f"a{hashes[hash_]:04}": mxid for hash_, mxid in rows.items()}


def test_what_is_bound_is_found_until_it_expires_or_is_unbound(world: World) -> None:
    (pepper,) = write(world, peppers.all_of)
    publish(world, *map(association, range(3)), association(3, "@bob:example.org", not_after=10))
    everybody = {f"a{number:04}": "@alice:example.org" for number in range(3)}
    assert found(world, range(10), pepper) == {**everybody, "a0003": "@bob:example.org"}
    assert found(world, range(10), pepper, now=10) == everybody
    publish(world, association(2, "@bob:example.org"))
    assert found(world, range(10), pepper)["a0002"] == "@bob:example.org"
    assert not write(world, lambda tx: associations.unbind(tx, "email", "a0002@example.com", "@alice:example.org"))
    assert found(world, range(10), pepper)["a0002"] == "@bob:example.org"
    assert write(world, lambda tx: associations.unbind(tx, "email", "a0002@example.com", "@bob:example.org"))
    assert "a0002" not in found(world, range(10), pepper)
    write(world, lambda tx: associations.unbind_all(tx, "@alice:example.org"))
    assert found(world, range(10), pepper) == {"a0003": "@bob:example.org"}
    assert write(world, associations.count) == 1


def test_a_pepper_is_filled_and_emptied_in_parts_in_any_state_of_the_others(world: World) -> None:
    (old,) = write(world, peppers.all_of)
    publish(world, *(association(number, f"@u{number}:x") for number in range(25)))
    assert write(world, lambda tx: peppers.insert(tx, "Another", 5))
    assert not write(world, lambda tx: peppers.insert(tx, "Third", 5))
    counts = []
    while True:
        new = write(world, peppers.all_of)[1]
        counts.append(write(world, lambda tx: peppers.fill(tx, new, 10)))
        if counts[-1] == 0:
            break
        if len(counts) == 1:  # what is bound and unbound meanwhile is found and not found under both
            publish(world, association(1, "@new:x"), association(90, "@late:x"))
            write(world, lambda tx: associations.unbind(tx, "email", "a0002@example.com", "@u2:x"))
            write(world, lambda tx: associations.unbind(tx, "email", "a0020@example.com", "@u20:x"))
    assert counts == [10, 10, 5, 0]  # one fewer and one more behind the place where it was
    assert write(world, lambda tx: peppers.answering(tx, "Another", 5)) is None
    write(world, lambda tx: peppers.make_current(tx, new.number, now=6, answers_until=100))
    assert write(world, peppers.current) == "Another"
    assert write(world, lambda tx: peppers.answering(tx, "Another", 6)) == new.number
    assert write(world, lambda tx: peppers.answering(tx, old.pepper, 99)) == old.number
    assert write(world, lambda tx: peppers.answering(tx, old.pepper, 100)) is None
    expected = {f"a{number:04}": f"@u{number}:x" for number in range(25) if number not in (2, 20)}
    expected |= {"a0001": "@new:x", "a0090": "@late:x"}
    assert found(world, range(100), old) == found(world, range(100), new) == expected

    write(world, lambda tx: peppers.end(tx, old.number, 101))
    assert (
        write(world, lambda tx: peppers.answering(tx, old.pepper, 50)) is None
    )  # a clock that goes back changes nothing
    publish(world, association(99))
    steps = [write(world, lambda tx: peppers.delete_some(tx, old.number, 10)) for _ in range(3)]
    assert steps == [False, False, True]
    assert found(world, range(100), old) == {}
    assert len(found(world, range(100), new)) == len(expected) + 1
    assert [pepper.pepper for pepper in write(world, peppers.all_of)] == ["Another"]


def test_the_work_on_a_pepper_belongs_to_one_worker_until_its_lease_ends(world: World) -> None:
    (pepper,) = write(world, peppers.all_of)

    def claim(worker: str, now: int) -> bool:
        return write(world, lambda tx: peppers.claim(tx, pepper.number, worker, now=now, leased_until=now + 10))

    assert claim("one", 100)
    assert not claim("two", 105)
    assert claim("one", 109)
    assert not claim("two", 118)
    assert claim("two", 119)
    assert not claim("one", 119)


@pytest.mark.parametrize("count", [0, 1, 1000, 5000])
def test_many_hashes_are_asked_for_in_one_statement(world: World, count: int) -> None:
    (pepper,) = write(world, peppers.all_of)
    publish(world, association(0))
    assert found(world, range(count), pepper) == ({"a0000": "@alice:example.org"} if count else {})


def first_place(pepper: peppers.Pepper, number: int) -> int:
    (key,) = peppers.keys(pepper.number, [lookup_hash(f"a{number:04}@example.com", "email", pepper.pepper)])
    return key


def take_place(world: World, pepper: peppers.Pepper, key: int) -> None:
    """Put another hash at a place, as if it began alike."""
    parameters = {"key": key, "pepper": pepper.number, "hash": f"{key:x}".rjust(43, "_"), "mxid": "@other:x"}
    write(world, lambda tx: tx.run(TAKE, **parameters, until=LATER))


def free_place(world: World, key: int) -> None:
    write(world, lambda tx: tx.run(FREE, key=key))


def place_of(world: World, pepper: peppers.Pepper, number: int) -> int:
    hash_ = lookup_hash(f"a{number:04}@example.com", "email", pepper.pepper)
    return int(write(world, lambda tx: tx.value(PLACE, hash=hash_))) - first_place(pepper, number)


def test_an_address_is_found_though_other_hashes_begin_alike(world: World) -> None:
    (old,) = write(world, peppers.all_of)
    for place in range(peppers.PLACES - 1):
        take_place(world, old, first_place(old, 0) + place)
    publish(world, association(0), association(1))
    assert (place_of(world, old, 0), place_of(world, old, 1)) == (peppers.PLACES - 1, 0)
    everybody = {"a0000": "@alice:example.org", "a0001": "@alice:example.org"}
    assert found(world, range(5), old) == everybody
    # The hash is rewritten and deleted where it stands, though its first place is free by now.
    free_place(world, first_place(old, 0))
    publish(world, association(0, "@bob:example.org"))
    assert place_of(world, old, 0) == peppers.PLACES - 1
    assert found(world, range(5), old) == {**everybody, "a0000": "@bob:example.org"}
    write(world, lambda tx: associations.unbind(tx, "email", "a0000@example.com", "@bob:example.org"))
    assert found(world, range(5), old) == {"a0001": "@alice:example.org"}
    publish(world, association(0))
    assert place_of(world, old, 0) == 0


def test_an_address_whose_places_are_all_taken_is_not_bound(world: World) -> None:
    (old,) = write(world, peppers.all_of)
    for place in range(peppers.PLACES):
        take_place(world, old, first_place(old, 0) + place)
    with pytest.raises(StorageError, match="all places of a hash are taken"):
        publish(world, association(0))
    assert write(world, lambda tx: associations.get(tx, "email", "a0000@example.com", 2)) is None


def test_a_rotation_passes_places_that_are_taken(world: World) -> None:
    (old,) = write(world, peppers.all_of)
    publish(world, *(association(number, f"@u{number}:x") for number in range(4)))
    assert write(world, lambda tx: peppers.insert(tx, "Another", 5))
    new = write(world, peppers.all_of)[1]
    for number in (1, 2):
        take_place(world, new, first_place(new, number))
    publish(world, association(2, "@early:x"))  # bound while the pepper is being filled
    assert write(world, lambda tx: peppers.fill(tx, new, 10)) == 4
    four = {f"a{number:04}": f"@u{number}:x" for number in range(4)} | {"a0002": "@early:x"}
    assert found(world, range(10), new) == found(world, range(10), old) == four
    assert [place_of(world, new, number) for number in range(4)] == [0, 1, 1, 0]


def test_a_rotation_gets_past_a_hash_that_stands_at_a_later_place_while_its_first_is_free(world: World) -> None:
    (old,) = write(world, peppers.all_of)
    publish(world, *(association(number, f"@u{number}:x") for number in range(3)))
    assert write(world, lambda tx: peppers.insert(tx, "Another", 5))
    new = write(world, peppers.all_of)[1]
    take_place(world, new, first_place(new, 1))
    publish(world, association(1, "@new:x"))
    free_place(world, first_place(new, 1))
    assert write(world, lambda tx: peppers.fill(tx, new, 10)) == 3
    assert found(world, range(5), new) == {"a0000": "@u0:x", "a0001": "@new:x", "a0002": "@u2:x"}
    publish(world, association(1, "@again:x"))
    assert found(world, range(5), new) == {"a0000": "@u0:x", "a0001": "@again:x", "a0002": "@u2:x"}
    for number, mxid in ((0, "@u0:x"), (1, "@again:x"), (2, "@u2:x")):
        address = f"a{number:04}@example.com"
        assert write(world, partial(associations.unbind, medium="email", canonical=address, mxid=mxid))
    assert found(world, range(5), new) == {}
    assert found(world, range(5), old) == {}


@pytest.mark.parametrize("number", [1, 6, 7, 700_001])
def test_the_key_of_a_hash_is_of_its_pepper_and_its_first_60_bits(number: int) -> None:
    hashes = [lookup_hash(f"a{one}@example.com", "email", "pepper") for one in range(200)]
    for hash_, key in zip(hashes, peppers.keys(number, hashes), strict=True):
        digest = int.from_bytes(urlsafe_b64decode(hash_ + "="))
        assert key == (number % 7 << 60) + (digest >> 196)
        assert 0 <= key < 2**63 - peppers.PLACES


@pytest.mark.parametrize(
    "hash_",
    ["", "a", "=" * 43, "a" * 42, "a" * 44, "é" * 43, "\ud800" * 43, "a" * 42 + "=", "+/" + "a" * 41, "a" * 43 + "\n"],
)
def test_what_is_no_hash_is_not_found(world: World, hash_: str) -> None:
    (pepper,) = write(world, peppers.all_of)
    publish(world, association(0))
    right = lookup_hash("a0000@example.com", "email", pepper.pepper)
    rows = write(world, lambda tx: peppers.by_hashes(tx, pepper.number, [hash_, right, hash_, right], 2))
    assert rows == {right: "@alice:example.org"}


def test_peppers_whose_numbers_share_keys_answer_and_end_apart(world: World) -> None:
    (first,) = write(world, peppers.all_of)
    publish(world, *(association(number, f"@u{number}:x") for number in range(5)))
    everybody = {f"a{number:04}": f"@u{number}:x" for number in range(5)}

    def rotate(tx: Tx, name: str) -> int:
        assert peppers.insert(tx, name, 5)
        new = peppers.all_of(tx)[-1]
        hashed = peppers.fill(tx, new, 10)
        peppers.make_current(tx, new.number, now=6, answers_until=100)
        return hashed

    assert [write(world, partial(rotate, name=name)) for name in "abcdefg"] == [5] * 7
    last = write(world, peppers.all_of)[-1]
    assert last.number == first.number + 7
    hashes = [lookup_hash("a0000@example.com", "email", one.pepper) for one in (first, last)]
    assert write(world, lambda tx: peppers.by_hashes(tx, first.number, hashes, 2)) == {hashes[0]: "@u0:x"}
    assert write(world, lambda tx: peppers.by_hashes(tx, last.number, hashes, 2)) == {hashes[1]: "@u0:x"}
    write(world, lambda tx: peppers.end(tx, first.number, 101))
    steps = [write(world, lambda tx: peppers.delete_some(tx, first.number, 2)) for _ in range(3)]
    assert steps == [False, False, True]
    assert found(world, range(9), first) == {}
    assert found(world, range(9), last) == everybody


def test_who_binds_while_a_rotation_begins_is_waited_for(world: World, engine: str) -> None:
    """Otherwise the new pepper could be filled past an address that is bound without knowing of it."""
    database = world.server.context.database
    if engine == "sqlite":
        assert database.engine == "sqlite"  # one writer at a time: nobody can be half done
        return
    import threading

    began, go_on = threading.Event(), threading.Event()

    def slowly(tx: Tx) -> None:
        associations.bind(tx, association(1))
        began.set()
        assert pause_until(tx, go_on.is_set, 10)

    def rotate(tx: Tx) -> bool:
        assert pause_until(tx, began.is_set, 10)
        threading.Timer(0.2, go_on.set).start()
        return peppers.insert(tx, "Another", 5)

    world.together(lambda: database.write(slowly), lambda: database.write(rotate))
    new = write(world, peppers.all_of)[1]
    assert write(world, lambda tx: peppers.fill(tx, new, 10)) == 1
    assert found(world, range(2), new) == {"a0001": "@alice:example.org"}


def test_a_tally_is_replaced_only_by_one_that_was_made_of_it(world: World) -> None:
    assert write(world, lambda tx: tallies.get(tx, 1, "w")) is None
    one, two, three = Tally(1, b"\0a"), Tally(2, b"b"), Tally(3, b"c")
    assert write(world, lambda tx: tallies.put(tx, 1, "w", one, before=None))
    assert not write(world, lambda tx: tallies.put(tx, 1, "w", two, before=None))
    assert not write(world, lambda tx: tallies.put(tx, 1, "w", three, before=two))
    assert write(world, lambda tx: tallies.put(tx, 1, "w", two, before=one))
    assert write(world, lambda tx: tallies.get(tx, 1, "w")) == two
    write(world, lambda tx: tallies.add_asked(tx, 1, "n", 3))
    write(world, lambda tx: tallies.add_asked(tx, 1, "n", 4))
    assert write(world, lambda tx: tallies.asked_from(tx, 1, "n")) == 7
    assert write(world, lambda tx: tallies.asked_from(tx, 2, "n")) == 0
    assert write(world, lambda tx: tallies.delete_outside(tx, since_day=1, day=1, at_most=9)) == 0
    assert write(world, lambda tx: tallies.delete_outside(tx, since_day=2, day=2, at_most=9)) == 2
    assert write(world, lambda tx: tallies.get(tx, 1, "w")) is None


@pytest.mark.parametrize("version", [2, 6])
def test_a_database_of_before_is_hashed_anew_before_anybody_is_answered(
    engine: str, database_url: str, tmp_path: Path, version: int
) -> None:
    then = [migration for migration in known_migrations() if migration.version <= version]
    url = database_url if engine == "postgresql" else f"sqlite:{tmp_path / 'before.db'}"
    execute = _connected(engine, url)
    if engine == "postgresql":
        execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    execute(
        "CREATE TABLE schema_migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)"
    )
    for migration in then:
        execute(migration.script(engine))
        execute(f"INSERT INTO schema_migrations VALUES ({migration.version}, '{migration.name}', 1)")
    if version == 2:
        execute("INSERT INTO peppers (pepper, created_at) VALUES ('OldPepper', 1)")
    else:
        execute("INSERT INTO peppers (number, pepper, created_at, current_at) VALUES (1, 'OldPepper', 1, 1)")
        execute("INSERT INTO lookup_tallies VALUES (1, 'who', 2, 'ab')")
        execute("INSERT INTO lookup_networks VALUES (1, 'network', 2)")
    for number in range(3):
        address = f"'email', 'a{number:04}@example.com'"
        execute(f"INSERT INTO associations VALUES ({address}, '@u{number}:x', 1, 1, {LATER})")
        if version == 2:
            execute(f"INSERT INTO association_hashes VALUES ('OldPepper', 'hash{number}', {address})")
        else:
            execute(f"INSERT INTO association_hashes VALUES (1, 'hash{number}', '@u{number}:x', {LATER})")
    assert "0007_lookup_by_key" in migrate(url, password=None, clock=Clock())
    with World(url, tmp_path) as world:
        (pepper,) = write(world, peppers.all_of)
        assert pepper.current_at is not None
        assert pepper.pepper != "OldPepper"
        assert found(world, range(5), pepper) == {f"a{number:04}": f"@u{number}:x" for number in range(3)}
        assert write(world, lambda tx: tallies.get(tx, 1, "who")) is None
        assert write(world, lambda tx: tallies.asked_from(tx, 1, "network")) == 0


def _connected(engine: str, url: str) -> Callable[[str], object]:
    if engine == "postgresql":
        import psycopg

        return lambda text: _close(psycopg.connect(url, autocommit=True), text)
    return lambda text: _close(connect(Path(url.removeprefix("sqlite:")), wait_ms=100), text)


def _close(connection: Any, text: str) -> None:
    connection.execute(text)
    connection.close()
