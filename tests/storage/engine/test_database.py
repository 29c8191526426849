"""Both engines keep the same promises."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import msgspec
import pytest
import structlog

from pausing import pause_until
from threepid.storage import accounts, device_tokens, threepids
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import (
    AT_MOST_ONE,
    Busy,
    Database,
    StorageError,
    Tx,
    UniqueViolation,
    WrongRowCount,
)
from threepid.storage.engine.queries import Query


def on(url: str, work: Callable[[Database], Awaitable[Any]], **more: Any) -> Any:
    async def run() -> Any:
        database = open_database(url, pool_size=8, password=None, **more)
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


def test_a_write_is_seen_by_the_next_read(database_url: str) -> None:
    async def work(database: Database) -> None:
        assert await database.write(account(1))
        assert await database.read(lambda tx: accounts.get(tx, "@u0001:x")) == accounts.Account(
            "@u0001:x", None, 1, None, None
        )

    on(database_url, work)


def test_what_a_unit_raises_undoes_it_alone(database_url: str) -> None:
    def failing(tx: Tx) -> None:
        account(2)(tx)
        raise LookupError("mine")

    async def work(database: Database) -> list[str]:
        results = await asyncio.gather(
            database.write(account(1)), database.write(failing), database.write(account(3)), return_exceptions=True
        )
        assert [type(result) for result in results] == [bool, LookupError, bool]
        return [found.user_id for found in await database.read(lambda tx: accounts.after(tx, "", 10))]

    assert on(database_url, work) == ["@u0001:x", "@u0003:x"]


def test_a_taken_key_is_a_unique_violation_and_a_missing_parent_another_error(database_url: str) -> None:
    orphan = query("INSERT INTO devices (user_id, device_id, created_at) VALUES (:user, 'D', 1)")

    async def work(database: Database) -> None:
        await database.write(lambda tx: tx.run(DOUBLE, user="@a:x"))
        with pytest.raises(UniqueViolation):
            await database.write(lambda tx: tx.run(DOUBLE, user="@a:x"))
        with pytest.raises(StorageError) as caught:
            await database.write(lambda tx: tx.run(orphan, user="@nobody:x"))
        assert not isinstance(caught.value, UniqueViolation)

    on(database_url, work)


def test_a_write_that_touches_another_number_of_rows_is_undone(database_url: str) -> None:
    everybody = query("UPDATE accounts SET created_at = 9 WHERE user_id <> :user")

    async def work(database: Database) -> list[int]:
        for number in range(3):
            await database.write(account(number))
        for touches in (AT_MOST_ONE, range(1, 2)):
            with pytest.raises(WrongRowCount):
                await database.write(lambda tx, touches=touches: tx.run(everybody, touches, user=""))  # type: ignore[misc]
        return [found.created_at for found in await database.read(lambda tx: accounts.after(tx, "", 10))]

    assert on(database_url, work) == [0, 1, 2]


def test_rows_become_structs_by_column_name(database_url: str) -> None:
    class Turned(msgspec.Struct, frozen=True):
        created_at: int
        user_id: str

    class Wrong(msgspec.Struct, frozen=True):
        user_id: str

    both = query("SELECT user_id, created_at FROM accounts WHERE user_id = :user")

    async def work(database: Database) -> None:
        await database.write(account(5))
        assert await database.read(lambda tx: tx.row(both, Turned, user="@u0005:x")) == Turned(5, "@u0005:x")
        assert await database.read(lambda tx: tx.rows(both, Turned, user="@u0005:x")) == [Turned(5, "@u0005:x")]
        assert await database.read(lambda tx: tx.rows(both, Turned, user="nobody")) == []
        assert await database.read(lambda tx: tx.row(both, Turned, user="nobody")) is None
        with pytest.raises(StorageError, match="Wrong has"):
            await database.read(lambda tx: tx.row(both, Wrong, user="@u0005:x"))

    on(database_url, work)


def test_deleting_an_account_takes_all_that_is_its(database_url: str) -> None:
    gone = query("DELETE FROM accounts WHERE user_id = :user")

    async def work(database: Database) -> None:
        def make(tx: Tx) -> None:
            account(1)(tx)
            device_tokens.open_device(
                tx,
                user_id="@u0001:x",
                device_id="D",
                display_name=None,
                seen_from="",
                network="",
                user_agent="",
                tokens=device_tokens.Tokens(b"t"),
                now=1,
            )
            threepids.insert(tx, "@u0001:x", threepids.Threepid("email", "a@b", "A@b", 1, 1))

        await database.write(make)
        assert await database.read(lambda tx: device_tokens.requester(tx, b"t")) is not None
        await database.write(lambda tx: tx.run(gone, user="@u0001:x"))
        assert await database.read(lambda tx: device_tokens.requester(tx, b"t")) is None
        assert await database.read(lambda tx: threepids.owner(tx, "email", "a@b")) is None

    on(database_url, work)


def test_a_cancelled_caller_leaves_its_work_whole_and_the_others_served(database_url: str) -> None:
    async def work(database: Database) -> None:
        task = asyncio.create_task(database.write(account(1)))
        await asyncio.sleep(0)
        task.cancel()
        assert await database.write(account(2))
        await asyncio.gather(task, return_exceptions=True)
        found = [one.user_id for one in await database.read(lambda tx: accounts.after(tx, "", 10))]
        assert found[-1] == "@u0002:x"

    on(database_url, work)


def test_a_closed_database_says_so(database_url: str) -> None:
    async def run() -> None:
        database = open_database(database_url, pool_size=1, password=None)
        await database.close()
        with pytest.raises(Busy):
            await database.write(account(1))
        with pytest.raises(Busy):
            await database.read_aside(lambda tx: accounts.get(tx, "@u0001:x"))

    asyncio.run(run())


def test_closing_finishes_what_waits(database_url: str) -> None:
    async def run() -> list[object]:
        database = open_database(database_url, pool_size=2, password=None)
        writes = [asyncio.create_task(database.write(account(number))) for number in range(20)]
        await asyncio.sleep(0)
        await database.close()
        return await asyncio.gather(*writes, return_exceptions=True)

    assert asyncio.run(run()) == [True] * 20


def test_a_unit_that_raises_stop_iteration_leaves_nobody_waiting(database_url: str) -> None:
    def careless(tx: Tx) -> object:
        return next(iter(accounts.after(tx, "", 1)))

    async def work(database: Database) -> None:
        calls = (database.write(careless), database.read_aside(careless), database.read(careless))
        results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), timeout=180)
        assert [type(result) for result in results] == [RuntimeError, RuntimeError, RuntimeError]
        assert await database.write(account(1))

    on(database_url, work)


def test_only_what_was_committed_is_counted_as_written(database_url: str) -> None:
    async def work(database: Database) -> tuple[int, int]:
        await database.write(account(1))
        with pytest.raises(UniqueViolation):
            await database.write(lambda tx: tx.run(DOUBLE, user="@u0001:x"))
        await database.read(lambda tx: accounts.get(tx, "@u0001:x"))
        await database.read_aside(lambda tx: accounts.get(tx, "@u0001:x"))
        return database.writes, database.reads

    assert on(database_url, work) == (1, 2)


def test_a_long_read_sees_one_state_of_the_database(database_url: str) -> None:
    async def work(database: Database) -> tuple[int, int]:
        await database.write(account(1))
        looked, written = threading.Event(), threading.Event()

        def count_twice(tx: Tx) -> tuple[int, int]:
            first = len(accounts.after(tx, "", 10))
            looked.set()
            assert pause_until(tx, written.is_set, 60)
            return first, len(accounts.after(tx, "", 10))

        counts = asyncio.create_task(database.read_aside(count_twice))
        while not looked.is_set():
            await asyncio.sleep(0.01)
        await database.write(account(2))
        written.set()
        return await counts

    assert on(database_url, work) == (1, 1)


def test_a_unit_that_only_makes_a_coroutine_is_refused(database_url: str) -> None:
    async def later(tx: Tx) -> bool:
        return account(1)(tx)

    async def work(database: Database) -> None:
        def nested(_tx: Tx) -> object:
            return database.read(lambda tx: accounts.get(tx, "@u0001:x"))

        runs = (database.read, database.read_aside, database.write, database.write_aside)
        for run in runs:
            for unit in (later, nested):
                with pytest.raises(TypeError, match="synchronous"):
                    await run(unit)
        assert await database.write(account(2))
        assert await database.read(lambda tx: accounts.get(tx, "@u0001:x")) is None

    on(database_url, work)


def test_what_a_unit_raises_shows_where_it_was_raised(database_url: str) -> None:
    def failing(tx: Tx) -> None:
        accounts.get(tx, "@u0001:x")
        raise LookupError("mine")

    async def work(database: Database) -> None:
        for run in (database.read, database.read_aside, database.write, database.write_aside):
            with pytest.raises(LookupError, match="mine") as caught:
                await run(failing)
            assert caught.traceback[-1].name == "failing"

    on(database_url, work)


def test_a_unit_on_the_event_loop_sees_the_context_of_its_caller(database_url: str) -> None:
    name: ContextVar[str] = ContextVar("name")

    def see(tx: Tx) -> list[str]:
        seen = [name.get()]
        accounts.get(tx, "@u0001:x")
        return [*seen, name.get(), structlog.contextvars.get_contextvars()["name"]]

    async def caller(database: Database, number: int) -> None:
        name.set(f"caller {number}")
        with structlog.contextvars.bound_contextvars(name=f"caller {number}"):
            assert await database.read(see) == [f"caller {number}"] * 3

    async def work(database: Database) -> None:
        await asyncio.gather(*(caller(database, number) for number in range(20)))

    on(database_url, work)


def test_an_unknown_url_is_refused() -> None:
    with pytest.raises(StorageError, match="sqlite:"):
        open_database("mysql://x", pool_size=1, password=None)


def test_an_insert_is_seen_by_the_next_statement_and_committed(database_url: str) -> None:
    count = query("SELECT COUNT(*) FROM accounts WHERE user_id = :user")

    def step(tx: Tx) -> Any:
        tx.insert(DOUBLE, user="@a:x")
        seen = tx.value(count, user="@a:x")
        tx.insert(DOUBLE, user="@b:x")
        return seen

    async def work(database: Database) -> list[Any]:
        seen = await database.write(step)
        return [seen, *[found.user_id for found in await database.read(lambda tx: accounts.after(tx, "", 10))]]

    assert on(database_url, work) == [1, "@a:x", "@b:x"]


@pytest.mark.parametrize("last", [True, False], ids=["at COMMIT", "at the next statement"])
def test_a_failed_insert_fails_its_unit_and_no_other(database_url: str, *, last: bool) -> None:
    def step(tx: Tx) -> None:
        account(1)(tx)
        tx.insert(DOUBLE, user="@a:x")
        if not last:
            account(2)(tx)

    async def work(database: Database) -> list[str]:
        await database.write(lambda tx: tx.insert(DOUBLE, user="@a:x"))
        for _ in range(20):  # also on the connections that a failure was on
            with pytest.raises(StorageError) as caught:
                await database.write(step)
            assert not isinstance(caught.value, UniqueViolation | Busy)
        await database.write(account(3))
        return [found.user_id for found in await database.read(lambda tx: accounts.after(tx, "", 10))]

    assert on(database_url, work) == ["@a:x", "@u0003:x"]


def test_a_change_whose_count_nobody_needs_is_seen_by_the_next_statement_and_committed(database_url: str) -> None:
    count = query("SELECT COUNT(*) FROM accounts WHERE created_at = 7 AND user_id >= :user")
    change = query("UPDATE accounts SET created_at = 7 WHERE user_id >= :user")

    def step(tx: Tx) -> Any:
        tx.run_unseen(change, user="@u0002:x")
        return tx.value(count, user="")

    async def work(database: Database) -> list[Any]:
        for number in (1, 2, 3):
            await database.write(account(number))
        seen = await database.write(step)
        await database.write(lambda tx: tx.run_unseen(change, user="@z:x"))
        await database.write(lambda tx: tx.run_unseen(change, user="@u0001:x"))
        return [seen, await database.read(lambda tx: tx.value(count, user=""))]

    assert on(database_url, work) == [2, 3]


def inserting(statement: Query) -> Callable[[Tx], None]:
    return lambda tx: tx.insert(statement, user="@a:x")


def test_an_insert_that_may_touch_no_row_or_several_is_rejected(database_url: str) -> None:
    async def work(database: Database) -> None:
        others = [
            f"{DOUBLE.sqlite} ON CONFLICT DO NOTHING",
            f"{DOUBLE.sqlite} ON CONFLICT (user_id) DO UPDATE SET created_at = 2",
            "INSERT INTO accounts (user_id, created_at) SELECT user_id, 1 FROM devices WHERE user_id = :user",
            "UPDATE accounts SET created_at = 1 WHERE user_id = :user",
        ]
        for statement in map(query, others):
            with pytest.raises(ValueError, match="may insert no row or several"):
                await database.write(inserting(statement))
        assert await database.read(lambda tx: accounts.after(tx, "", 10)) == []

    on(database_url, work)


def test_a_unit_without_statements_is_no_error(database_url: str) -> None:
    async def work(database: Database) -> int:
        return await database.write(lambda _: 7)

    assert on(database_url, work) == 7
