"""What only PostgreSQL does: conflicts, lost connections, limits."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pausing import pause_until
from threepid.storage import accounts
from threepid.storage.engine.database import Busy, Database, InDoubt, StorageError, Tx, UniqueViolation
from threepid.storage.engine.postgresql import Postgresql
from threepid.storage.engine.queries import Query


def on(url: str, work: Callable[[Database], Awaitable[Any]], *, wait_seconds: float = 5) -> Any:
    async def run() -> Any:
        database = Postgresql(url, pool_size=8, password=None, wait_seconds=wait_seconds)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


def account(number: int) -> Callable[[Tx], bool]:
    return lambda tx: accounts.insert(tx, user_id=f"@u{number:04}:x", password_hash=None, created_at=number)


def query(text: str) -> Query:
    return Query("test", "", text.replace(":user", "%(user)s"))


DOUBLE_TEXT = "INSERT INTO accounts (user_id, created_at) VALUES (:user, 1)"
DOUBLE = query(DOUBLE_TEXT)
DOUBLE_BOTH = Query("test", DOUBLE_TEXT, DOUBLE_TEXT.replace(":user", "%(user)s"))
TOUCH = query("UPDATE accounts SET created_at = created_at + 10 WHERE user_id = :user")


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if not request.config.getoption("postgres"):
        pytest.skip("needs --postgres")
    server = request.getfixturevalue("postgres_server")
    name, url = server.copy_database("template_threepid")
    yield url
    server.drop_database(name)


def nap(tx: Tx, seconds: float) -> None:
    """Let the event loop do something else while a statement takes so long."""
    tx.value(Query("nap", "", f"SELECT CAST(pg_sleep({seconds}) AS TEXT)"))


def test_a_deadlock_is_repeated_until_both_are_done(postgresql_url: str) -> None:
    tries: list[int] = []
    have_one: set[int] = set()

    def crosswise(first: int, second: int) -> Callable[[Tx], None]:
        def step(tx: Tx) -> None:
            tries.append(first)
            tx.run(TOUCH, user=f"@u{first:04}:x")
            have_one.add(first)
            assert pause_until(tx, lambda: len(have_one) == 2, 5)
            tx.run(TOUCH, user=f"@u{second:04}:x")

        return step

    async def work(database: Database) -> list[int]:
        await database.write(account(1))
        await database.write(account(2))
        await asyncio.gather(database.write(crosswise(1, 2)), database.write(crosswise(2, 1)))
        return [found.created_at for found in await database.read(lambda tx: accounts.after(tx, "", 10))]

    assert on(postgresql_url, work) == [21, 22]
    assert len(tries) >= 3  # the loser may lose once more before the winner has both


def test_a_connection_lost_before_the_commit_is_replaced_and_the_work_done_once(postgresql_url: str) -> None:
    backend = query("SELECT pg_backend_pid() WHERE :user = ''")
    tries = []

    def step(tx: Tx) -> None:
        tries.append(tx.value(backend, user=""))
        account(1)(tx)
        if len(tries) == 1:
            with psycopg.connect(postgresql_url, autocommit=True) as other:
                other.execute(b"SELECT pg_terminate_backend(%s)", (tries[0],))
        account(2)(tx)

    async def work(database: Database) -> int:
        await database.write(step)
        return len(await database.read(lambda tx: accounts.after(tx, "", 10)))

    assert on(postgresql_url, work) == 2
    assert len(set(tries)) == 2


def cut_at_commit(url: str) -> None:
    """Let a deferred trigger end a connection that has inserted an account, in the middle of COMMIT."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            b"CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS "
            b"$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
        )
        connection.execute(
            b"CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON accounts DEFERRABLE INITIALLY DEFERRED "
            b"FOR EACH ROW EXECUTE FUNCTION cut()"
        )


def test_a_commit_whose_answer_is_lost_is_in_doubt_and_not_repeated(postgresql_url: str) -> None:
    cut_at_commit(postgresql_url)
    tries = []

    def step(tx: Tx) -> None:
        tries.append(1)
        account(1)(tx)

    async def work(database: Database) -> None:
        with pytest.raises(InDoubt):
            await database.write(step)
        assert await database.read(lambda tx: accounts.after(tx, "", 10)) == []

    on(postgresql_url, work)
    assert len(tries) == 1


def test_waiting_for_a_connection_ends_in_busy(postgresql_url: str) -> None:
    async def run() -> None:
        database = Postgresql(postgresql_url, pool_size=1, password=None, wait_seconds=0.5)

        def slow(tx: Tx) -> None:
            account(1)(tx)
            begun.set()
            for _ in range(8):
                nap(tx, 0.2)

        begun = asyncio.Event()
        first = asyncio.create_task(database.write(slow))
        await begun.wait()
        with pytest.raises(Busy):
            await database.write(account(2))
        assert not first.done()
        await first
        await database.close()

    asyncio.run(run())


def test_a_serialisation_failure_is_repeated_until_it_is_done(postgresql_url: str) -> None:
    strict = query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    tries = []

    def step(tx: Tx) -> None:
        tx.run(strict, range(-1, 1))
        tx.value(query("SELECT created_at FROM accounts WHERE user_id = :user"), user="@u0001:x")
        tries.append(1)
        if len(tries) <= 2:  # somebody else is quicker, twice
            with psycopg.connect(postgresql_url, autocommit=True) as other:
                other.execute(b"UPDATE accounts SET created_at = created_at + 100")
        tx.run(TOUCH, user="@u0001:x")

    async def work(database: Database) -> int:
        await database.write(account(1))
        await database.write(step)
        found = await database.read(lambda tx: accounts.get(tx, "@u0001:x"))
        assert found is not None
        return found.created_at

    assert on(postgresql_url, work) == 211
    assert len(tries) == 3


def test_a_unit_that_passes_over_a_failed_statement_is_told_that_nothing_was_committed(postgresql_url: str) -> None:
    def careless(tx: Tx) -> None:
        account(2)(tx)
        with pytest.raises(UniqueViolation):
            tx.run(DOUBLE, user="@u0001:x")

    async def work(database: Database) -> None:
        await database.write(account(1))
        with pytest.raises(StorageError, match="nothing was committed"):
            await database.write(careless)
        assert await database.read(lambda tx: accounts.get(tx, "@u0002:x")) is None
        assert database.writes == 1

    on(postgresql_url, work)


def test_what_a_unit_raises_is_told_even_if_its_connection_was_used_up(postgresql_url: str) -> None:
    def failing(tx: Tx) -> None:
        with pytest.raises(UniqueViolation):
            tx.run(DOUBLE, user="@u0001:x")
        raise LookupError("mine")

    async def work(database: Database) -> None:
        await database.write(account(1))
        with pytest.raises(LookupError, match="mine"):
            await database.write(failing)
        assert await database.write(account(2))

    on(postgresql_url, work)


def test_waiting_for_a_row_that_somebody_holds_ends_in_busy(postgresql_url: str) -> None:
    async def work(database: Database) -> None:
        await database.write(account(1))
        with psycopg.connect(postgresql_url) as other:
            other.execute(b"SELECT 1 FROM accounts FOR UPDATE")
            with pytest.raises(Busy):
                await database.write(lambda tx: tx.run(TOUCH, user="@u0001:x"))
            other.rollback()
        assert await database.write(lambda tx: tx.run(TOUCH, user="@u0001:x")) == 1

    on(postgresql_url, work, wait_seconds=1)


@pytest.mark.parametrize("text", ["nul\0", "half a character \ud800"])
def test_text_that_postgresql_cannot_hold_is_refused(postgresql_url: str, text: str) -> None:
    async def work(database: Database) -> None:
        with pytest.raises((StorageError, ValueError)):
            await database.write(lambda tx: tx.run(DOUBLE, user=text))
        assert await database.write(account(1))

    on(postgresql_url, work)


def test_what_reads_cannot_write(postgresql_url: str) -> None:
    async def work(database: Database) -> None:
        for read in (database.read, database.read_aside):
            with pytest.raises(Busy):
                await read(account(1))
        assert await database.write(account(1))

    on(postgresql_url, work)


BACKEND = Query("backend", "", "SELECT pg_backend_pid()")


def test_no_other_unit_runs_on_a_connection_meanwhile(postgresql_url: str) -> None:
    log: dict[int, list[tuple[str, int]]] = {}

    def unit(number: int, *, writes: bool) -> Callable[[Tx], None]:
        def step(tx: Tx) -> None:
            used = log.setdefault(tx.value(BACKEND), [])
            used.append(("begin", number))
            for _ in range(3):
                nap(tx, 0.001)
                if writes:
                    tx.run(TOUCH, user=f"@u{number % 5:04}:x")
            used.append(("end", number))

        return step

    async def work(database: Database) -> None:
        for number in range(5):
            await database.write(account(number))
        log.clear()
        units = [database.write(unit(number, writes=True)) for number in range(40)]
        units += [database.read_aside(unit(number, writes=False)) for number in range(40, 80)]
        await asyncio.gather(*units)

    on(postgresql_url, work)
    assert len(log) == 12
    assert sum(map(len, log.values())) == 2 * 80
    for used in log.values():
        assert used == [(what, number) for _, number in used[::2] for what in ("begin", "end")]


def test_a_cancelled_request_does_not_cut_its_unit(postgresql_url: str) -> None:
    begun, done = asyncio.Event(), asyncio.Event()

    def slow(tx: Tx) -> None:
        account(1)(tx)
        begun.set()
        nap(tx, 0.1)
        account(2)(tx)
        done.set()

    async def work(database: Database) -> None:
        request = asyncio.create_task(database.write(slow))
        await begun.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert not done.is_set()

    async def look(database: Database) -> int:
        return len(await database.read(lambda tx: accounts.after(tx, "", 10)))

    on(postgresql_url, work)  # closing waits for the unit
    assert done.is_set()
    assert on(postgresql_url, look) == 2


def test_a_unit_that_waits_for_another_one_is_refused(postgresql_url: str) -> None:
    async def work(database: Database) -> None:
        def nested(tx: Tx) -> object:
            return database.write(account(2)).send(None)

        with pytest.raises(RuntimeError, match="cannot wait for another"):
            await database.write(nested)

    on(postgresql_url, work)


def test_a_transaction_is_of_no_use_outside_its_unit(postgresql_url: str) -> None:
    async def work(database: Database) -> None:
        kept = await database.write(lambda tx: tx)
        with pytest.raises(RuntimeError, match="another unit"):
            account(1)(kept)
        with pytest.raises(RuntimeError, match="another unit"):
            await database.write(lambda _: account(1)(kept))
        assert await database.write(account(2))

    on(postgresql_url, work)


def test_who_is_cancelled_while_waiting_for_a_connection_keeps_none(postgresql_url: str) -> None:
    async def run() -> None:
        database = Postgresql(postgresql_url, pool_size=1, password=None)
        for number in range(5):
            holding = asyncio.create_task(database.write(lambda tx: nap(tx, 0.02)))
            await asyncio.sleep(0.01)
            waiting = [asyncio.create_task(database.write(account(number * 2 + more))) for more in range(2)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            await asyncio.gather(holding, *waiting, return_exceptions=True)
        found = await database.read(lambda tx: accounts.after(tx, "", 20))
        assert [one.created_at for one in found] == [1, 3, 5, 7, 9]
        await database.close()

    asyncio.run(run())


def test_a_connection_that_is_lost_while_idle_is_replaced(postgresql_url: str) -> None:
    async def work(database: Database) -> None:
        before = await asyncio.gather(*(database.read(lambda tx: tx.value(BACKEND)) for _ in range(4)))
        with psycopg.connect(postgresql_url, autocommit=True) as other:
            for number in before:
                other.execute(b"SELECT pg_terminate_backend(%s, 5000)", (number,))
        after = await asyncio.gather(*(database.read(lambda tx: tx.value(BACKEND)) for _ in range(4)))
        assert not set(before) & set(after)
        assert await database.write(account(1))

    on(postgresql_url, work)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_connections_that_are_lost_and_opened_again_and_again_leave_no_file_open(postgresql_url: str) -> None:
    """A number of a file that libpq has closed is soon another connection's: that one must stay watched."""

    def used(tx: Tx) -> int:
        nap(tx, 0.02)
        return int(tx.value(BACKEND))

    async def work(database: Database) -> None:
        files = []
        for _ in range(5):
            lost = await asyncio.gather(*(database.write(used) for _ in range(8)))
            files.append(open_files())
            with psycopg.connect(postgresql_url, autocommit=True) as other:
                for number in lost[::2]:
                    other.execute(b"SELECT pg_terminate_backend(%s, 5000)", (number,))
        assert files == files[:1] * 5

    on(postgresql_url, work)


def test_a_statement_larger_than_the_buffers_of_the_socket_arrives(postgresql_url: str) -> None:
    text = "x" * 20_000_000

    async def work(database: Database) -> None:
        large = query("SELECT LENGTH(CAST(:user AS TEXT))")
        assert await asyncio.gather(*(database.read(lambda tx: tx.value(large, user=text)) for _ in range(2))) == [
            len(text),
            len(text),
        ]
        echo = query("SELECT CAST(:user AS TEXT)")
        assert await database.read(lambda tx: tx.value(echo, user=text)) == text

    on(postgresql_url, work, wait_seconds=30)


def test_options_of_the_url_hold_beside_ours(postgresql_url: str) -> None:
    shown = [Query("show", "", f"SHOW {name}") for name in ("application_name", "work_mem", "lock_timeout")]

    async def work(database: Database) -> list[str]:
        return [await database.read(lambda tx, one=one: tx.value(one)) for one in shown]  # type: ignore[misc]

    url = f"{postgresql_url}&application_name=a%20b&options=-c%20work_mem%3D5MB"
    assert on(url, work) == ["a b", "5MB", "5s"]


@asynccontextmanager
async def over_tcp(url: str) -> AsyncIterator[str]:
    """The URL of the same database behind a TCP port of this machine."""
    known = conninfo_to_dict(url)
    open_ones = list[asyncio.StreamWriter]()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs = await asyncio.open_unix_connection(f"{known['host']}/.s.PGSQL.5432")
        open_ones.extend((writer, theirs[1]))
        await asyncio.gather(pass_on(reader, theirs[1]), pass_on(theirs[0], writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield f"postgresql://{known['user']}@127.0.0.1:{port}/{known['dbname']}?sslmode=disable"
    server.close()
    for one in open_ones:
        one.close()


def timeouts_at(port: int) -> set[tuple[int, int, int]]:
    """Of this process's connections to a port: after how long one is given up (in milliseconds), and when (in seconds) it is probed."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if not str(descriptor.readlink()).startswith("socket:"):
                continue
            one = socket.socket(fileno=os.dup(int(descriptor.name)))
            with closing(one):
                if one.family is not socket.AF_INET or one.getpeername()[1] != port:
                    continue
                options = (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)
                alive = one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                unacked, idle, again = (one.getsockopt(socket.IPPROTO_TCP, option) for option in options)
                found.add((unacked, alive * idle, alive * again))
    return found


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", (10_000, 10, 5)),
        ("&tcp_user_timeout=3000&keepalives_idle=7", (3_000, 7, 5)),
    ],
)
def test_a_connection_whose_other_end_has_vanished_is_given_up(
    postgresql_url: str, more: str, expected: tuple[int, int, int]
) -> None:
    """Otherwise it hangs for a quarter of an hour, or for two hours if it waits for an answer. Groups have only one."""

    async def run() -> None:
        async with over_tcp(postgresql_url) as url:
            database = await asyncio.to_thread(Postgresql, url + more, pool_size=2, password=None)
            await database.write(account(1))
            await database.write_together(account(2))
            await database.read(lambda tx: accounts.get(tx, "@u0001:x"))
            assert timeouts_at(urlsplit(url).port or 0) == {expected}
            await database.close()

    asyncio.run(run())


def test_closing_while_units_wait_for_connections_serves_them_all(postgresql_url: str) -> None:
    async def run() -> list[bool]:
        database = Postgresql(postgresql_url, pool_size=2, password=None)
        writes = [asyncio.create_task(database.write(account(number))) for number in range(30)]
        await asyncio.sleep(0)
        closing = [asyncio.create_task(database.close()) for _ in range(2)]
        await asyncio.gather(*closing)
        assert all(write.done() for write in writes)
        return await asyncio.gather(*writes)

    assert asyncio.run(run()) == [True] * 30


def test_a_value_that_cannot_be_sent_leaves_nothing_behind(postgresql_url: str) -> None:
    def step(tx: Tx) -> None:
        tx.insert(DOUBLE_BOTH, user="@a:x")
        tx.insert(DOUBLE_BOTH, user=object())

    async def work(database: Database) -> list[str]:
        for _ in range(20):
            with pytest.raises(StorageError):
                await database.write(step)
        await database.write(account(1))
        return [found.user_id for found in await database.read(lambda tx: accounts.after(tx, "", 10))]

    assert on(postgresql_url, work) == ["@u0001:x"]


def test_a_statement_that_fails_at_its_first_use_is_prepared_anew(postgresql_url: str) -> None:
    async def work(database: Database) -> int:
        broken = Query("late", "", "SELECT COUNT(*) FROM made_later")
        for _ in range(2):
            with pytest.raises(StorageError):
                await database.write(lambda tx: tx.value(broken))
        await database.write(lambda tx: tx.run(Query("make", "", "CREATE TABLE made_later (a INT)"), range(-1, 1)))
        return int(await database.write(lambda tx: tx.value(broken)))

    assert on(postgresql_url, work) == 0
