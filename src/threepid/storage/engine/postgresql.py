"""PostgreSQL through psycopg: units of work in a thread pool as wide as the connection pool.

Reads have threads and connections of their own: writes that wait for a lock would otherwise hold all of them.
READ COMMITTED is enough: correctness rests on unique keys and on statements that carry their own guard.
https://www.postgresql.org/docs/current/transaction-iso.html
"""

import asyncio
import time  # noqa: TID251 - only to sleep in a worker thread between two tries
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import psycopg
import psycopg_pool
from msgspec import Struct
from psycopg import errors as pg
from psycopg.pq import TransactionStatus

from threepid.storage.engine.database import (
    ONE,
    Busy,
    Database,
    InDoubt,
    Mapper,
    StorageError,
    Tx,
    UniqueViolation,
    WrongRowCount,
    call,
)
from threepid.storage.engine.queries import Query

S = TypeVar("S", bound=Struct)
T = TypeVar("T")

WAIT_SECONDS: Final = 5.0
"""How long a unit of work waits for a connection, and a statement for a lock."""
READERS: Final = 4
"""Maximum number of connections for reads; fewer where fewer are configured for writes."""
TRIES: Final = 10
"""How often a unit of work is run when it collides with others."""
_CONFLICTS: Final = (pg.SerializationFailure, pg.DeadlockDetected)
_TIMEOUTS: Final = (
    pg.LockNotAvailable,
    pg.QueryCanceled,
    pg.DiskFull,
    pg.TooManyConnections,
    pg.ReadOnlySqlTransaction,
)


class PostgresqlTx(Tx):
    """A transaction on one connection."""

    def __init__(self, connection: psycopg.Connection[Any], mapper: Mapper) -> None:
        """Run statements on `connection`."""
        self._connection = connection
        self._mapper = mapper

    def rows(self, query: Query, as_: type[S], /, **parameters: Any) -> list[S]:
        """All rows, as Structs by column name."""
        cursor = self._execute(query, parameters)
        return list(map(self._maker(query, as_, cursor), cursor.fetchall()))

    def row(self, query: Query, as_: type[S], /, **parameters: Any) -> S | None:
        """The only row, or None."""
        cursor = self._execute(query, parameters)
        found = self._only(query, cursor)
        return None if found is None else self._maker(query, as_, cursor)(found)

    def value(self, query: Query, /, **parameters: Any) -> Any:
        """The first column of the only row, or None."""
        found = self._only(query, self._execute(query, parameters))
        return None if found is None else found[0]

    def run(self, query: Query, touches: range = ONE, /, **parameters: Any) -> int:
        """Change rows and return their number. Raises WrongRowCount or UniqueViolation."""
        count = self._execute(query, parameters).rowcount
        if count not in touches:
            raise WrongRowCount(f"{query.name} touched {count} rows")
        return count

    def array(self, numbers: "array[int]") -> Any:
        """A parameter for `unnest(:numbers)`."""
        return list(numbers)

    def _execute(self, query: Query, parameters: dict[str, Any]) -> psycopg.Cursor[Any]:
        try:
            return self._connection.execute(query.postgresql.encode(), parameters)
        except pg.UniqueViolation:
            raise UniqueViolation(query.name) from None
        except pg.IntegrityError as error:
            raise StorageError(f"{query.name}: a constraint of the schema was violated") from error

    def _maker(self, query: Query, as_: type[S], cursor: psycopg.Cursor[Any]) -> Callable[[Any], S]:
        return self._mapper.maker(query, as_, lambda: [(column.name,) for column in cursor.description or ()])

    @staticmethod
    def _only(query: Query, cursor: psycopg.Cursor[Any]) -> Any:
        found = cursor.fetchmany(2)
        if len(found) > 1:
            raise WrongRowCount(f"{query.name} found more than one row")
        return found[0] if found else None


class Postgresql(Database):
    """A database of a PostgreSQL server."""

    engine = "postgresql"

    def __init__(self, url: str, *, pool_size: int, password: str | None, wait_seconds: float = WAIT_SECONDS) -> None:
        """Connect to `url`. Raises StorageError if the server would lose acknowledged writes in a power cut."""
        super().__init__()
        self._wait_seconds = wait_seconds
        self._mapper = Mapper()
        self._closed = False
        self._writers = _Connections(url, pool_size, password=password, wait_seconds=wait_seconds, options="")
        self._readers = _Connections(
            url,
            min(READERS, pool_size),
            password=password,
            wait_seconds=wait_seconds,
            options="-c default_transaction_read_only=on",
        )
        self._check_durability()

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` in a thread, without a transaction: one statement is one round trip."""
        self.reads += 1
        return await self._in_thread(self._readers, fn, None)

    async def read_aside(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` on one consistent snapshot, in a thread."""
        self.reads += 1
        return await self._in_thread(self._readers, fn, b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` in a thread and commit."""
        result = await self._in_thread(self._writers, fn, b"BEGIN ISOLATION LEVEL READ COMMITTED")
        self.writes += 1
        self.commits += 1
        return result

    async def write_aside(self, fn: Callable[[Tx], T]) -> T:
        """The same: every write runs in a thread."""
        return await self.write(fn)

    async def close(self) -> None:
        """Finish what is under way and close all connections."""
        self._closed = True
        loop = asyncio.get_running_loop()
        for connections in (self._writers, self._readers):
            await loop.run_in_executor(None, connections.close)

    async def _in_thread(self, connections: "_Connections", fn: Callable[[Tx], T], begin: bytes | None) -> T:
        if self._closed:
            raise Busy("the database is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(connections.threads, self._run, connections.pool, fn, begin)

    def _run(
        self, pool: psycopg_pool.ConnectionPool[psycopg.Connection[Any]], fn: Callable[[Tx], T], begin: bytes | None
    ) -> T:
        for attempt in range(1, TRIES + 1):
            try:
                with pool.connection() as connection:
                    return self._transaction(connection, fn, begin)
            except _CONFLICTS as error:
                if attempt == TRIES:
                    raise Busy(f"{type(error).__name__} {TRIES} times") from None
                time.sleep(0.002 * attempt * attempt)
            except _LostBeforeCommitError as error:
                # Nothing was committed, so the work may be done on another connection; once, lest it go on for ever.
                if attempt > 1:
                    raise Busy("the connection was lost") from error
            except (psycopg_pool.PoolTimeout, *_TIMEOUTS) as error:
                raise Busy(type(error).__name__) from None
            except psycopg.Error as error:
                raise StorageError(type(error).__name__) from error
        raise Busy("too many conflicts")

    @staticmethod
    def _is_lost(connection: psycopg.Connection[Any]) -> bool:
        return connection.closed or connection.info.transaction_status is TransactionStatus.UNKNOWN

    def _transaction(self, connection: psycopg.Connection[Any], fn: Callable[[Tx], T], begin: bytes | None) -> T:
        try:
            if begin is not None:
                connection.execute(begin)
            result = call(fn, PostgresqlTx(connection, self._mapper))
        except BaseException as error:
            if self._is_lost(connection):
                raise _LostBeforeCommitError from error
            raise  # the pool rolls back what it gets back open
        if begin is None:
            return result
        if connection.info.transaction_status is TransactionStatus.INERROR:
            # PostgreSQL would answer COMMIT with a rollback and no error.
            raise StorageError("a failed statement was passed over: nothing was committed")
        try:
            connection.execute(b"COMMIT")
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if self._is_lost(connection):
                raise InDoubt("the connection was lost during COMMIT") from error
            raise
        return result

    def _check_durability(self) -> None:
        try:
            with self._writers.pool.connection(timeout=self._wait_seconds) as connection:
                for setting in ("fsync", "synchronous_commit"):
                    found = connection.execute(f"SHOW {setting}".encode()).fetchone()
                    if found is None or found[0] == "off":
                        raise StorageError(f"PostgreSQL has {setting} = off and would lose writes: set it to on.")
        except BaseException as error:
            self._closed = True
            self._writers.close()
            self._readers.close()
            if isinstance(error, psycopg_pool.PoolTimeout):
                raise Busy("PostgreSQL cannot be reached") from None
            raise


class _Connections:
    """A pool of connections, and as many threads that work on them."""

    def __init__(self, url: str, size: int, *, password: str | None, wait_seconds: float, options: str) -> None:
        milliseconds = int(wait_seconds * 1000)
        self.threads = ThreadPoolExecutor(size, thread_name_prefix="postgresql")
        self.pool: psycopg_pool.ConnectionPool[psycopg.Connection[Any]] = psycopg_pool.ConnectionPool(
            url,
            kwargs={
                "password": password,
                "autocommit": True,
                "connect_timeout": max(2, int(wait_seconds)),
                "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} "
                f"-c idle_in_transaction_session_timeout=60000 {options}",
            },
            min_size=1,
            max_size=size,
            timeout=wait_seconds,
            check=psycopg_pool.ConnectionPool.check_connection,
            open=False,
        )
        self.pool.open(wait=False)

    def close(self) -> None:
        """Finish what is under way and close all connections."""
        self.threads.shutdown()
        self.pool.close()


class _LostBeforeCommitError(Exception):
    """The connection was lost while nothing was committed."""
