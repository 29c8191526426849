"""`Database.read(fn)` and `Database.write(fn)` run a synchronous function of a transaction, on SQLite or PostgreSQL.

A synchronous function cannot await while it holds a lock, and domain steps can be tested without an event loop. `fn` may be
called again, after a serialisation failure or because another unit in its commit must be undone. Its only effects must
therefore go through its transaction.
"""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import CoroutineType
from typing import Any, Final, TypeVar

from msgspec import Struct

from threepid.clock import ticks
from threepid.meter import Durations
from threepid.storage.engine.queries import Query
from threepid.tracing import span

S = TypeVar("S", bound=Struct)
T = TypeVar("T")

ONE: Final = range(1, 2)
AT_MOST_ONE: Final = range(2)
ANY: Final = range(2**62)
"""Numbers of rows that a write may touch."""


class StorageError(Exception):
    """A database operation failed."""


class UniqueViolation(StorageError):
    """A row with this key exists already."""


class Busy(StorageError):
    """The database is locked, full or unreachable; nothing was changed. The server answers 503 with Retry-After."""


class InDoubt(StorageError):
    """The outcome of a COMMIT is unknown, so it must not be repeated blindly."""


class WrongRowCount(StorageError):
    """A query touched or found an unexpected number of rows: a bug in this server."""


class SchemaError(StorageError):
    """This version cannot work with the database's schema."""


class Tx(ABC):
    """A transaction on either engine."""

    request_id = ""
    """The ID of the request that the unit of work is a part of, '' for none."""

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

        A unit of work must not catch these and continue, because PostgreSQL has aborted its transaction. Where the row may
        exist already, use `ON CONFLICT DO NOTHING` and the row count.
        """

    @abstractmethod
    def insert(self, query: Query, /, **parameters: Any) -> None:
        """Insert one row by a plain `INSERT … VALUES`, whose key is new for sure.

        PostgreSQL gets the statement together with the next one or with COMMIT, which saves a round trip. So the unit of work
        cannot learn of a failure: it fails as a whole, with StorageError.
        """

    def run_unseen(self, query: Query, /, **parameters: Any) -> None:
        """Change rows, when the unit of work does not need to know how many. As with `insert`, it cannot learn of a failure."""
        self.run(query, ANY, **parameters)

    @abstractmethod
    def run_many(self, query: Query, parameters: Sequence[Mapping[str, Any]], /, each: range = ONE) -> int:
        """Insert or update rows: run `query` once for each of `parameters`, and return how many rows all of them touched.

        Raises as `run` does, if that number is impossible with `each`. PostgreSQL gets all of them in one round trip.
        """

    @abstractmethod
    def run_each(self, query: Query, each: Mapping[str, Mapping[str, Any]], /, **shared: Any) -> set[str]:
        """Run a change for each `key` of `each`, with that key's parameters and the `shared` ones.

        Each touches one row or none; returns the keys of those that touched one. PostgreSQL makes all in one round trip: its
        query has the parameter `each`, a JSON object, in place of `key` and each key's own, and returns the `key` of each
        row that it touched.
        """

    @abstractmethod
    def array(self, numbers: "array[int]") -> Any:
        """A parameter that holds many numbers (typecode `q`), for a query with different SQL for each engine."""


def call(fn: Callable[[Tx], T], tx: Tx) -> T:
    """Call `fn(tx)` and turn a StopIteration into a RuntimeError.

    A future of Python 3.11 rejects a StopIteration, so its caller would wait for ever. Raises TypeError if `fn` returns a
    coroutine, because nothing would run that inside the transaction.
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


@contextmanager
def timed(durations: Durations, name: str) -> Iterator[None]:
    """Count the context's duration, and make it a span called `name`."""
    started = ticks()
    try:
        with span(name):
            yield
    finally:
        durations.note(ticks() - started)


def refuse_count(query: Query, count: int, each: range, times: int) -> None:
    """Raise WrongRowCount if `times` runs of `query` that touch `each` rows cannot have touched `count` rows."""
    if not each.start * times <= count <= (each.stop - 1) * times:
        raise WrongRowCount(f"{query.name} touched {count} rows in {times} runs")


class Mapper:
    """Makes Structs of rows by column name, and caches how for each query."""

    def __init__(self) -> None:
        """Start with an empty cache."""
        self._makers: dict[tuple[str, type[Struct]], Callable[[Sequence[Any]], Any]] = {}

    def known(self, query: Query, as_: type[S]) -> Callable[[Sequence[Any]], S] | None:
        """The cached function that makes an `as_` of a row, or None."""
        return self._makers.get((query.name, as_))

    def maker(
        self, query: Query, as_: type[S], describe: Callable[[], Sequence[Sequence[Any]]]
    ) -> Callable[[Sequence[Any]], S]:
        """The function that makes an `as_` of a row; `describe` lists the columns. Raises StorageError if they do not fit."""
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
    """A database on either engine."""

    engine: str

    def __init__(self) -> None:
        """Set the counters to zero."""
        self.reads = 0
        """Number of reads."""
        self.writes = 0
        """Number of committed units of work."""
        self.commits = 0
        """Number of commits: one may carry several units."""
        self.read_times = Durations()
        """How long reads took, with their waiting."""
        self.write_times = Durations()
        """How long writes took, from the call until the commit is durable or has failed."""

    @abstractmethod
    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn`, a short read: SQLite runs it on the event loop.

        Each statement has its own snapshot. Where several statements must agree, use `read_aside`.
        """

    @abstractmethod
    async def read_aside(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn`, a long read, on one consistent snapshot: SQLite runs it in a thread."""

    @abstractmethod
    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn`, a short write, and commit durably before returning. An exception rolls back this unit only.

        SQLite runs `fn` on the event loop.
        """

    async def write_together(self, fn: Callable[[Tx], T], *, alone: bool = False) -> T:
        """Like `write`, for short units that all change one row: they share commits, as all units do on SQLite.

        Otherwise each would wait until the one before it is on the disk. PostgreSQL runs several at once in one transaction.
        So `fn` must not rely on locks: each of its statements must be right whatever the other units do before and after it.
        With `alone`, it may: it gets a commit of its own, in its turn. By `write`, it could deadlock with a group.
        """
        del alone  # units of SQLite's run one after the other
        return await self.write(fn)

    @abstractmethod
    async def write_aside(self, fn: Callable[[Tx], T]) -> T:
        """Like `write`, for writes of many rows: SQLite runs `fn` in a thread."""

    @abstractmethod
    async def close(self) -> None:
        """Finish the waiting units of work and close the files and connections."""
