"""Transactions on PostgreSQL: runs units of work on connections, retries them after conflicts and maps errors.

Reads have connections of their own. Otherwise writes that wait for a lock could hold all connections.
READ COMMITTED is enough: correctness rests on unique keys and on statements with their own guards.
https://www.postgresql.org/docs/current/transaction-iso.html
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

import psycopg
from greenlet import GreenletExit
from psycopg.pq import TransactionStatus

from threepid.clock import ticks
from threepid.storage.engine import units
from threepid.storage.engine.database import Busy, Database, InDoubt, StorageError, Tx, call, timed
from threepid.storage.engine.postgresql.connection import Connection
from threepid.storage.engine.postgresql.pool import Pool
from threepid.storage.engine.postgresql.shared_reads import SharedReads
from threepid.storage.engine.postgresql.together import Together
from threepid.storage.engine.postgresql.transaction import CONFLICTS, Known, PostgresqlTx, as_storage_error
from threepid.tracing import is_on

T = TypeVar("T")

WAIT_SECONDS: Final = 5.0
"""How long a unit of work waits for a connection, and a statement for a lock."""
READERS: Final = 4
"""Maximum number of connections for reads; fewer if fewer are configured for writes."""
TRIES: Final = 10
"""Maximum number of attempts at a unit of work that conflicts with others."""
_NESTED: Final = "a unit of work cannot wait for another one: use its own transaction"
_BEGIN: Final = b"BEGIN ISOLATION LEVEL READ COMMITTED"
_BEGIN_SNAPSHOT: Final = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Postgresql(Database):
    """A database of a PostgreSQL server."""

    engine = "postgresql"

    def __init__(self, url: str, *, pool_size: int, password: str | None, wait_seconds: float = WAIT_SECONDS) -> None:
        """Connect once to check `url`.

        Raises Busy if the server is unreachable, StorageError if it would lose acknowledged writes in a power cut.
        """
        super().__init__()
        self._known = Known()
        self._closed = False
        self._under_way = 0
        self._all_done: asyncio.Future[None] | None = None
        """The future by which `close` waits for the last unit."""
        self._writers = Pool(url, pool_size, password=password, wait_seconds=wait_seconds, options="")
        self._readers = Pool(
            url,
            min(READERS, pool_size),
            password=password,
            wait_seconds=wait_seconds,
            options="-c default_transaction_read_only=on",
        )
        # At most one group at a time. Always on one connection, so that one process of PostgreSQL has all it needs in its caches.
        self._group = Pool(url, 1, password=password, wait_seconds=wait_seconds, options="")
        self._together = Together(
            lambda fn: self._in_unit(self._group, fn, _BEGIN), self._known, self._committed, wait_seconds
        )
        self._shared_reads = SharedReads(lambda fn: self._in_unit(self._readers, fn, None), self._known)
        self._check_durability(url)

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` without a transaction: each statement is one round trip, which the reads of other callers share."""
        if units.current() is not None:
            raise RuntimeError(_NESTED)
        self.reads += 1
        if is_on():
            with timed(self.read_times, "database read"):
                return await self._shared_reads.read(fn)
        # Every request reads, and most are not traced.
        started = ticks()
        try:
            return await self._shared_reads.read(fn)
        finally:
            self.read_times.note(ticks() - started)

    async def read_aside(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` on one consistent snapshot."""
        self.reads += 1
        with timed(self.read_times, "database read"):
            return await self._in_unit(self._readers, self._with_tx(fn), _BEGIN_SNAPSHOT)

    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` and commit."""
        with timed(self.write_times, "database write"):
            result = await self._in_unit(self._writers, self._with_tx(fn), _BEGIN)
        self._committed(1)
        return result

    async def write_together(self, fn: Callable[[Tx], T], *, alone: bool = False) -> T:
        """Run `fn` behind the other units that change a row in common with it, in a commit that they share."""
        if units.current() is not None:
            raise RuntimeError(_NESTED)
        with timed(self.write_times, "database write"):
            return await self._together.write(fn, alone=alone)

    async def write_aside(self, fn: Callable[[Tx], T]) -> T:
        """Like `write`: every write has a connection of its own."""
        return await self.write(fn)

    async def close(self) -> None:
        """Finish the running units of work and close all connections."""
        await self._together.close()
        self._closed = True
        if self._under_way:
            self._all_done = self._all_done or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._all_done)
        for pool in (self._group, self._writers, self._readers):
            pool.close()

    def _with_tx(self, fn: Callable[[Tx], T]) -> Callable[[Connection], T]:
        return lambda connection: call(fn, PostgresqlTx(connection, self._known))

    async def _in_unit(self, pool: Pool, fn: Callable[[Connection], T], begin: bytes | None) -> T:
        if units.current() is not None:
            raise RuntimeError(_NESTED)
        if self._closed:
            raise Busy("the database is closed")
        self._under_way += 1
        try:
            connection = await pool.take()
        except BaseException:
            self._one_is_done()
            raise
        # From here on the unit runs to its end, even if its caller is cancelled.
        return await units.run(lambda: self._run(pool, connection, fn, begin))

    def _committed(self, count: int) -> None:
        self.writes += count
        self.commits += 1

    def _one_is_done(self) -> None:
        self._under_way -= 1
        if not self._under_way and self._all_done is not None and not self._all_done.done():
            self._all_done.set_result(None)

    def _run(self, pool: Pool, connection: Connection, fn: Callable[[Connection], T], begin: bytes | None) -> T:
        """Run `fn` in a unit of work, and again after a conflict or a lost connection."""
        try:
            for attempt in range(1, TRIES + 1):
                try:
                    return self._on(pool, connection, fn, begin)
                except CONFLICTS as error:
                    if attempt == TRIES:
                        raise Busy(f"{type(error).__name__} {TRIES} times") from None
                    units.wait_for(asyncio.sleep(0.002 * attempt * attempt))
                except _LostBeforeCommitError as error:
                    # Nothing was committed, so another connection may repeat the work, but only once.
                    if attempt > 1:
                        raise Busy("the connection was lost") from error
                except psycopg.Error as error:
                    raise as_storage_error(error) from error
                connection = units.wait_for(pool.take())
            raise Busy("too many conflicts")
        finally:
            self._one_is_done()

    def _on(self, pool: Pool, connection: Connection, fn: Callable[[Connection], T], begin: bytes | None) -> T:
        """Run `fn` on a connection and return the connection to its pool."""
        connection.lend()
        try:
            result = self._transaction(connection, fn, begin)
        except GreenletExit:  # the event loop is gone, so a ROLLBACK cannot wait for its answer
            connection.close()
            raise
        except BaseException:
            pool.give_back(connection)
            raise
        pool.give_back(connection)
        return result

    def _transaction(self, connection: Connection, fn: Callable[[Connection], T], begin: bytes | None) -> T:
        try:
            if begin is not None:
                connection.begin(begin)
            result = fn(connection)
        except GreenletExit:
            raise
        except BaseException as error:
            if connection.is_lost:
                raise _LostBeforeCommitError from error
            _roll_back(connection)
            raise
        if begin is None:
            return result
        if connection.transaction_status == TransactionStatus.INERROR:
            # PostgreSQL would roll back at COMMIT without an error.
            _roll_back(connection)
            raise StorageError("a failed statement was passed over: nothing was committed")
        try:
            connection.commit()
        except psycopg.Error as error:
            if connection.is_lost:
                raise InDoubt("the connection was lost during COMMIT") from error
            _roll_back(connection)
            raise
        return result

    def _check_durability(self, url: str) -> None:
        try:
            with psycopg.connect(url, **self._writers.parameters()) as connection:
                for setting in ("fsync", "synchronous_commit"):
                    found = connection.execute(f"SHOW {setting}".encode()).fetchone()
                    if found is None or found[0] == "off":
                        raise StorageError(f"PostgreSQL has {setting} = off and would lose writes: set it to on.")
        except psycopg.OperationalError:
            raise Busy("PostgreSQL cannot be reached") from None
        except psycopg.Error as error:
            # The driver's message quotes a URL that it cannot parse, and the URL may contain a password.
            raise StorageError(type(error).__name__) from None


def _roll_back(connection: Connection) -> None:
    """Roll back the transaction, or close the connection if that fails."""
    try:
        connection.roll_back()
    except psycopg.Error:
        connection.close()


class _LostBeforeCommitError(Exception):
    """The connection was lost before COMMIT was sent."""
