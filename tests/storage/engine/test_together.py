"""Units of work that share commits, because they change one row in common."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from storage.engine.test_postgresql import cut_at_commit, nap, postgresql_url
from threepid.storage import accounts
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Busy, Database, InDoubt, StorageError, Tx, UniqueViolation
from threepid.storage.engine.postgresql import Postgresql
from threepid.storage.engine.postgresql.together import MOST
from threepid.storage.engine.queries import Query
from world import World

__all__ = ["postgresql_url"]


def on(url: str, work: Callable[[Database], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        database = open_database(url, pool_size=8, password=None)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


def account(number: int) -> Callable[[Tx], bool]:
    return lambda tx: accounts.insert(tx, user_id=f"@u{number:04}:x", password_hash=None, created_at=number)


def query(text: str) -> Query:
    return Query("test", text, text.replace(":user", "%(user)s"))


DOUBLE = query("INSERT INTO accounts (user_id, created_at) VALUES (:user, 1)")
TOUCH = query("UPDATE accounts SET created_at = created_at + 10 WHERE user_id = :user")


async def known(database: Database) -> list[int]:
    """The numbers of the accounts that there are."""
    return [int(found.user_id[2:6]) for found in await database.read(lambda tx: accounts.after(tx, "", 1_000))]


def test_units_share_a_commit_and_each_gets_its_own_result(database_url: str) -> None:
    def numbered(number: int) -> Callable[[Tx], int]:
        def step(tx: Tx) -> int:
            account(number)(tx)
            return number

        return step

    async def work(database: Database) -> None:
        assert await asyncio.gather(*(database.write_together(numbered(n)) for n in range(20))) == list(range(20))
        assert await known(database) == list(range(20))
        assert (database.writes, database.commits) == (20, 1)

    on(database_url, work)


def raises_at_once(tx: Tx) -> None:
    raise LookupError


def raises_with_unsent_rows(tx: Tx) -> None:
    tx.insert(DOUBLE, user="@u0050:x")
    raise LookupError


def raises_after_a_change(tx: Tx) -> None:
    account(50)(tx)
    tx.insert(DOUBLE, user="@u0051:x")
    raise LookupError


def violates_a_key(tx: Tx) -> None:
    account(50)(tx)
    tx.run(DOUBLE, user="@u0000:x")


def violates_a_key_unseen(tx: Tx) -> None:
    account(50)(tx)
    tx.insert(DOUBLE, user="@u0000:x")


def violates_a_key_first(tx: Tx) -> None:
    tx.insert(DOUBLE, user="@u0000:x")


def passes_over_a_failure(tx: Tx) -> None:
    account(50)(tx)
    with pytest.raises(UniqueViolation):
        tx.run(DOUBLE, user="@u0000:x")
    raise LookupError


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        (raises_at_once, LookupError),
        (raises_with_unsent_rows, LookupError),
        (raises_after_a_change, LookupError),
        (violates_a_key, UniqueViolation),
        (violates_a_key_unseen, StorageError),
        (violates_a_key_first, StorageError),
        (passes_over_a_failure, LookupError),
    ],
)
def test_a_unit_that_fails_is_undone_alone(
    database_url: str, failing: Callable[[Tx], None], error: type[Exception]
) -> None:
    def unseen(number: int) -> Callable[[Tx], None]:
        return lambda tx: tx.insert(DOUBLE, user=f"@u{number:04}:x")

    async def work(database: Database) -> None:
        await database.write(account(0))
        units = [account(1), failing, unseen(2), failing, failing, account(3), lambda _tx: None]
        results = await asyncio.gather(*map(database.write_together, units), return_exceptions=True)
        assert [type(result) for result in results] == [bool, error, type(None), error, error, bool, type(None)]
        assert await known(database) == [0, 1, 2, 3]
        assert database.writes == 5

    on(database_url, work)


def test_a_unit_whose_caller_is_cancelled_runs_all_the_same(database_url: str) -> None:
    async def work(database: Database) -> None:
        first, second = (asyncio.create_task(database.write_together(account(n))) for n in (1, 2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second
        assert await known(database) == [1, 2]

    on(database_url, work)


def test_closing_finishes_the_units_that_wait_and_accepts_no_more(database_url: str) -> None:
    async def run() -> None:
        database = open_database(database_url, pool_size=8, password=None)
        waiting = [asyncio.create_task(database.write_together(account(n))) for n in range(200)]
        await asyncio.sleep(0)
        await database.close()
        assert all(await asyncio.gather(*waiting))
        with pytest.raises(Busy):
            await database.write_together(account(300))

    asyncio.run(run())
    assert len(on(database_url, known)) == 200


def test_a_unit_cannot_wait_for_another_group(postgresql_url: str) -> None:
    async def work(database: Database) -> None:
        def nested(_tx: Tx) -> None:
            with pytest.raises(RuntimeError, match="cannot wait"):
                database.write_together(account(1)).send(None)

        await database.write_together(nested)
        assert await known(database) == []

    on(postgresql_url, work)


def test_a_unit_that_hides_a_failed_statement_is_told_that_nothing_was_committed(postgresql_url: str) -> None:
    def careless(tx: Tx) -> None:
        account(2)(tx)
        with pytest.raises(UniqueViolation):
            tx.run(DOUBLE, user="@u0001:x")

    async def work(database: Database) -> None:
        with pytest.raises(StorageError, match="nothing was committed"):
            await asyncio.gather(database.write_together(account(1)), database.write_together(careless))
        assert await known(database) == [1]

    on(postgresql_url, work)


def test_two_servers_whose_groups_lock_the_same_rows_do_not_deadlock(postgresql_url: str) -> None:
    tries: list[int] = []

    def touch(number: int) -> Callable[[Tx], None]:
        def step(tx: Tx) -> None:
            tries.append(number)
            tx.run(TOUCH, user=f"@u{number:04}:x")
            nap(tx, 0.1)

        return step

    async def work(database: Database) -> list[int]:
        await database.write(account(1))
        await database.write(account(2))
        other = open_database(postgresql_url, pool_size=8, password=None)
        try:
            await asyncio.gather(
                *(database.write_together(touch(number)) for number in (1, 2)),
                *(other.write_together(touch(number)) for number in (2, 1)),
            )
        finally:
            await other.close()
        return [found.created_at for found in await database.read(lambda tx: accounts.after(tx, "", 10))]

    assert on(postgresql_url, work) == [21, 22]
    assert len(tries) == 4


def test_a_unit_that_has_its_own_commit_does_not_deadlock_with_a_group(postgresql_url: str) -> None:
    """The group has one row and waits for the other, which the unit has."""
    tries: list[str] = []

    def touch(name: str, *numbers: int, first: float = 0) -> Callable[[Tx], None]:
        def step(tx: Tx) -> None:
            tries.append(name)
            nap(tx, first)
            for number in numbers:
                tx.run(TOUCH, user=f"@u{number:04}:x")
                nap(tx, 0.2)

        return step

    async def work(database: Database) -> list[int]:
        await database.write(account(1))
        await database.write(account(2))
        await asyncio.gather(
            database.write_together(touch("alone", 1, 2), alone=True),
            database.write_together(touch("group", 2)),
            database.write_together(touch("group", 1, first=0.1)),
        )
        return [found.created_at for found in await database.read(lambda tx: accounts.after(tx, "", 10))]

    assert on(postgresql_url, work) == [21, 22]
    assert tries == ["alone", "group", "group"]


def test_an_invitation_waits_for_its_turn_among_the_groups(postgresql_url: str, tmp_path: Path) -> None:
    room = {
        "medium": "email",
        "address": "bob@example.net",
        "room_id": "!a:example.org",
        "sender": "@alice:example.org",
    }
    with World(postgresql_url, tmp_path) as world:
        identity = world.identity_token(world.register())

        async def invite() -> None:
            with psycopg.connect(postgresql_url) as group:
                group.execute(b"SELECT pg_advisory_xact_lock(16158)")
                path = "/_matrix/identity/v2/store-invite"
                asked = asyncio.create_task(world.acall("POST", path, room, token=identity))
                await asyncio.sleep(0.3)
                assert not asked.done()
            assert (await asked).status_code == 200

        world.run(invite())


def test_a_group_whose_connection_is_lost_is_done_once_on_another(postgresql_url: str) -> None:
    backend = query("SELECT pg_backend_pid() WHERE :user = ''")
    tries: list[int] = []

    def cut(tx: Tx) -> None:
        tries.append(tx.value(backend, user=""))
        if len(tries) == 1:
            with psycopg.connect(postgresql_url, autocommit=True) as other:
                other.execute(b"SELECT pg_terminate_backend(%s)", (tries[0],))
        account(2)(tx)

    async def work(database: Database) -> list[int]:
        await asyncio.gather(*map(database.write_together, (account(1), cut, account(3))))
        return await known(database)

    assert on(postgresql_url, work) == [1, 2, 3]
    assert len(set(tries)) == 2


def test_a_commit_whose_answer_is_lost_is_in_doubt_for_all_and_not_repeated(postgresql_url: str) -> None:
    cut_at_commit(postgresql_url)
    tries: list[int] = []

    def tried(number: int) -> Callable[[Tx], bool]:
        def step(tx: Tx) -> bool:
            tries.append(number)
            return account(number)(tx)

        return step

    async def work(database: Database) -> None:
        results = await asyncio.gather(*map(database.write_together, map(tried, (1, 2))), return_exceptions=True)
        assert [type(result) for result in results] == [InDoubt, InDoubt]
        assert results[0] is not results[1]
        assert await known(database) == []

    on(postgresql_url, work)
    assert tries == [1, 2]


class Hurried(Postgresql):
    """One that waits half a second for a connection, and for a lock."""

    WAIT = 0.5

    def __init__(self, url: str) -> None:
        super().__init__(url, pool_size=8, password=None, wait_seconds=self.WAIT)


def touch_alone(tx: Tx) -> None:
    tx.run(TOUCH, user="@u0001:x")


def test_all_units_behind_a_row_that_somebody_holds_end_in_busy_after_a_bounded_wait(postgresql_url: str) -> None:
    """One by one, each of 150 units would wait for the lock anew."""
    begun = 0

    def touch(tx: Tx) -> None:
        nonlocal begun
        begun += 1
        touch_alone(tx)

    async def run() -> None:
        database = Hurried(postgresql_url)
        await database.write(account(1))
        with psycopg.connect(postgresql_url) as holder:
            holder.execute(b"SELECT 1 FROM accounts FOR UPDATE")
            results = await asyncio.gather(
                *(database.write_together(touch) for _ in range(150)), return_exceptions=True
            )
        assert {type(result) for result in results} == {Busy}
        await database.write_together(touch_alone)
        await database.close()

    asyncio.run(run())
    assert begun < MOST + 8  # those of the first group wait together, and then a few of them alone


def test_units_behind_a_group_that_hangs_end_in_busy_after_a_bounded_wait(postgresql_url: str) -> None:
    """As behind a commit for which a standby server, or a network that lost its other end, does not answer."""
    asleep = query("SELECT CAST(pg_sleep(0.15) AS TEXT) WHERE :user = ''")
    naps = 0

    def slow(tx: Tx) -> None:
        nonlocal naps
        for _ in range(20):
            tx.value(asleep, user="")
            naps += 1

    async def run() -> None:
        database = Hurried(postgresql_url)
        first = asyncio.create_task(database.write_together(slow))
        await asyncio.sleep(0.01)
        results = await asyncio.gather(*map(database.write_together, map(account, range(5))), return_exceptions=True)
        assert {type(result) for result in results} == {Busy}
        assert not first.done()
        assert naps * 0.15 < 3 * Hurried.WAIT
        await first
        assert await database.write_together(account(6))
        assert await known(database) == [6]
        await database.close()

    asyncio.run(run())
