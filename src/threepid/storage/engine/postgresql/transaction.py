"""Statements on one PostgreSQL connection, and what the driver's errors mean."""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec
import psycopg
from greenlet import getcurrent
from msgspec import Struct
from psycopg import errors as pg

from threepid.storage.engine.database import (
    ONE,
    Busy,
    Mapper,
    StorageError,
    Tx,
    UniqueViolation,
    WrongRowCount,
    refuse_count,
)
from threepid.storage.engine.postgresql.connection import Result, Statement
from threepid.storage.engine.queries import Query
from threepid.tracing import request_id

S = TypeVar("S", bound=Struct)

CONFLICTS: Final = (pg.SerializationFailure, pg.DeadlockDetected)
"""Another transaction was first: the whole transaction can be repeated."""
_TIMEOUTS: Final = (
    pg.LockNotAvailable,
    pg.QueryCanceled,
    pg.DiskFull,
    pg.TooManyConnections,
    pg.ReadOnlySqlTransaction,
)


def as_storage_error(error: psycopg.Error) -> StorageError:
    """The driver's error without its text, which may quote values."""
    return (Busy if isinstance(error, _TIMEOUTS) else StorageError)(type(error).__name__)


class _Touched(Struct, frozen=True):
    key: str


class Statements(Protocol):
    """What runs statements: a connection, or a unit's part of a pipeline."""

    def execute(self, statement: Statement, parameters: Mapping[str, Any]) -> Result:
        """Run a statement."""
        ...

    def execute_many(self, statement: Statement, parameters: Sequence[Mapping[str, Any]]) -> int:
        """Run a statement once for each of `parameters`."""
        ...

    def defer(self, statement: Statement, parameters: Mapping[str, Any]) -> None:
        """Run a statement, whose result nobody needs, together with the next one or with COMMIT."""
        ...


class PostgresqlTx(Tx):
    """A transaction on one connection."""

    def __init__(self, connection: Statements, known: "Known") -> None:
        """Run statements on `connection`."""
        self.connection = connection
        self.known = known
        self._unit = getcurrent()
        self.request_id = request_id.get()

    def rows(self, query: Query, as_: type[S], /, **parameters: Any) -> list[S]:
        """All rows, as Structs by column name."""
        result = self._execute(query, parameters)
        return result.rows(self.known.mapper.maker(query, as_, result.columns))

    def row(self, query: Query, as_: type[S], /, **parameters: Any) -> S | None:
        """The only row, or None."""
        result = self._only(query, parameters)
        found: list[S] = result.rows(self.known.mapper.maker(query, as_, result.columns)) if result.found else []
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
        self.connection.defer(self.known.statement(query), parameters)

    def run_many(self, query: Query, parameters: Sequence[Mapping[str, Any]], /, each: range = ONE) -> int:
        """Send all statements at once, and then read all results. Raises WrongRowCount or UniqueViolation."""
        self._require_own_unit(query)
        try:
            count = self.connection.execute_many(self.known.statement(query), parameters)
        except pg.IntegrityError as error:
            raise _violation(query, error) from None
        refuse_count(query, count, each, len(parameters))
        return count

    def run_each(self, query: Query, each: Mapping[str, Mapping[str, Any]], /, **shared: Any) -> set[str]:
        """Run the statement once for all keys."""
        asked = msgspec.json.encode(each).decode("ascii")
        return {row.key for row in self.rows(query, _Touched, each=asked, **shared)}

    def array(self, numbers: "array[int]") -> Any:
        """A parameter for `unnest(:numbers)`."""
        return list(numbers)

    def _execute(self, query: Query, parameters: dict[str, Any]) -> Result:
        self._require_own_unit(query)
        try:
            return self.connection.execute(self.known.statement(query), parameters)
        except pg.IntegrityError as error:
            raise _violation(query, error) from None

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


def _violation(query: Query, error: pg.IntegrityError) -> StorageError:
    """The error that names the query in place of PostgreSQL's, which may quote values."""
    if isinstance(error, pg.UniqueViolation):
        return UniqueViolation(query.name)
    return StorageError(f"{query.name}: a constraint of the schema was violated")


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
