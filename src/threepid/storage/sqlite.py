"""SQLite through apsw: one writer thread with group commit, reads inline on the event loop, long ones in threads beside it.

The writer thread locks, commits and waits for the disk; the statements between run on the event loop as well. Both would
otherwise fight for the interpreter's lock at every statement, and lose more by that than the statements take.

https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous
"""

import asyncio
import queue
import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
from msgspec import Struct

from threepid.storage.database import (
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
from threepid.storage.queries import Query

S = TypeVar("S", bound=Struct)
T = TypeVar("T")

WAIT_SECONDS: Final = 5.0
"""How long a batch of writes waits for a lock that another process holds."""
INLINE_WAIT_MS: Final = 20
"""How long a read may hold the event loop for a lock; then it moves to a reader thread."""
BATCH: Final = 128
"""Units of work that one commit carries at most."""
GUARDED: Final = 100
"""How many commits are made of units with savepoints, after one had to be done again because it had none.

Hardly any unit fails once it has changed something, and a savepoint takes a fifth of the time of a short unit. Who makes units
fail so (by running into a limit) often does it again.
"""
TURN_SECONDS: Final = 0.002
"""How long units of work may hold the event loop before others have their turn."""
PATIENCE_SECONDS: Final = 0.05
"""How long the event loop may take for the units of a commit; then the writer thread does what is left."""
READERS: Final = 2
"""Reads that go on beside the event loop at once."""
STATEMENTS: Final = 300
"""Prepared statements that a connection keeps: more than there are queries."""
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
            except apsw.ExecutionCompleteError:  # no row, no description
                return []
        return list(map(make, cursor.fetchall()))

    def row(self, query: Query, as_: type[S], /, **parameters: Any) -> S | None:
        """The only row, or None."""
        # One step only, not a second to see whether there is another row: in each, the interpreter's lock changes hands.
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
            if getattr(error, "extendedresult", 0) in _UNIQUE:
                raise UniqueViolation(query.name) from None
            raise StorageError(f"{query.name}: a constraint of the schema was violated") from error
        count = self.connection.changes()
        if count not in touches:
            raise WrongRowCount(f"{query.name} touched {count} rows")
        return count

    def array(self, numbers: "array[int]") -> Any:
        """A parameter for `carray(:numbers)`. https://sqlite.org/carray.html."""
        return apsw.carray(numbers, flags=apsw.SQLITE_CARRAY_INT64)


class _MustUndo(Exception):
    """A unit of work failed after it had changed something, and there is no savepoint."""


class _Unit:
    """One unit of work and who waits for it."""

    __slots__ = ("aside", "error", "fn", "future", "loop", "result")

    def __init__(
        self,
        fn: Callable[[Tx], Any],
        loop: asyncio.AbstractEventLoop,
        future: "asyncio.Future[Any]",
        *,
        aside: bool,
    ) -> None:
        self.fn = fn
        self.loop = loop
        self.future = future
        self.aside = aside
        self.result: Any = None
        self.error: BaseException | None = None

    def perform(self, tx: SqliteTx, *, guarded: bool) -> None:
        """Do it; if it fails, undo it, which needs a savepoint: `guarded`. Raises _MustUndo without one.

        Raises apsw.Error or Busy when no other unit of the batch would fare better.
        """
        connection = tx.connection
        before = connection.total_changes()
        self.error = None
        if guarded:
            connection.execute("SAVEPOINT unit")
        try:
            self.result = call(self.fn, tx)
        except (apsw.FullError, apsw.IOError):
            raise
        except apsw.Error as error:
            self.error = StorageError(str(error))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it goes to the caller
            self.error = error
        if self.error is not None and not connection.in_transaction:
            raise Busy("the transaction was lost") from self.error
        if self.error is not None and connection.total_changes() != before:
            if not guarded:
                raise _MustUndo
            connection.execute("ROLLBACK TO unit")
        if guarded:
            connection.execute("RELEASE unit")

    def answer(self) -> None:
        if self.future.done():  # the caller was cancelled; its work is done or undone all the same
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class _Batch:
    """The units of one commit that one event loop waits for, done by it unless it takes too long."""

    def __init__(self, tx: SqliteTx, units: Sequence[_Unit], *, guarded: bool) -> None:
        self._tx = tx
        self._guarded = guarded
        self._loop = units[0].loop
        self._left = deque(units)
        self._busy = threading.Lock()
        self._done = threading.Event()
        self._error: Exception | None = None

    def perform(self) -> None:
        """See to it that all units are done; for the writer thread. Raises what `_Unit.perform` raises."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._turn)
        while not self._done.wait(PATIENCE_SECONDS):
            # Others may wait for the lock: a loop that has so much else to do is not waited for, unless it is in a unit.
            self._go_on(float("inf"))
        if self._error is not None:
            raise self._error

    def _turn(self) -> None:
        if self._go_on(self._loop.time() + TURN_SECONDS) and self._left:
            self._loop.call_soon(self._turn)

    def _go_on(self, until: float) -> bool:
        """Do units until then; False if the other thread is just doing so."""
        if not self._busy.acquire(blocking=False):
            return False
        try:
            while self._left:
                self._left[0].perform(self._tx, guarded=self._guarded)
                self._left.popleft()
                if self._loop.time() > until:
                    break
        except BaseException as error:
            # Whatever it is, the writer thread has to hear of it, and nothing of the batch is done then.
            self._error = error if isinstance(error, Exception) else Busy(f"interrupted: {type(error).__name__}")
            self._left.clear()
            if self._error is not error:
                raise
        finally:
            self._busy.release()
            if not self._left:
                self._done.set()
        return True


class Sqlite(Database):
    """A database file."""

    engine = "sqlite"

    def __init__(self, path: Path, *, wait_seconds: float = WAIT_SECONDS) -> None:
        """Open `path`, which `migrate` has made."""
        super().__init__()
        self._path = path
        self._wait_ms = int(wait_seconds * 1000)
        self._inline = SqliteTx(connect(path, wait_ms=self._wait_ms))
        self._inline.connection.set_busy_timeout(INLINE_WAIT_MS)
        self._readers: queue.SimpleQueue[SqliteTx | None] = queue.SimpleQueue()
        for _ in range(READERS):
            self._readers.put(None)
        self._aside_pool = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._waiting: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._closed = False
        self._guarded = 0
        self._writer = threading.Thread(target=self._write_batches, name="sqlite-writer", daemon=True)
        self._writer.start()

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` inline; beside the event loop if a lock is in the way."""
        self.reads += 1
        try:
            return fn(self._inline)
        except apsw.BusyError:
            return await self._in_reader_thread(fn)
        except apsw.Error as error:
            raise StorageError(str(error)) from error

    async def read_aside(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` in a reader thread."""
        self.reads += 1
        return await self._in_reader_thread(fn)

    async def _in_reader_thread(self, fn: Callable[[Tx], T]) -> T:
        if self._closed:
            raise Busy("the database is closed")
        return await asyncio.get_running_loop().run_in_executor(self._aside_pool, self._read_aside, fn)

    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` in the next commit; returns when it is durable."""
        return await self._in_next_commit(fn, aside=False)

    async def write_aside(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` in the writer thread; returns when it is durable."""
        return await self._in_next_commit(fn, aside=True)

    async def _in_next_commit(self, fn: Callable[[Tx], T], *, aside: bool) -> T:
        if self._closed:
            raise Busy("the database is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.put(_Unit(fn, loop, future, aside=aside))
        return await future

    async def close(self) -> None:
        """Finish what is waiting and let go of the file."""
        if self._closed:
            return
        self._closed = True
        self._waiting.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._writer.join)
        self._aside_pool.shutdown(wait=True)
        while not self._readers.empty():
            if (reader := self._readers.get()) is not None:
                reader.connection.close()
        self._inline.connection.close()

    def _read_aside(self, fn: Callable[[Tx], T]) -> T:
        reader = self._readers.get()
        try:
            reader = reader or SqliteTx(connect(self._path, wait_ms=self._wait_ms))
            reader.connection.execute("BEGIN")
            try:
                return call(fn, reader)
            finally:
                reader.connection.execute("COMMIT")
        except apsw.BusyError as error:
            raise Busy(str(error)) from error
        except apsw.Error as error:
            raise StorageError(str(error)) from error
        finally:
            self._readers.put(reader)

    def _write_batches(self) -> None:
        tx: SqliteTx | None = None
        while True:
            units, last = self._next_batch()
            if units:
                try:
                    tx = tx or SqliteTx(connect(self._path, wait_ms=self._wait_ms))
                    self._commit(tx, units)
                except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for an answer and the next batch
                    # After a failed commit nobody knows what the connection still holds: it is not used again.
                    if tx is not None:
                        tx.connection.close(force=True)
                        tx = None
                    kind = InDoubt if isinstance(error, InDoubt) else Busy
                    for unit in units:
                        unit.error = unit.error or kind(str(error))
                self._answer(units)
            if last:
                if tx is not None:
                    tx.connection.close()
                return

    def _next_batch(self) -> tuple[list[_Unit], bool]:
        units: list[_Unit] = []
        unit = self._waiting.get()
        while unit is not None:
            units.append(unit)
            if len(units) == BATCH or self._waiting.empty():
                return units, False
            unit = self._waiting.get()
        return units, True

    def _commit(self, tx: SqliteTx, units: list[_Unit]) -> None:
        execute = tx.connection.execute
        self._guarded = max(0, self._guarded - 1)
        execute("BEGIN IMMEDIATE")
        try:
            self._perform(tx, units)
        except _MustUndo:
            execute("ROLLBACK")
            self._guarded = GUARDED
            execute("BEGIN IMMEDIATE")
            self._perform(tx, units)
        try:
            execute("COMMIT")
        except apsw.IOError as error:
            # What a failed sync left on the disk is unknown, and trying it again would not tell.
            raise InDoubt("the commit could not be written") from error
        self.commits += 1
        self.writes += sum(unit.error is None for unit in units)

    def _perform(self, tx: SqliteTx, units: list[_Unit]) -> None:
        guarded = self._guarded > 0
        for unit in units:
            if unit.aside:
                unit.perform(tx, guarded=guarded)
        for of_loop in _by_loop(unit for unit in units if not unit.aside):
            _Batch(tx, of_loop, guarded=guarded).perform()

    @staticmethod
    def _answer(units: list[_Unit]) -> None:
        for of_loop in _by_loop(units):
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                of_loop[0].loop.call_soon_threadsafe(_answer_all, of_loop)


def _by_loop(units: Iterable[_Unit]) -> Iterable[list[_Unit]]:
    found: dict[asyncio.AbstractEventLoop, list[_Unit]] = {}
    for unit in units:
        found.setdefault(unit.loop, []).append(unit)
    return found.values()


def _answer_all(units: list[_Unit]) -> None:
    for unit in units:
        unit.answer()


def connect(path: Path, *, wait_ms: int) -> apsw.Connection:
    """A connection with what we rely on: WAL, a sync at every commit, foreign keys. Raises Busy and StorageError."""
    try:
        connection = apsw.Connection(str(path), statementcachesize=STATEMENTS)
        connection.set_busy_timeout(wait_ms)
        _configure(connection)
    except apsw.BusyError as error:
        raise Busy(f"{path}: {error}") from error
    except apsw.Error as error:
        raise StorageError(f"{path}: {error}") from error
    return connection


def _configure(connection: apsw.Connection) -> None:
    # Else a statement is compiled anew for values that might make another plan the better one: of arrays, each time.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    # secure_delete: what was forgotten (codes, links, contacts of erased accounts) is not to lie about in free space.
    for pragma, wanted in (
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("temp_store", 2),
        ("secure_delete", 1),
    ):
        connection.execute(f"PRAGMA {pragma} = {wanted}")
        found = connection.execute(f"PRAGMA {pragma}").get
        if found != wanted:
            raise StorageError(f"SQLite did not take {pragma} = {wanted}: it is {found}")
