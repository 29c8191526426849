"""Reads that share a connection: what the reads of one turn of the event loop ask goes out in one pipeline.

A busy server asks PostgreSQL once for several requests, which saves system calls and wakes on both sides. Each statement has
its own snapshot, as in a read alone, and a read changes nothing: if a statement fails, all reads of the group run one by one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import psycopg

from threepid.storage.engine.database import StorageError, Tx, call
from threepid.storage.engine.postgresql.connection import Connection
from threepid.storage.engine.postgresql.interleaved import Asked, Part, interleave
from threepid.storage.engine.postgresql.transaction import CONFLICTS, Known, PostgresqlTx, as_storage_error
from threepid.storage.engine.units import Unit

T = TypeVar("T")

MOST: Final = 32
"""Maximum number of reads in one pipeline: the last one waits for the first."""


class _Read(Asked):
    """One read."""

    __slots__ = ()

    def begin(self, connection: Connection, known: Known) -> Unit:
        """A greenlet that runs the read as a part of a group."""
        unit = Unit(lambda _: self.perform(Part(connection), known))
        unit.gr_context = self.context
        return unit

    def perform(self, connection: Connection | Part, known: Known) -> None:
        """Run the read. Raises psycopg.Error; any other error is its caller's alone."""
        self.error = None
        try:
            self.result = call(self.fn, PostgresqlTx(connection, known))
        except psycopg.Error:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to the caller
            self.error = error


class SharedReads:
    """Collects the reads of one turn of the event loop, and runs them together."""

    def __init__(self, run: Callable[[Callable[[Connection], None]], Awaitable[None]], known: Known) -> None:
        """`run` runs a function in a unit of work with a connection."""
        self._run = run
        self._known = known
        self._waiting: list[_Read] = []
        self._running: set[asyncio.Task[None]] = set()

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` together with the other reads of this turn, and return its result."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._begin, loop)
        self._waiting.append(_Read(fn, future))
        return await future

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), MOST):
            task = loop.create_task(self._run_all(waiting[first : first + MOST]))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run_all(self, reads: Sequence[_Read]) -> None:
        failed: StorageError | None = None
        try:
            await self._run(partial(self._perform, reads))
        except StorageError as error:
            failed = error
        except Exception as error:  # noqa: BLE001 - the callers wait for an answer
            failed = StorageError(type(error).__name__)
        for read in reads:
            read.answer(failed)

    def _perform(self, reads: Sequence[_Read], connection: Connection) -> None:
        if len(reads) > 1:
            try:
                interleave(connection, [read.begin(connection, self._known) for read in reads])
            except psycopg.Error:
                if connection.is_lost:  # another connection may repeat them
                    raise
            else:
                return
        for read in reads:
            try:
                read.context.run(read.perform, connection, self._known)
            except CONFLICTS:
                raise
            except psycopg.Error as error:
                if connection.is_lost:
                    raise
                read.error = as_storage_error(error)
