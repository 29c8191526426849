"""SQLite through apsw: one transaction at a time with group commit, reads inline on the event loop, long ones beside it.

Short units of work run on the event loop as well: as soon as a commit is done, it does what has come meanwhile, and hands the
transaction to the writer thread, which commits and waits for the disk. That thread also waits where another process has the
database locked, and does what is long. If it did all the statements, the two would fight for the interpreter's lock at each.

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
"""How long units of work may hold the event loop before others have their turn; what is left is done in further turns."""
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


def _perform_until(
    until: float, clock: Callable[[], float], tx: SqliteTx, left: deque[_Unit], *, guarded: bool
) -> None:
    """Do units until then, and take what is done out of `left`. Raises what `_Unit.perform` raises."""
    while left:
        left[0].perform(tx, guarded=guarded)
        left.popleft()
        if clock() > until:
            break


class _Batch:
    """Units for one event loop to do while the writer thread waits, unless it takes too long."""

    def __init__(self, tx: SqliteTx, units: Iterable[_Unit], *, guarded: bool) -> None:
        self._tx = tx
        self._guarded = guarded
        self._left = deque(units)
        self._loop = self._left[0].loop
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
            _perform_until(until, self._loop.time, self._tx, self._left, guarded=self._guarded)
        except BaseException as error:
            # Whatever it is, the writer thread has to hear of it, and nothing of the batch is done then.
            self._error = _as_exception(error)
            self._left.clear()
            if self._error is not error:
                raise
        finally:
            self._busy.release()
            if not self._left:
                self._done.set()
        return True


class _Commit:
    """The units of one commit, and how far they are."""

    __slots__ = ("error", "left", "tx", "units")

    def __init__(self, units: Sequence[_Unit]) -> None:
        self.units = units
        self.left = deque(units)
        self.tx: SqliteTx | None = None
        """The transaction, once it has begun."""
        self.error: Exception | None = None


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else Busy(f"interrupted: {type(error).__name__}")


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
        self._mutex = threading.Lock()
        """Held for `_waiting`, `_busy` and `_closed`."""
        self._waiting: deque[_Unit] = deque()
        self._busy = False
        """Has somebody begun a commit that is not done yet? Only they touch `_tx` and `_guarded`."""
        self._closed = False
        self._tx: SqliteTx | None = None
        self._guarded = 0
        self._commits: queue.SimpleQueue[_Commit | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="sqlite-writer", daemon=True)
        self._writer.start()

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` inline; beside the event loop if a lock is in the way."""
        self.reads += 1
        try:
            return call(fn, self._inline)
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
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._mutex:
            if self._closed:
                raise Busy("the database is closed")
            self._waiting.append(_Unit(fn, loop, future, aside=aside))
            idle = not self._busy
        if idle:
            # Soon and not now, so that what else comes in this turn of the loop goes into the same commit.
            loop.call_soon(self._begin, loop)
        return await future

    async def close(self) -> None:
        """Finish what is waiting and let go of the file."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            idle = not self._busy and not self._waiting
        if idle:
            self._commits.put(None)
        loop = asyncio.get_running_loop()
        self._begin(loop)
        await loop.run_in_executor(None, self._writer.join)
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

    def _take(self) -> _Commit | None:
        """What is to be committed next, if nobody is at it."""
        with self._mutex:
            if self._busy or not self._waiting:
                return None
            self._busy = True
            return _Commit([self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))])

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """On the event loop: do what waits, if it is short, and leave the rest and the commit to the writer thread."""
        commit = self._take()
        if commit is None:
            return
        try:
            if self._tx is not None and all(unit.loop is loop and not unit.aside for unit in commit.units):
                self._perform_here(self._tx, commit, loop)
        except BaseException as error:
            commit.error = _as_exception(error)
            if commit.error is not error:
                raise
        finally:
            self._commits.put(commit)

    def _perform_here(self, tx: SqliteTx, commit: _Commit, loop: asyncio.AbstractEventLoop) -> None:
        try:
            tx.connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:  # another process has the lock: the writer thread waits for it
            return
        commit.tx = tx
        _perform_until(loop.time() + TURN_SECONDS, loop.time, tx, commit.left, guarded=self._guarded > 0)

    def _write(self) -> None:
        """The writer thread."""
        while (commit := self._commits.get()) is not None:
            try:
                self._finish(commit)
            except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for an answer and the next commit
                # After a failed commit nobody knows what the connection still holds: it is not used again.
                if self._tx is not None:
                    self._tx.connection.close(force=True)
                    self._tx = None
                kind = InDoubt if isinstance(error, InDoubt) else Busy
                for unit in commit.units:
                    # Also where it had failed by itself: perhaps because of what another unit did, which is not so now.
                    unit.error = kind(str(error))
            self._answer(commit.units)
        if self._tx is not None:
            self._tx.connection.close()

    def _finish(self, commit: _Commit) -> None:
        try:
            if commit.error is not None:
                raise commit.error
            tx = commit.tx or self._lock()
            self._perform(tx, commit.left)
        except _MustUndo:
            self._guarded = GUARDED
            tx = self._lock()
            self._perform(tx, commit.units)
        try:
            tx.connection.execute("COMMIT")
        except apsw.IOError as error:
            # What a failed sync left on the disk is unknown, and trying it again would not tell.
            raise InDoubt("the commit could not be written") from error
        self._guarded = max(0, self._guarded - 1)
        self.commits += 1
        self.writes += sum(unit.error is None for unit in commit.units)

    def _lock(self) -> SqliteTx:
        """Begin a transaction anew, and wait for that as long as others may take."""
        self._tx = self._tx or SqliteTx(connect(self._path, wait_ms=self._wait_ms))
        connection = self._tx.connection
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.set_busy_timeout(self._wait_ms)
        connection.execute("BEGIN IMMEDIATE")
        connection.set_busy_timeout(0)  # the event loop does not wait
        return self._tx

    def _perform(self, tx: SqliteTx, units: Iterable[_Unit]) -> None:
        guarded = self._guarded > 0
        for unit in units:
            if unit.aside:
                unit.perform(tx, guarded=guarded)
        for of_loop in _by_loop(unit for unit in units if not unit.aside).values():
            _Batch(tx, of_loop, guarded=guarded).perform()

    def _answer(self, units: Sequence[_Unit]) -> None:
        """Tell who waited for these, and have the next commit begun."""
        with self._mutex:
            self._busy = False
            waiting = {unit.loop for unit in self._waiting}
            closed = self._closed
            if closed and not waiting:
                self._commits.put(None)
        by_loop = _by_loop(units)
        for loop in waiting | by_loop.keys():
            try:
                loop.call_soon_threadsafe(self._answer_and_begin, loop, by_loop.get(loop, ()))
            except RuntimeError:  # the loop is closed: nobody waits there any more
                waiting.discard(loop)
        # Where no loop will begin the next, this thread does: nor might one that has stopped, which closing must not wait for.
        if (closed or not waiting) and (commit := self._take()) is not None:
            self._commits.put(commit)

    def _answer_and_begin(self, loop: asyncio.AbstractEventLoop, units: Sequence[_Unit]) -> None:
        for unit in units:
            unit.answer()
        self._begin(loop)


def _by_loop(units: Iterable[_Unit]) -> dict[asyncio.AbstractEventLoop, list[_Unit]]:
    found: dict[asyncio.AbstractEventLoop, list[_Unit]] = {}
    for unit in units:
        found.setdefault(unit.loop, []).append(unit)
    return found


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
