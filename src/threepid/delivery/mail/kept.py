"""Connections to a relay that stay open after a mail, because the next mail then needs no handshake, TLS and login of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import aiosmtplib

IDLE_SECONDS: Final = 5.0
"""Seconds that a connection waits for the next mail. Relays allow minutes, but each open connection costs them a process."""
AGE_SECONDS: Final = 300.0
"""Maximum age of a connection that is kept: a relay that moves in DNS, or a token that expires, is noticed by then."""
MOST: Final = 8
"""Maximum number of connections that wait."""


class Line:
    """An open connection to a relay, after the login."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        """Count its mails and its age from now on."""
        self.client = client
        self.mails = 0
        self.since = asyncio.get_running_loop().time()
        self.until: asyncio.TimerHandle | None = None
        """What ends its wait for the next mail."""


class Kept:
    """The connections to one relay that wait for its next mail."""

    def __init__(
        self, mails: int, leave: Callable[[aiosmtplib.SMTP], Awaitable[None]], *, idle: float = IDLE_SECONDS
    ) -> None:
        """Use each connection for `mails` mails, and let it wait `idle` seconds. `leave` says goodbye, and raises nothing."""
        self._idle = idle
        self._mails = mails
        self._leave = leave
        self._waiting: list[Line] = []
        self._leaving: set[asyncio.Future[None]] = set()

    def take(self) -> Line | None:
        """The connection that was used last and is still open; None if there is none."""
        while self._waiting:
            line = self._waiting.pop()
            _stop(line)
            if line.client.is_connected:
                return line
            line.client.close()
        return None

    def put(self, line: Line) -> None:
        """Keep a connection over which the relay has just accepted a mail, or leave if it was used enough."""
        line.mails += 1
        loop = asyncio.get_running_loop()
        is_old = line.mails >= self._mails or loop.time() - line.since >= AGE_SECONDS
        if is_old or len(self._waiting) >= MOST or not line.client.is_connected or _said_more(line):
            self._end(line)
            return
        line.until = loop.call_later(self._idle, self._expire, line)
        self._waiting.append(line)

    async def close(self) -> None:
        """Leave all connections that wait, and finish the goodbyes."""
        while (line := self.take()) is not None:
            self._end(line)
        while self._leaving:
            await asyncio.wait(self._leaving)

    def _expire(self, line: Line) -> None:
        self._waiting.remove(line)
        self._end(line)

    def _end(self, line: Line) -> None:
        task: asyncio.Future[None] = asyncio.ensure_future(self._leave(line.client))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def _said_more(line: Line) -> bool:
    """Has the relay sent more than it was asked for? The library would take that for the answer to the next mail's sender."""
    return bool(getattr(line.client.protocol, "_buffer", b""))


def _stop(line: Line) -> None:
    if line.until is not None:
        line.until.cancel()
        line.until = None
