"""Transactions on PostgreSQL: runs units of work on connections, retries them after conflicts and maps errors.

Reads have connections of their own. Otherwise writes that wait for a lock could hold all connections.
READ COMMITTED is enough: correctness rests on unique keys and on statements with their own guards.
https://www.postgresql.org/docs/current/transaction-iso.html
"""

import asyncio
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import psycopg
from greenlet import GreenletExit, getcurrent
from msgspec import Struct
from psycopg import errors as pg
from psycopg.pq import TransactionStatus

from threepid.storage.engine import units
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
    refuse_count,
    timed,
)
from threepid.storage.engine.postgresql.connection import Connection, Result, Statement
from threepid.storage.engine.postgresql.pool import Pool
from threepid.storage.engine.queries import Query
from threepid.tracing import request_id

S = TypeVar("S", bound=Struct)
T = TypeVar("T")

WAIT_SECONDS: Final = 5.0
"""How long a unit of work waits for a connection, and a statement for a lock."""
READERS: Final = 4
"""Maximum number of connections for reads; fewer if fewer are configured for writes."""
TRIES: Final = 10
"""Maximum number of attempts at a unit of work that conflicts with others."""
_CONFLICTS: Final = (pg.SerializationFailure, pg.DeadlockDetected)
_TIMEOUTS: Final = (
    pg.LockNotAvailable,
    pg.QueryCanceled,
    pg.DiskFull,
    pg.TooManyConnections,
    pg.ReadOnlySqlTransaction,
)
_BEGIN: Final = b"BEGIN ISOLATION LEVEL READ COMMITTED"
_BEGIN_SNAPSHOT: Final = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresqlTx(Tx):
    """A transaction on one connection."""

    def __init__(self, connection: Connection, known: "Known") -> None:
        """Run statements on `connection`."""
        self._connection = connection
        self._known = known
        self._unit = getcurrent()
        self.request_id = request_id.get()

    def rows(self, query: Query, as_: type[S], /, **parameters: Any) -> list[S]:
        """All rows, as Structs by column name."""
        result = self._execute(query, parameters)
        return result.rows(self._known.mapper.maker(query, as_, result.columns))

    def row(self, query: Query, as_: type[S], /, **parameters: Any) -> S | None:
        """The only row, or None."""
        result = self._only(query, parameters)
        found: list[S] = result.rows(self._known.mapper.maker(query, as_, result.columns)) if result.found else []
        return found[0] if found else None

    def value(self, query: Query, /, **parameters: Any) -> Any:
        """The first column of the only row, or None."""
        found = self._only(query, parameters).rows(tuple)
        return found[0][0] if found else None

    def run(self, query: Query, touches: range = ONE, /, **parameters: Any) -> int:
        """Change rows and return their number. Raises WrongRowCount or UniqueViolation."""
        count = self._execute(query, parameters).count
        if count not in touches:
            raise WrongRowCount(f"{query.name} touched {count} rows")
        return count

    def insert(self, query: Query, /, **parameters: Any) -> None:
        """Insert one row, together with the next statement or with COMMIT."""
        query.require_plain_insert()
        self.run_unseen(query, **parameters)

    def run_unseen(self, query: Query, /, **parameters: Any) -> None:
        """Change rows, together with the next statement or with COMMIT."""
        self._require_own_unit(query)
        self._connection.defer(self._known.statement(query), parameters)

    def run_many(self, query: Query, parameters: Sequence[Mapping[str, Any]], /, each: range = ONE) -> int:
        """Send all statements at once, and then read all results. Raises WrongRowCount or UniqueViolation."""
        self._require_own_unit(query)
        with _named_violations(query):
            count = self._connection.execute_many(self._known.statement(query), parameters)
        refuse_count(query, count, each, len(parameters))
        return count

    def array(self, numbers: "array[int]") -> Any:
        """A parameter for `unnest(:numbers)`."""
        return list(numbers)

    def _execute(self, query: Query, parameters: dict[str, Any]) -> Result:
        self._require_own_unit(query)
        with _named_violations(query):
            return self._connection.execute(self._known.statement(query), parameters)

    def _require_own_unit(self, query: Query) -> None:
        if getcurrent() is not self._unit:
            raise RuntimeError(
                f"{query.name}: this transaction belongs to another unit of work, or to one that has ended"
            )

    def _only(self, query: Query, parameters: dict[str, Any]) -> Result:
        result = self._execute(query, parameters)
        if result.found > 1:
            raise WrongRowCount(f"{query.name} found more than one row")
        return result


@contextmanager
def _named_violations(query: Query) -> Iterator[None]:
    """Raise UniqueViolation or StorageError with the query's name in place of PostgreSQL's errors."""
    try:
        yield
    except pg.UniqueViolation:
        raise UniqueViolation(query.name) from None
    except pg.IntegrityError as error:
        raise StorageError(f"{query.name}: a constraint of the schema was violated") from error


class Known:
    """The caches of parsed statements and row mappers."""

    def __init__(self) -> None:
        """Start with empty caches."""
        self.mapper = Mapper()
        self._statements: dict[str, Statement] = {}

    def statement(self, query: Query) -> Statement:
        """The query as libpq takes it."""
        found = self._statements.get(query.postgresql)
        if found is None:
            found = self._statements[query.postgresql] = Statement(query.postgresql)
        return found


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
        self._check_durability(url)

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` without a transaction: each statement is one round trip."""
        self.reads += 1
        with timed(self.read_times, "database read"):
            return await self._in_unit(self._readers, fn, None)

    async def read_aside(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` on one consistent snapshot."""
        self.reads += 1
        with timed(self.read_times, "database read"):
            return await self._in_unit(self._readers, fn, _BEGIN_SNAPSHOT)

    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` and commit."""
        with timed(self.write_times, "database write"):
            result = await self._in_unit(self._writers, fn, _BEGIN)
        self.writes += 1
        self.commits += 1
        return result

    async def write_aside(self, fn: Callable[[Tx], T]) -> T:
        """Like `write`: every write has a connection of its own."""
        return await self.write(fn)

    async def close(self) -> None:
        """Finish the running units of work and close all connections."""
        self._closed = True
        if self._under_way:
            self._all_done = self._all_done or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._all_done)
        self._writers.close()
        self._readers.close()

    async def _in_unit(self, pool: Pool, fn: Callable[[Tx], T], begin: bytes | None) -> T:
        if units.current() is not None:
            raise RuntimeError("a unit of work cannot wait for another one: use its own transaction")
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

    def _one_is_done(self) -> None:
        self._under_way -= 1
        if not self._under_way and self._all_done is not None and not self._all_done.done():
            self._all_done.set_result(None)

    def _run(self, pool: Pool, connection: Connection, fn: Callable[[Tx], T], begin: bytes | None) -> T:
        """Run `fn` in a unit of work, and again after a conflict or a lost connection."""
        try:
            for attempt in range(1, TRIES + 1):
                try:
                    return self._on(pool, connection, fn, begin)
                except _CONFLICTS as error:
                    if attempt == TRIES:
                        raise Busy(f"{type(error).__name__} {TRIES} times") from None
                    units.wait_for(asyncio.sleep(0.002 * attempt * attempt))
                except _LostBeforeCommitError as error:
                    # Nothing was committed, so another connection may repeat the work, but only once.
                    if attempt > 1:
                        raise Busy("the connection was lost") from error
                except _TIMEOUTS as error:
                    raise Busy(type(error).__name__) from None
                except psycopg.Error as error:
                    raise StorageError(type(error).__name__) from error
                connection = units.wait_for(pool.take())
            raise Busy("too many conflicts")
        finally:
            self._one_is_done()

    def _on(self, pool: Pool, connection: Connection, fn: Callable[[Tx], T], begin: bytes | None) -> T:
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

    def _transaction(self, connection: Connection, fn: Callable[[Tx], T], begin: bytes | None) -> T:
        try:
            if begin is not None:
                connection.begin(begin)
            result = call(fn, PostgresqlTx(connection, self._known))
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
