"""Runs one write transaction at a time, with group commit: a commit carries every short unit of work that waits.

The event loop runs short units, because a thread would contend for the GIL at each statement. The writer thread commits, which
waits for fsync. It also waits for locks of other processes and runs long units (`aside`), each in a commit of its own.

| state | runs on | action | next state |
|---|---|---|---|
| IDLE | - | no unit waits | BEGINNING at the first `write` |
| BEGINNING | event loop | takes units, `BEGIN IMMEDIATE` | PERFORMING; LOCKING for a closed file, a taken lock or a long unit |
| LOCKING | thread | opens the file, waits for the lock, runs a long unit | PERFORMING; COMMITTING after a long unit |
| PERFORMING | event loop | runs units in turns of 2 ms | COMMITTING; BEGINNING, with savepoints, if a unit must be undone |
| COMMITTING | thread | `COMMIT` | ANSWERING |
| ANSWERING | event loop | gives each caller its result | BEGINNING if units wait, else IDLE |

                          .------------------ units wait ------------------.
                          v                                                |
    IDLE --write--> BEGINNING --------> PERFORMING --> COMMITTING --> ANSWERING --> IDLE
                      |   ^---- undo ----'    ^            ^
                      `------> LOCKING -------'-- long ----'

Only one side works at a time: it owns the commit and the connection, and hands both over (to the thread by a queue, to the
event loop by `call_soon_threadsafe`). The waiting units and the state belong to the event loop, so no mutex is needed.
After an error in any state, COMMITTING closes the connection and ANSWERING reports the error. Nothing of that commit was done,
or it is in doubt if COMMIT could not write.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from threepid.storage.engine.database import Busy, InDoubt, StorageError, Tx, call
from threepid.storage.engine.sqlite.connection import connect, explained
from threepid.storage.engine.sqlite.transaction import SqliteTx
from threepid.tracing import request_id

BATCH: Final = 128
"""Maximum number of units of work in one commit."""
GUARDED: Final = 100
"""Number of commits with savepoints after a commit without them had to be redone.

Units rarely fail after a change, and a savepoint takes a fifth of the time of a short unit. A caller who makes units fail
(by reaching a limit) often does so again.
"""
TURN_SECONDS: Final = 0.002
"""How long units of work may hold the event loop; the remaining units run in further turns."""


class _MustUndo(Exception):
    """A unit of work failed after a change, and there is no savepoint."""


class _Unit:
    """One unit of work and the future of its caller."""

    __slots__ = ("aside", "error", "fn", "future", "request_id", "result")

    def __init__(self, fn: Callable[[Tx], Any], future: "asyncio.Future[Any]", *, aside: bool) -> None:
        self.fn = fn
        self.future = future
        self.aside = aside
        # Several callers' units share a commit, which runs in the context of one of them, or in a thread.
        self.request_id = request_id.get()
        self.result: Any = None
        self.error: BaseException | None = None

    def perform(self, tx: SqliteTx, *, guarded: bool) -> None:
        """Run the unit and undo it if it fails, which needs a savepoint (`guarded`). Raises _MustUndo without one.

        Raises apsw.Error or Busy if the other units of the commit would fail too.
        """
        connection = tx.connection
        before = connection.total_changes()
        self.error = None
        if guarded:
            connection.execute("SAVEPOINT unit")
        tx.request_id = self.request_id
        try:
            self.result = call(self.fn, tx)
        except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError):
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
        if self.future.done():  # the caller was cancelled; its unit is done or undone all the same
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class _Commit:
    """The units of one commit and its progress."""

    __slots__ = ("behind", "error", "guarded", "left", "loop", "units")

    def __init__(
        self, units: Sequence[_Unit], loop: asyncio.AbstractEventLoop, *, guarded: bool, behind: int = 0
    ) -> None:
        self.units = units
        self.behind = behind
        """Number of units that waited already when it began, and were too many for it."""
        self.loop = loop
        self.guarded = guarded
        self.left = deque(units)
        self.error: Exception | None = None
        """Why the whole commit failed."""


class Writer:
    """The only writer of a file in this process. Belongs to the event loop that first uses it."""

    def __init__(self, path: Path, *, wait_ms: int, committed: Callable[[int], None]) -> None:
        """Start the thread. `wait_ms` is for locks of other processes; `committed` gets the number of units that a commit did."""
        self.wait_ms = wait_ms
        self._path = path
        self._committed = committed
        # Owned by the event loop.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[_Unit] = deque()
        self._idle = True
        self._guarded = 0
        self._closed: asyncio.Future[None] | None = None
        """Set by `close`, and done when no unit waits any more."""
        # Owned by the side that has the commit.
        self._tx: SqliteTx | None = None
        self._jobs: queue.SimpleQueue[tuple[Callable[[_Commit], None], _Commit] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="sqlite-writer", daemon=True)
        self._thread.start()

    async def write(self, fn: Callable[[Tx], Any], *, aside: bool) -> Any:
        """Run `fn` in a commit, and return its result when the commit is durable."""
        if self._closed is not None:
            raise Busy("the database is closed")
        loop = self._own()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(_Unit(fn, future, aside=aside))
        if self._idle:
            self._idle = False
            # call_soon lets the units that come in this turn of the event loop join the commit.
            loop.call_soon(self._begin, loop)
        return await future

    async def close(self) -> None:
        """Finish the waiting units, accept no more, and end the thread."""
        loop = self._own()
        self._closed = loop.create_future()
        if not self._idle:
            await self._closed
        self._jobs.put(None)
        await loop.run_in_executor(None, self._thread.join)

    def _own(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise RuntimeError("a SQLite database belongs to the event loop that first wrote to it")
        return loop

    # -- on the event loop

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """BEGINNING: take the short units that wait, at most `BATCH`, or one long unit."""
        units = [self._waiting.popleft()]
        if not units[0].aside:
            while self._waiting and len(units) < BATCH and not self._waiting[0].aside:
                units.append(self._waiting.popleft())
        self._begin_again(_Commit(units, loop, guarded=self._guarded > 0, behind=len(self._waiting)))

    def _begin_again(self, commit: _Commit) -> None:
        tx = self._tx
        if tx is None or commit.units[0].aside:
            self._jobs.put((self._lock, commit))
            return
        try:
            tx.connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:  # another process has the lock
            self._jobs.put((self._lock, commit))
        except apsw.Error as error:
            commit.error = error
            self._jobs.put((self._commit, commit))
        else:
            self._turn(tx, commit)

    def _turn(self, tx: SqliteTx, commit: _Commit) -> None:
        """PERFORMING: run units for one turn."""
        until = commit.loop.time() + TURN_SECONDS
        try:
            while commit.left:
                commit.left[0].perform(tx, guarded=commit.guarded)
                commit.left.popleft()
                if commit.loop.time() > until:
                    break
        except _MustUndo:
            self._undo(tx, commit)
        except BaseException as error:
            commit.error = error if isinstance(error, Exception) else Busy(f"interrupted: {type(error).__name__}")
            self._jobs.put((self._commit, commit))
            if commit.error is not error:
                raise
        else:
            if commit.left:
                commit.loop.call_soon(self._turn, tx, commit)
            else:
                self._jobs.put((self._commit, commit))

    def _undo(self, tx: SqliteTx, commit: _Commit) -> None:
        """Roll back and run all units again, with savepoints."""
        self._guarded = GUARDED
        try:
            tx.connection.execute("ROLLBACK")
        except apsw.Error as error:
            commit.error = error
            self._jobs.put((self._commit, commit))
        else:
            self._begin_again(_Commit(commit.units, commit.loop, guarded=True))

    def _answer(self, commit: _Commit) -> None:
        """ANSWERING: give each caller its result and begin the next commit."""
        units = list(commit.units)
        if commit.error is not None:
            kind = InDoubt if isinstance(commit.error, InDoubt) else Busy
            if isinstance(commit.error, apsw.BusyError):
                # Those behind have waited for the same lock as long. One commit after the other, the last would wait for minutes.
                units += [self._waiting.popleft() for _ in range(commit.behind)]
            for unit in units:
                # Replaces the unit's own error too: a change by another unit, now rolled back, may have caused it.
                unit.error = kind(explained(self._path, commit.error))
        else:
            self._guarded = max(0, self._guarded - 1)
            self._committed(sum(unit.error is None for unit in units))
        for unit in units:
            unit.answer()
        if self._waiting:
            self._begin(commit.loop)
            return
        self._idle = True
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    # -- in the thread

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            step, commit = job
            step(commit)
        if self._tx is not None:
            self._tx.connection.close()

    def _lock(self, commit: _Commit) -> None:
        """LOCKING: begin a transaction, waiting for locks of other processes, and run a long unit."""
        try:
            self._tx = tx = self._tx or SqliteTx(connect(self._path, wait_ms=self.wait_ms))
            tx.connection.set_busy_timeout(self.wait_ms)
            tx.connection.execute("BEGIN IMMEDIATE")
            tx.connection.set_busy_timeout(0)  # the event loop must not wait
            if not commit.units[0].aside:
                self._hand_over(commit, self._turn, tx, commit)
                return
            commit.left.popleft().perform(tx, guarded=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers and the next commit wait
            commit.error = error
        self._commit(commit)

    def _commit(self, commit: _Commit) -> None:
        """COMMITTING: commit durably; after an error, close the connection, which rolls back."""
        if commit.error is None and self._tx is not None:
            try:
                self._tx.connection.execute("COMMIT")
            except apsw.IOError:
                # What a failed fsync left on the disk is unknown, and a second fsync would not tell.
                commit.error = InDoubt("the commit could not be written")
            except Exception as error:  # noqa: BLE001 - as above
                commit.error = error
        if commit.error is not None:
            self._forget_connection()
        self._hand_over(commit, self._answer, commit)

    def _forget_connection(self) -> None:
        """Close the connection: after a failed commit its state is unknown."""
        if self._tx is not None:
            self._tx.connection.close(force=True)
            self._tx = None

    def _hand_over(self, commit: _Commit, step: Callable[..., None], *arguments: Any) -> None:
        try:
            commit.loop.call_soon_threadsafe(step, *arguments)
        except RuntimeError:  # the event loop is closed, so no caller waits
            self._forget_connection()
