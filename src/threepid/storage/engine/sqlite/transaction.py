"""Statements on one SQLite connection."""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import apsw
from msgspec import Struct

from threepid.storage.engine.database import (
    AT_MOST_ONE,
    ONE,
    Mapper,
    StorageError,
    Tx,
    UniqueViolation,
    WrongRowCount,
    refuse_count,
)
from threepid.storage.engine.queries import Query

S = TypeVar("S", bound=Struct)

_UNIQUE: Final = {apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY}


class SqliteTx(Tx):
    """A transaction on one connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        """Run statements on `connection`."""
        self.connection = connection
        self._mapper = Mapper()

    def rows(self, query: Query, as_: type[S], /, **parameters: Any) -> list[S]:
        """All rows, as Structs by column name."""
        cursor = self.connection.execute(query.sqlite, parameters)
        make = self._mapper.known(query, as_)
        if make is None:
            try:
                make = self._mapper.maker(query, as_, cursor.get_description)
            except apsw.ExecutionCompleteError:  # without a row there is no description
                return []
        return list(map(make, cursor.fetchall()))

    def row(self, query: Query, as_: type[S], /, **parameters: Any) -> S | None:
        """The only row, or None."""
        # Step once, without looking for a second row: each step releases the GIL, and reacquiring it under load is slow.
        cursor = self.connection.execute(query.sqlite, parameters)
        found = cursor.fetchone()
        return None if found is None else self._mapper.maker(query, as_, cursor.get_description)(found)

    def value(self, query: Query, /, **parameters: Any) -> Any:
        """The first column of the only row, or None."""
        found = self.connection.execute(query.sqlite, parameters).fetchone()
        return None if found is None else found[0]

    def run(self, query: Query, touches: range = ONE, /, **parameters: Any) -> int:
        """Change rows and return their number. Raises WrongRowCount or UniqueViolation."""
        try:
            self.connection.execute(query.sqlite, parameters).fetchall()
        except apsw.ConstraintError as error:
            raise _violation(query, error) from error
        count = self.connection.changes()
        if count not in touches:
            raise WrongRowCount(f"{query.name} touched {count} rows")
        return count

    def insert(self, query: Query, /, **parameters: Any) -> None:
        """Insert one row. Raises StorageError if it violates a constraint."""
        query.require_plain_insert()
        self._change(query, parameters)

    def run_unseen(self, query: Query, /, **parameters: Any) -> None:
        """Change rows. Raises StorageError if that violates a constraint."""
        self._change(query, parameters)

    def _change(self, query: Query, parameters: Mapping[str, Any]) -> None:
        try:
            self.connection.execute(query.sqlite, parameters).fetchall()
        except apsw.ConstraintError as error:
            raise StorageError(f"{query.name}: a constraint of the schema was violated") from error

    def run_many(self, query: Query, parameters: Sequence[Mapping[str, Any]], /, each: range = ONE) -> int:
        """Run the statement once for each of `parameters`. Raises WrongRowCount or UniqueViolation."""
        before = self.connection.total_changes()
        try:
            self.connection.executemany(query.sqlite, parameters).fetchall()
        except apsw.ConstraintError as error:
            raise _violation(query, error) from error
        count = self.connection.total_changes() - before
        refuse_count(query, count, each, len(parameters))
        return count

    def run_each(self, query: Query, each: Mapping[str, Mapping[str, Any]], /, **shared: Any) -> set[str]:
        """Run the statement once for each key."""
        return {key for key, own in each.items() if self.run(query, AT_MOST_ONE, key=key, **own, **shared)}

    def array(self, numbers: "array[int]") -> Any:
        """A parameter for `carray(:numbers)`. https://sqlite.org/carray.html."""
        return apsw.carray(numbers, flags=apsw.SQLITE_CARRAY_INT64)


def _violation(query: Query, error: apsw.ConstraintError) -> StorageError:
    if getattr(error, "extendedresult", 0) in _UNIQUE:
        return UniqueViolation(query.name)
    return StorageError(f"{query.name}: a constraint of the schema was violated")
