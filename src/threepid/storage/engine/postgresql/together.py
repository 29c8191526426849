"""Group commit: units of work that change one row in common take turns on one connection, and share a commit.

A row lock is held until COMMIT has reached the disk. Units with transactions of their own would wait for one another's disk.

    waiting units --> BEGIN, lock --> SAVEPOINT, a unit, RELEASE --> ... --> COMMIT --> each caller gets its result
                                           |
                                           fails --> ROLLBACK TO: it is undone alone

The lock is an advisory one: other processes' groups wait for it before they hold anything. Otherwise two groups, each with the
rows of many units, could deadlock. https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from threepid.storage.engine.database import Busy, InDoubt, StorageError, Tx, call
from threepid.storage.engine.postgresql.connection import Statement
from threepid.storage.engine.postgresql.transaction import CONFLICTS, PostgresqlTx, as_storage_error
from threepid.tracing import request_id

T = TypeVar("T")

MOST: Final = 64
"""Maximum number of units in one commit."""
_LOCK: Final = Statement("SELECT pg_advisory_xact_lock(16158)")


class _Unit:
    """One unit of work and the future of its caller."""

    __slots__ = ("error", "fn", "future", "request_id", "result")

    def __init__(self, fn: Callable[[Tx], Any], future: "asyncio.Future[Any]") -> None:
        self.fn = fn
        self.future = future
        self.request_id = request_id.get()
        self.result: Any = None
        self.error: Exception | None = None

    def perform(self, tx: PostgresqlTx) -> None:
        """Run the unit, and undo it alone if it fails. Raises what ends the whole transaction."""
        self.error = None
        tx.request_id = self.request_id
        tx.connection.savepoint()
        try:
            self.result = call(self.fn, tx)
            if tx.connection.transaction_status == TransactionStatus.INERROR:
                raise StorageError("a failed statement was passed over: nothing was committed")
            tx.connection.release()
        except CONFLICTS:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to the caller
            try:
                tx.connection.undo()
            except psycopg.Error:  # the connection is lost, or the transaction failed before the savepoint
                raise error from None
            self.error = as_storage_error(error) if isinstance(error, psycopg.Error) else error

    def answer(self, failed: StorageError | None) -> None:
        if self.future.done():  # the caller was cancelled; its unit is done or undone all the same
            return
        if (error := failed or self.error) is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(self.result)


class Together:
    """The units that share commits: at most one group at a time."""

    def __init__(
        self, commit: Callable[[Callable[[PostgresqlTx], None]], Awaitable[None]], committed: Callable[[int], None]
    ) -> None:
        """`commit` runs a function in a transaction; `committed` gets the number of units that it did."""
        self._commit = commit
        self._committed = committed
        self._waiting: deque[_Unit] = deque()
        self._running: asyncio.Task[None] | None = None
        self._is_closed = False

    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` in one of the next commits, and return its result when that is durable."""
        if self._is_closed:
            raise Busy("the database is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Unit(fn, future))
        if self._running is None:
            self._running = loop.create_task(self._run())
        return await future

    async def close(self) -> None:
        """Finish the waiting units, and accept no more."""
        self._is_closed = True
        if self._running is not None:
            await asyncio.shield(self._running)

    async def _run(self) -> None:
        while self._waiting:
            units = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
            failed: StorageError | None = None
            try:
                await self._commit(partial(_perform, units))
                self._committed(sum(unit.error is None for unit in units))
            except StorageError as error:
                failed = error
            except Exception as error:  # noqa: BLE001 - the callers wait for an answer
                failed = StorageError(type(error).__name__)
            for unit in units:
                # An exception of its own for each caller: raising one adds to its traceback.
                unit.answer(failed and _copy(failed))
        self._running = None


def _perform(units: Sequence[_Unit], tx: PostgresqlTx) -> None:
    tx.connection.defer(_LOCK, {})
    for unit in units:
        unit.perform(tx)


def _copy(error: StorageError) -> StorageError:
    kind = next((kind for kind in (Busy, InDoubt) if isinstance(error, kind)), StorageError)
    return kind(str(error))
