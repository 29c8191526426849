"""F04: a lock that somebody else holds means a bounded wait, then 503 with Retry-After; reading goes on."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from threepid.clock import Clock
from threepid.storage import accounts
from threepid.storage.engine.connect import sqlite_path
from threepid.storage.engine.database import Busy, Database, Tx
from threepid.storage.engine.migrate import migrate
from threepid.storage.engine.postgresql import Postgresql
from threepid.storage.engine.queries import Query
from threepid.storage.engine.sqlite import Sqlite
from world import World


def insert(number: int) -> Callable[[Tx], bool]:
    return lambda tx: accounts.insert(tx, user_id=f"@u{number}:x", password_hash=None, created_at=1)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    migrate(f"sqlite:{tmp_path / 'x.db'}", password=None, clock=Clock())
    return tmp_path / "x.db"


def test_a_short_lock_is_waited_for(path: Path) -> None:
    async def run() -> bool:
        database = Sqlite(path, wait_seconds=30)
        with locked(path):
            write = asyncio.create_task(database.write(insert(1)))
            await asyncio.sleep(0.1)
            assert not write.done()
        result = await write
        await database.close()
        return bool(result)

    assert asyncio.run(run())


def test_a_long_lock_ends_in_busy_while_reading_goes_on_and_the_loop_is_free(path: Path) -> None:
    async def run() -> int:
        database = Sqlite(path, wait_seconds=1)
        await database.write(insert(0))
        reads = 0
        with locked(path):
            writes = [asyncio.create_task(database.write(insert(number))) for number in range(1, 20)]
            await asyncio.sleep(0)
            while not any(write.done() for write in writes):
                assert await database.read(lambda tx: accounts.get(tx, "@u0:x")) is not None
                reads += 1
                await asyncio.sleep(0.001)
            for write in writes:
                with pytest.raises(Busy):
                    await write
        assert await database.read(lambda tx: accounts.get(tx, "@u1:x")) is None
        assert await database.write(insert(1))
        await database.close()
        return reads

    # While the first of them waited. If reads waited for it too, or it held the event loop, there would be one or two.
    assert asyncio.run(run()) > 5


def test_more_writes_than_a_commit_takes_wait_for_a_long_lock_no_longer_than_the_first(path: Path) -> None:
    async def run() -> None:
        database = Sqlite(path, wait_seconds=0.4)
        await database.write(insert(0))
        with locked(path):
            writes = [asyncio.create_task(database.write(insert(number))) for number in range(1, 1_200)]
            await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
        # The lock is free from here on: whoever went on waiting for it would get it.
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert {type(result) for result in results} == {Busy}
        assert await database.write(insert(1))
        await database.close()

    asyncio.run(run())


def test_the_api_answers_503_with_retry_after_and_recovers(database_url: str, tmp_path: Path, engine: str) -> None:
    hurried = Sqlite(sqlite_path(database_url), wait_seconds=0.2) if engine == "sqlite" else None
    with World(database_url, tmp_path, database=hurried) as world:
        token = world.register()
        with hold(database_url, engine):
            answer = world.post("/_matrix/client/v3/logout", token=token)
            assert answer.status_code == 503
            assert answer.json()["errcode"] == "M_UNKNOWN"
            assert int(answer.headers["Retry-After"]) > 0
            assert world.get("/_matrix/client/v3/account/whoami", token=token).status_code == 200
        assert world.post("/_matrix/client/v3/logout", token=token).status_code == 200


@contextmanager
def hold(database_url: str, engine: str) -> Iterator[None]:
    if engine == "sqlite":
        with locked(Path(database_url.removeprefix("sqlite:"))):
            yield
        return
    with psycopg.connect(database_url) as connection:
        connection.execute(b"LOCK TABLE devices IN ACCESS SHARE MODE")
        connection.execute(b"SELECT 1 FROM devices FOR UPDATE")
        yield
        connection.rollback()


def test_reading_goes_on_while_more_writes_wait_than_there_are_connections(
    database_url: str, tmp_path: Path, engine: str
) -> None:
    """Every token is checked by a read: whoami must answer at once, whatever the writes wait for."""
    with World(database_url, tmp_path, database=patient(database_url, engine)) as world:
        token = world.register()

        async def ask() -> None:
            database = world.server.context.database
            step = touch(world.config.server.name, engine)
            writes = [asyncio.create_task(database.write(step)) for _ in range(40)]
            await asyncio.sleep(0.5)  # all connections that write are waiting by now
            for _ in range(50):
                answer = await world.acall("GET", "/_matrix/client/v3/account/whoami", token=token)
                assert answer.status_code == 200
            assert not any(write.done() for write in writes)
            holder.close()
            await asyncio.gather(*writes)

        with hold_open(database_url, engine) as holder:
            world.run(ask())


def patient(database_url: str, engine: str) -> Database:
    """The writes wait until the test lets them go on, however long that takes."""
    if engine == "sqlite":
        return Sqlite(sqlite_path(database_url), wait_seconds=120)
    return Postgresql(database_url, pool_size=8, password=None, wait_seconds=120)


class Holder:
    """A connection that keeps the account's row, on SQLite the database, locked until it is closed."""

    def __init__(self, database_url: str, engine: str) -> None:
        self._connection: Any
        if engine == "sqlite":
            self._connection = apsw.Connection(database_url.removeprefix("sqlite:"))
            self._connection.execute("BEGIN IMMEDIATE")
        else:
            self._connection = psycopg.connect(database_url)
            self._connection.execute(b"SELECT 1 FROM accounts FOR UPDATE")

    def close(self) -> None:
        self._connection.close()


@contextmanager
def hold_open(database_url: str, engine: str) -> Iterator[Holder]:
    holder = Holder(database_url, engine)
    try:
        yield holder
    finally:
        holder.close()


def touch(server_name: str, engine: str) -> Callable[[Tx], int]:
    text = "UPDATE accounts SET created_at = created_at + 1 WHERE user_id = "
    query = Query("touch", f"{text}:user", f"{text}%(user)s")
    return lambda tx: tx.run(query, user=f"@alice:{server_name}")


def test_a_full_disk_is_an_error_and_no_half_state(tmp_path: Path) -> None:
    migrate(f"sqlite:{tmp_path / 'x.db'}", password=None, clock=Clock())

    async def run() -> None:
        database = Sqlite(tmp_path / "x.db", wait_seconds=0.2)

        def too_much(tx: Tx) -> None:
            connection = tx.connection  # type: ignore[attr-defined]
            connection.execute("PRAGMA max_page_count = 60")
            for number in range(5_000):
                accounts.insert(tx, user_id=f"@user{number}:{'x' * 100}", password_hash="y" * 100, created_at=1)

        with pytest.raises(Busy):
            await database.write(too_much)
        assert await database.read(lambda tx: accounts.after(tx, "", 10)) == []
        assert await database.write(insert(1))
        await database.close()

    asyncio.run(run())
    assert threading.active_count() < 20
