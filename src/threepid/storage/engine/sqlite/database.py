"""A SQLite database file: short reads run on the event loop, long ones in threads; writes go through the writer."""

import asyncio
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar, cast

import apsw

from threepid.clock import ticks
from threepid.storage.engine.database import Busy, Database, StorageError, Tx, call, timed
from threepid.storage.engine.sqlite.connection import connect, explained
from threepid.storage.engine.sqlite.transaction import SqliteTx
from threepid.storage.engine.sqlite.writer import Writer
from threepid.tracing import is_on, span

T = TypeVar("T")

WAIT_SECONDS: Final = 5.0
"""How long a commit or a long read waits for another process's lock."""
INLINE_WAIT_MS: Final = 20
"""How long a read may block the event loop for a lock before it moves to a reader thread."""
READERS: Final = 2
"""Number of reader threads."""


class Sqlite(Database):
    """A SQLite database file, for one event loop."""

    engine = "sqlite"

    def __init__(self, path: Path, *, wait_seconds: float = WAIT_SECONDS) -> None:
        """Open `path`. `migrate` must have made its schema."""
        super().__init__()
        self._path = path
        self._wait_ms = int(wait_seconds * 1000)
        self._inline = SqliteTx(connect(path, wait_ms=self._wait_ms))
        self._inline.connection.set_busy_timeout(INLINE_WAIT_MS)
        self._readers: queue.SimpleQueue[SqliteTx | None] = queue.SimpleQueue()
        for _ in range(READERS):
            self._readers.put(None)
        self._aside_pool = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._writer = Writer(path, wait_ms=self._wait_ms, committed=self._committed)
        self._closed = False

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` on the event loop, or in a reader thread if the database is locked."""
        self.reads += 1
        started = ticks()
        try:
            if is_on():
                with span("database read"):
                    return call(fn, self._inline)
            return call(fn, self._inline)
        except apsw.BusyError:
            return await self._in_reader_thread(fn)
        except apsw.Error as error:
            raise StorageError(explained(self._path, error)) from error
        finally:
            self.read_times.note(ticks() - started)

    async def read_aside(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` in a reader thread."""
        self.reads += 1
        with timed(self.read_times, "database read"):
            return await self._in_reader_thread(fn)

    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` on the event loop in the next commit, and return when the commit is durable."""
        if is_on():
            with timed(self.write_times, "database write"):
                return cast("T", await self._writer.write(fn, aside=False))
        # Most requests that write do it once, and are not traced.
        started = ticks()
        try:
            return cast("T", await self._writer.write(fn, aside=False))
        finally:
            self.write_times.note(ticks() - started)

    async def write_aside(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` in the writer thread in a commit of its own, and return when the commit is durable."""
        with timed(self.write_times, "database write"):
            result: T = await self._writer.write(fn, aside=True)
        return result

    async def close(self) -> None:
        """Finish the waiting units of work and close the file."""
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        self._aside_pool.shutdown(wait=True)
        while not self._readers.empty():
            if (reader := self._readers.get()) is not None:
                reader.connection.close()
        self._inline.connection.close()

    def _committed(self, units: int) -> None:
        self.commits += 1
        self.writes += units

    async def _in_reader_thread(self, fn: Callable[[Tx], T]) -> T:
        if self._closed:
            raise Busy("the database is closed")
        return await asyncio.get_running_loop().run_in_executor(self._aside_pool, self._read_aside, fn)

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
            raise Busy(explained(self._path, error)) from error
        except apsw.Error as error:
            raise StorageError(explained(self._path, error)) from error
        finally:
            self._readers.put(reader)
