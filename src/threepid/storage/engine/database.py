"""`Database.read(fn)` and `Database.write(fn)`: a synchronous function of a transaction, on SQLite or PostgreSQL.

"No await while holding a lock" is thereby structural, and domain steps can be tested without an event loop. `fn` may be
called again (after a serialisation failure, or because something else in its commit has to be undone), so it must have no
other effect than through its transaction.
"""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence
from types import CoroutineType
from typing import Any, Final, TypeVar

from msgspec import Struct

from threepid.storage.engine.queries import Query

S = TypeVar("S", bound=Struct)
T = TypeVar("T")

ONE: Final = range(1, 2)
AT_MOST_ONE: Final = range(2)
ANY: Final = range(2**62)
"""How many rows a write may touch."""


class StorageError(Exception):
    """The database could not do what was asked."""


class UniqueViolation(StorageError):
    """A row with this key exists already: somebody else was first."""


class Busy(StorageError):
    """The database is locked, full or gone at the moment; nothing was changed. Answered as 503 with Retry-After."""


class InDoubt(StorageError):
    """The connection was lost after COMMIT was sent: done or not done, and never blindly repeated."""


class WrongRowCount(StorageError):
    """A write touched another number of rows than it must: a fault in our own code."""


class SchemaError(StorageError):
    """The database's schema is not one that this version can work with."""


class Tx(ABC):
    """A transaction on one of the engines."""

    @abstractmethod
    def rows(self, query: Query, as_: type[S], /, **parameters: Any) -> list[S]:
        """All rows, as Structs by column name."""

    @abstractmethod
    def row(self, query: Query, as_: type[S], /, **parameters: Any) -> S | None:
        """The only row, or None."""

    @abstractmethod
    def value(self, query: Query, /, **parameters: Any) -> Any:
        """The first column of the only row, or None."""

    @abstractmethod
    def run(self, query: Query, touches: range = ONE, /, **parameters: Any) -> int:
        """Change rows and return their number. Raises WrongRowCount if it is not in `touches`, UniqueViolation on a taken key.

        A unit of work must not catch these and go on: PostgreSQL has given its transaction up by then. Where a row that is
        there already is no surprise, use `ON CONFLICT DO NOTHING` and the row count.
        """

    @abstractmethod
    def array(self, numbers: "array[int]") -> Any:
        """A parameter that holds many numbers (typecode `q`), for a query that has a text for each engine."""


def call(fn: Callable[[Tx], T], tx: Tx) -> T:
    """`fn(tx)`, but never a StopIteration: a future of Python 3.11 refuses it, and its caller would wait for ever.

    Raises TypeError for a function that only makes a coroutine: nobody would run it inside the transaction.
    """
    try:
        result = fn(tx)
    except StopIteration as error:
        raise RuntimeError("a unit of work raised StopIteration") from error
    if isinstance(result, CoroutineType):
        result.close()
        raise TypeError(
            "a unit of work is a synchronous function: it cannot await, nor use the database but by its `tx`"
        )
    return result


class Mapper:
    """Makes Structs of rows by column name; what it found out about a query is remembered."""

    def __init__(self) -> None:
        """Nothing is remembered yet."""
        self._makers: dict[tuple[str, type[Struct]], Callable[[Sequence[Any]], Any]] = {}

    def known(self, query: Query, as_: type[S]) -> Callable[[Sequence[Any]], S] | None:
        """What makes an `as_` of a row, if it was asked for before."""
        return self._makers.get((query.name, as_))

    def maker(
        self, query: Query, as_: type[S], describe: Callable[[], Sequence[Sequence[Any]]]
    ) -> Callable[[Sequence[Any]], S]:
        """What makes an `as_` of a row; `describe` names the columns. Raises StorageError if they do not fit."""
        key = (query.name, as_)
        if key not in self._makers:
            self._makers[key] = _maker(query, as_, [str(column[0]) for column in describe()])
        return self._makers[key]


def _maker(query: Query, as_: type[S], columns: list[str]) -> Callable[[Sequence[Any]], S]:
    fields = list(as_.__struct_fields__)
    if sorted(fields) != sorted(columns):
        raise StorageError(f"{query.name} answers {columns}, but {as_.__name__} has {fields}")
    if fields == columns:
        return lambda row: as_(*row)
    order = [columns.index(field) for field in fields]
    return lambda row: as_(*[row[index] for index in order])


class Database(ABC):
    """Either engine."""

    engine: str

    def __init__(self) -> None:
        """Count from zero."""
        self.reads = 0
        """Reads so far."""
        self.writes = 0
        """Units of work that were committed so far."""
        self.commits = 0
        """Commits so far: on SQLite one carries several units."""

    @abstractmethod
    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn`; each of its statements sees what is committed then. On SQLite inline on the event loop: for short reads.

        A statement is a snapshot by itself; where several must agree, use `read_aside`.
        """

    @abstractmethod
    async def read_aside(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` on one consistent snapshot, beside the event loop: for long reads."""

    @abstractmethod
    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` and commit durably before returning; whatever it raises rolls it back alone.

        On SQLite it runs on the event loop: for short writes.
        """

    @abstractmethod
    async def write_aside(self, fn: Callable[[Tx], T]) -> T:
        """The same beside the event loop: for writes of many rows."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what is waiting and let go of the files and connections."""
