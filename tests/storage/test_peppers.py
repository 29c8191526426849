"""Hashes of associations under peppers, and tallies of what was asked for, on each engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from threepid.clock import Clock
from threepid.spec.lookup_hash import lookup_hash
from threepid.storage import associations, peppers, tallies
from threepid.storage.associations import Association
from threepid.storage.database import Tx
from threepid.storage.migrate import known_migrations, migrate
from threepid.storage.peppers import Answering
from threepid.storage.sqlite import connect
from threepid.storage.tallies import Tally
from world import World

T = TypeVar("T")
LATER = 2_000_000_000_000


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


def test_what_is_published_is_found_until_it_expires_or_is_withdrawn(world: World) -> None:
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
        if len(counts) == 1:  # what is published and withdrawn meanwhile is found and not found under both
            publish(world, association(1, "@new:x"), association(90, "@late:x"))
            write(world, lambda tx: associations.unbind(tx, "email", "a0002@example.com", "@u2:x"))
            write(world, lambda tx: associations.unbind(tx, "email", "a0020@example.com", "@u20:x"))
    assert counts == [10, 10, 5, 0]  # one fewer and one more behind the place where it was
    assert write(world, lambda tx: peppers.answering(tx, "Another", 5)) is None
    write(world, lambda tx: peppers.make_current(tx, new.number, now=6, answers_until=100))
    assert write(world, peppers.current) == "Another"
    assert write(world, lambda tx: peppers.answering(tx, "Another", 6)) == Answering(new.number, None)
    assert write(world, lambda tx: peppers.answering(tx, old.pepper, 99)) == Answering(old.number, 100)
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


def test_who_publishes_while_a_rotation_begins_is_waited_for(world: World, engine: str) -> None:
    """Otherwise the new pepper could be filled past an address that is published without knowing of it."""
    database = world.server.context.database
    if engine == "sqlite":
        assert database.engine == "sqlite"  # one writer at a time: nobody can be half done
        return
    import threading

    began, go_on = threading.Event(), threading.Event()

    def slowly(tx: Tx) -> None:
        associations.bind(tx, association(1))
        began.set()
        assert go_on.wait(10)

    def rotate(tx: Tx) -> bool:
        assert began.wait(10)
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
    assert write(world, lambda tx: tallies.delete_before(tx, 1)) == 0
    assert write(world, lambda tx: tallies.delete_before(tx, 2)) == 2
    assert write(world, lambda tx: tallies.get(tx, 1, "w")) is None


def test_a_database_of_before_is_hashed_anew_before_anybody_is_answered(
    engine: str, database_url: str, tmp_path: Path
) -> None:
    then = [migration for migration in known_migrations() if migration.version < 3]
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
    execute("INSERT INTO peppers (pepper, created_at) VALUES ('OldPepper', 1)")
    for number in range(3):
        address = f"'email', 'a{number:04}@example.com'"
        execute(f"INSERT INTO associations VALUES ({address}, '@u{number}:x', 1, 1, {LATER})")
        execute(f"INSERT INTO association_hashes VALUES ('OldPepper', 'hash{number}', {address})")
    assert "0003_lookup" in migrate(url, password=None, clock=Clock())
    with World(url, tmp_path) as world:
        (pepper,) = write(world, peppers.all_of)
        assert pepper.current_at is not None
        assert pepper.pepper != "OldPepper"
        assert found(world, range(5), pepper) == {f"a{number:04}": f"@u{number}:x" for number in range(3)}


def _connected(engine: str, url: str) -> Callable[[str], object]:
    if engine == "postgresql":
        import psycopg

        return lambda text: _close(psycopg.connect(url, autocommit=True), text)
    return lambda text: _close(connect(Path(url.removeprefix("sqlite:")), wait_ms=100), text)


def _close(connection: Any, text: str) -> None:
    connection.execute(text)
    connection.close()
