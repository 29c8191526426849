"""A pool of connections to one database for one purpose: lends them, and queues callers while none is free."""

import asyncio
from collections import deque
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from threepid.storage.engine.database import Busy, StorageError
from threepid.storage.engine.postgresql.connection import Connection

LIFETIME_SECONDS: Final = 3600.0
"""Age at which a connection is replaced: the caches of its PostgreSQL process take memory."""
IDLE_SECONDS: Final = 600.0
"""How long a connection may be idle before it is closed."""
RECONNECT_SECONDS: Final = 0.2
"""Pause between two attempts to connect."""
_VANISHED: Final = {"tcp_user_timeout": 10_000, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2}
"""A connection whose other end acknowledges nothing is lost after 10 seconds; one that only waits for an answer, after 20.

The system's defaults are a quarter of an hour and two hours. https://www.postgresql.org/docs/current/libpq-connect.html
"""


class Pool:
    """At most `size` connections, opened on demand. Belongs to the event loop that first uses it."""

    def __init__(self, url: str, size: int, *, password: str | None, wait_seconds: float, options: str) -> None:
        """Connect to `url` on demand. `wait_seconds` limits the wait for a connection, a statement and a lock."""
        milliseconds = int(wait_seconds * 1000)
        self._url = url
        self._size = size
        self._wait_seconds = wait_seconds
        self._password = password
        self._options = (
            f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} "
            f"-c idle_in_transaction_session_timeout=60000 {options}"
        )
        self._idle: list[Connection] = []
        """A stack: the connection that was used last is used next."""
        self._open = 0
        """Number of connections that are idle, lent, or about to be opened."""
        self._waiting: deque[tuple[float, asyncio.Future[Connection | None]]] = deque()
        """Deadline and future of each waiting caller. The future's result is a connection, or None: permission to open one."""
        self._timer: asyncio.TimerHandle | None = None
        """One timer for all waiting callers, set for the first, who has waited longest."""

    async def take(self) -> Connection:
        """Take a connection, to be given back. Raises Busy if none is free in time or PostgreSQL is unreachable."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_lost:
                return connection
            self._drop(connection)
        if self._open < self._size:
            self._open += 1
            return await self._connect()
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting.append((loop.time() + self._wait_seconds, waiting))
        if self._timer is None:
            self._timer = loop.call_later(self._wait_seconds, self._expire, loop)
        try:
            found = await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():  # it got a connection in the same moment
                self._pass_on(waiting.result())
            raise
        return found or await self._connect()

    def give_back(self, connection: Connection) -> None:
        """Return a connection after a unit of work; close it if it is lost or too old."""
        now = asyncio.get_running_loop().time()
        if connection.is_lost or now > connection.opened_at + LIFETIME_SECONDS:
            connection.close()
            self._pass_on(None)
            return
        connection.idle_since = now
        self._pass_on(connection)
        if self._idle and now > self._idle[0].idle_since + IDLE_SECONDS:
            self._drop(self._idle.pop(0))

    def close(self) -> None:
        """Close all connections, of which none may be lent."""
        while self._idle:
            self._drop(self._idle.pop())
        if self._timer is not None:
            self._timer.cancel()

    def _pass_on(self, connection: Connection | None) -> None:
        """Give a connection, or None as permission to open one, to the first waiting caller."""
        while self._waiting:
            _, waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(connection)
                return
        if connection is None:
            self._open -= 1
        else:
            self._idle.append(connection)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        while self._waiting:
            until, waiting = self._waiting[0]
            if until > loop.time():
                self._timer = loop.call_at(until, self._expire, loop)
                break
            self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(Busy("no connection to PostgreSQL was free in time"))

    def _drop(self, connection: Connection) -> None:
        connection.close()
        self._open -= 1

    async def _connect(self) -> Connection:
        """Open a connection that `_open` counts already."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._wait_seconds
        try:
            while True:
                try:
                    connection: psycopg.AsyncConnection[Any] = await psycopg.AsyncConnection.connect(
                        self._url, **self.parameters()
                    )
                    return Connection(connection, loop)
                except psycopg.OperationalError:  # PostgreSQL may be about to start
                    if loop.time() > end:
                        raise Busy("PostgreSQL cannot be reached") from None
                await asyncio.sleep(RECONNECT_SECONDS)
        except BaseException as error:
            self._pass_on(None)
            if isinstance(error, psycopg.Error):
                # The driver's message quotes a URL that it cannot parse, and the URL may contain a password.
                raise StorageError(type(error).__name__) from None
            raise

    def parameters(self) -> dict[str, Any]:
        """The parameters of a connection besides the URL."""
        of_url = conninfo_to_dict(self._url)
        return {
            **{name: value for name, value in _VANISHED.items() if name not in of_url},
            "password": self._password,
            "autocommit": True,
            "connect_timeout": max(2, int(self._wait_seconds)),
            "options": f"{of_url.get('options') or ''} {self._options}".strip(),
        }
