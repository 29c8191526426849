"""Group commit: units of work that change one row in common share a transaction.

A row lock is held until COMMIT has reached the disk. Units with transactions of their own would wait for one another's disk.

    waiting units --> BEGIN, lock --> the first statement of each --> the second of each --> ... --> COMMIT --> results
                          ^                    |
                          |                    one fails: ROLLBACK
                          '--- one by one, each behind a savepoint

Their changes cannot be told apart, so if one fails, all are undone and run again one by one, and so are the next groups: a caller
who makes units fail (by reaching a limit) often does so again.

The lock is an advisory one: other processes' groups wait for it before they hold anything. Otherwise two groups, each with the
rows of many units, could deadlock. https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS

No unit begins after its time. Otherwise those behind a lock that somebody holds would wait for it one after the other.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from threepid.storage.engine.database import Busy, StorageError, Tx, call
from threepid.storage.engine.postgresql.connection import Connection, Statement
from threepid.storage.engine.postgresql.interleaved import Asked, NotTogetherError, Part, interleave
from threepid.storage.engine.postgresql.transaction import CONFLICTS, Known, PostgresqlTx, as_storage_error
from threepid.storage.engine.units import Unit as Greenlet
from threepid.tracing import request_id

T = TypeVar("T")

MOST: Final = 64
"""Maximum number of units in one commit."""
GUARDED: Final = 20
"""Number of groups that run one by one after a unit failed."""
_LOCK: Final = Statement("SELECT pg_advisory_xact_lock(16158)")
_NOTHING: Final = Statement("SELECT 1")
_TOO_LATE: Final = "PostgreSQL did not come to this write in time"


class _Unit(Asked):
    """One unit of work."""

    __slots__ = ("alone", "request_id", "until")

    def __init__(
        self, fn: Callable[[Tx], Any], future: "asyncio.Future[Any]", until: float, *, alone: bool = False
    ) -> None:
        super().__init__(fn, future)
        self.alone = alone
        """Is it to have a commit of its own?"""
        self.until = until
        """The time of the event loop after which the unit is refused instead of begun."""
        self.request_id = request_id.get()

    def begin(self, connection: Connection, known: Known) -> Greenlet:
        """A greenlet that runs the unit as a part of a group, and switches to the group with what the unit asks."""
        greenlet = Greenlet(lambda _: self._run(Part(connection), known))
        greenlet.gr_context = self.context.copy()
        return greenlet

    def perform(self, connection: Connection, known: Known) -> None:
        """Run the unit alone, and undo it if it fails. Raises what ends the whole transaction."""
        connection.savepoint()
        try:
            self._run(connection, known)
            if connection.transaction_status == TransactionStatus.INERROR:
                raise StorageError("a failed statement was passed over: nothing was committed")
            connection.release()
        except CONFLICTS:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to the caller
            try:
                connection.undo()
            except psycopg.Error:  # the connection is lost, or the transaction failed before the savepoint
                raise error from None
            self.error = as_storage_error(error) if isinstance(error, psycopg.Error) else error

    def _run(self, connection: Connection | Part, known: Known) -> None:
        self.error = None
        tx = PostgresqlTx(connection, known)
        tx.request_id = self.request_id
        self.result = call(self.fn, tx)


class Together:
    """The units that share transactions: at most one group at a time."""

    def __init__(
        self,
        commit: Callable[[Callable[[Connection], None]], Awaitable[None]],
        known: Known,
        committed: Callable[[int], None],
        wait_seconds: float,
    ) -> None:
        """`commit` runs a function in a transaction; `committed` gets the number of units that it did.

        A unit is refused if it could not begin in twice `wait_seconds`: a write alone waits for a connection and then for a lock.
        """
        self._commit = commit
        self._known = known
        self._committed = committed
        self._wait_seconds = 2 * wait_seconds
        self._waiting: deque[_Unit] = deque()
        self._timer: asyncio.TimerHandle | None = None
        """One timer for all waiting units, set for the first, which has waited longest."""
        self._running: asyncio.Task[None] | None = None
        self._guarded = 0
        self._is_closed = False

    async def write(self, fn: Callable[[Tx], T], *, alone: bool) -> T:
        """Run `fn` in one of the next commits, or in one of its own, and return its result when that is durable."""
        if self._is_closed:
            raise Busy("the database is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        until = loop.time() + self._wait_seconds
        self._waiting.append(_Unit(fn, future, until, alone=alone))
        if self._timer is None:
            self._timer = loop.call_at(until, self._expire, loop)
        if self._running is None:
            self._running = loop.create_task(self._run())
        return await future

    async def close(self) -> None:
        """Finish the waiting units, and accept no more."""
        self._is_closed = True
        if self._running is not None:
            await asyncio.shield(self._running)
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        while self._waiting:
            if self._waiting[0].until > loop.time():
                self._timer = loop.call_at(self._waiting[0].until, self._expire, loop)
                break
            self._waiting.popleft().answer(Busy(_TOO_LATE))

    async def _run(self) -> None:
        while self._waiting:
            units = [self._waiting.popleft()]
            while self._waiting and len(units) < MOST and not (units[0].alone or self._waiting[0].alone):
                units.append(self._waiting.popleft())
            failed: StorageError | None = None
            try:
                await self._commit_all(units)
            except StorageError as error:
                failed = error
            except Exception as error:  # noqa: BLE001 - the callers wait for an answer
                failed = StorageError(type(error).__name__)
            else:
                self._committed(sum(unit.error is None for unit in units))
            for unit in units:
                unit.answer(failed)
        self._running = None

    async def _commit_all(self, units: Sequence[_Unit]) -> None:
        if self._guarded or len(units) == 1:
            self._guarded = max(0, self._guarded - 1)
            await self._commit(partial(self._one_by_one, units))
            return
        try:
            await self._commit(partial(self._at_once, units))
        except NotTogetherError:
            self._guarded = GUARDED
            await self._commit(partial(self._one_by_one, units))

    def _one_by_one(self, units: Sequence[_Unit], connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        connection.defer(_LOCK, {})
        for unit in units:
            if loop.time() > unit.until:
                unit.error = Busy(_TOO_LATE)
            else:
                unit.perform(connection, self._known)

    def _at_once(self, units: Sequence[_Unit], connection: Connection) -> None:
        connection.defer(_LOCK, {})
        try:
            interleave(connection, [unit.begin(connection, self._known) for unit in units])
            if connection.defers:  # at COMMIT, a failure would fail all units
                connection.execute(_NOTHING, {})
        except CONFLICTS:
            raise
        except Exception as error:
            if connection.is_lost:
                raise
            raise NotTogetherError from error
