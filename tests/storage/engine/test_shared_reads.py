"""Reads that share a connection: each gets its own answer, whatever becomes of the others."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar

import psycopg
import pytest

from storage.engine.test_postgresql import BACKEND, account, nap, on, postgresql_url
from threepid.storage import accounts
from threepid.storage.engine.database import Busy, Database, StorageError, Tx
from threepid.storage.engine.postgresql.shared_reads import MOST
from threepid.storage.engine.queries import Query

__all__ = ["postgresql_url"]

FAILS = Query("fails", "", "SELECT 1 / 0")


def echo(number: int) -> Callable[[Tx], int]:
    return lambda tx: int(tx.value(Query("echo", "", "SELECT CAST(%(number)s AS BIGINT)"), number=number))


def after_a_nap(seconds: float, then: Callable[[Tx], int]) -> Callable[[Tx], int]:
    def step(tx: Tx) -> int:
        nap(tx, seconds)
        return then(tx)

    return step


def test_reads_of_one_turn_share_a_connection_and_each_gets_its_own_answer(postgresql_url: str) -> None:
    def twice(number: int) -> Callable[[Tx], tuple[int, int, int]]:
        return lambda tx: (echo(number)(tx), tx.value(BACKEND), echo(-number)(tx) if number % 2 else 0)

    async def work(database: Database) -> None:
        found = await asyncio.gather(*(database.read(twice(number)) for number in range(MOST)))
        assert [(first, last) for first, _, last in found] == [(n, -n if n % 2 else 0) for n in range(MOST)]
        assert len({backend for _, backend, _ in found}) == 1
        assert database.reads == MOST

    on(postgresql_url, work)


def test_more_reads_than_fit_into_one_pipeline_use_several_connections(postgresql_url: str) -> None:
    async def work(database: Database) -> None:
        found = await asyncio.gather(
            *(database.read(after_a_nap(0.001, lambda tx: int(tx.value(BACKEND)))) for _ in range(2 * MOST + 1))
        )
        assert sorted(found.count(backend) for backend in set(found)) == [1, MOST, MOST]

    on(postgresql_url, work)


def test_a_read_that_raises_disturbs_no_other(postgresql_url: str) -> None:
    def refuse(tx: Tx) -> int:
        echo(1)(tx)
        raise LookupError("mine")

    async def work(database: Database) -> None:
        for number in range(3):
            await database.write(account(number))
        seen = [database.read(echo(1)), database.read(refuse), database.read(lambda tx: len(accounts.after(tx, "", 9)))]
        first, refused, last = await asyncio.gather(*seen, return_exceptions=True)
        assert (first, repr(refused), last) == (1, "LookupError('mine')", 3)

    on(postgresql_url, work)


def test_a_statement_that_fails_fails_its_own_read_alone(postgresql_url: str) -> None:
    calls: list[int] = []

    def counted(number: int) -> Callable[[Tx], int]:
        def step(tx: Tx) -> int:
            calls.append(number)
            return echo(number)(tx)

        return step

    async def work(database: Database) -> None:
        reads = [database.read(counted(1)), database.read(lambda tx: tx.value(FAILS)), database.read(counted(2))]
        first, failed, last = await asyncio.gather(*reads, return_exceptions=True)
        assert (first, type(failed), last) == (1, StorageError, 2)
        assert sorted(calls) == [1, 1, 2, 2]
        assert await database.read(echo(3)) == 3

    on(postgresql_url, work)


def test_reads_on_a_lost_connection_are_repeated_on_another(postgresql_url: str) -> None:
    tries: list[int] = []

    def cut_once(tx: Tx) -> int:
        backend = int(tx.value(BACKEND))
        tries.append(backend)
        if len(tries) == 1:
            with psycopg.connect(postgresql_url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", (backend,))
        return echo(7)(tx)

    def always_cut(tx: Tx) -> None:
        with psycopg.connect(postgresql_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (tx.value(BACKEND),))
        echo(7)(tx)

    async def work(database: Database) -> None:
        assert tuple(await asyncio.gather(database.read(cut_once), database.read(echo(8)))) == (7, 8)
        assert len(set(tries)) == 2
        failed = await asyncio.gather(database.read(always_cut), database.read(echo(8)), return_exceptions=True)
        assert [type(error) for error in failed] == [Busy, Busy]
        assert failed[0] is not failed[1]
        assert await database.read(echo(9)) == 9

    on(postgresql_url, work)


def test_a_caller_that_goes_away_disturbs_no_other(postgresql_url: str) -> None:
    async def work(database: Database) -> None:
        gone = asyncio.create_task(database.read(lambda tx: nap(tx, 0.05)))
        stays = asyncio.create_task(database.read(echo(5)))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == 5
        with pytest.raises(asyncio.CancelledError):
            await gone

    on(postgresql_url, work)


def test_a_read_sees_the_context_of_its_caller(postgresql_url: str) -> None:
    caller: ContextVar[str] = ContextVar("caller", default="nobody")

    async def ask(database: Database, name: str) -> tuple[str, str]:
        caller.set(name)

        def step(tx: Tx) -> tuple[str, str]:
            before = caller.get()
            echo(1)(tx)
            return before, caller.get()

        return await database.read(step)

    async def work(database: Database) -> None:
        names = ["one", "two", "three"]
        assert await asyncio.gather(*(ask(database, name) for name in names)) == [(name, name) for name in names]
        assert await ask(database, "alone") == ("alone", "alone")

    on(postgresql_url, work)


def test_closing_finishes_the_reads_that_have_begun_and_refuses_later_ones(postgresql_url: str) -> None:
    async def work(database: Database) -> None:
        begun = asyncio.create_task(database.read(after_a_nap(0.02, echo(4))))
        await asyncio.sleep(0.005)
        waiting = asyncio.create_task(database.read(echo(5)))
        await database.close()
        assert await begun == 4
        outcome = (await asyncio.gather(waiting, return_exceptions=True))[0]
        assert outcome == 5 or isinstance(outcome, Busy)
        with pytest.raises(Busy):
            await database.read(echo(6))

    on(postgresql_url, work)
