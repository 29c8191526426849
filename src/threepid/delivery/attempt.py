"""One attempt to deliver a message. Its time limit is suspended once the message is handed over and only the answer is due."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Self

from threepid.storage.outbox import ClaimedJob

_current: ContextVar["Attempt | None"] = ContextVar("attempt", default=None)


class Attempt:
    """An attempt to deliver one message, in a task of its own."""

    def __init__(self, job: ClaimedJob, *, began: float) -> None:
        """Deliver `job`; `began` is the monotonic start time in seconds."""
        self.job = job
        self.began = began
        self.handed_over = False
        """Is only the answer due? Then the attempt costs nothing but a connection."""
        self.done = False
        """Has the relay answered, and must the result only be stored? Then the attempt costs no relay anything."""
        self._limit: asyncio.Timeout | None = None
        self._until = 0.0
        self._alive_until = 0.0

    @asynccontextmanager
    async def limited(self, seconds: float, *, life: float) -> AsyncIterator[Self]:
        """Raise TimeoutError after `seconds`, or after `life` if that is sooner. Time within `handed_over` does not count.

        `life` is the remaining lifetime of the message in seconds. It ends an attempt only before the message is handed over.
        """
        now = asyncio.get_running_loop().time()
        self._until, self._alive_until = now + seconds, now + life
        token = _current.set(self)
        try:
            async with asyncio.timeout_at(min(self._until, self._alive_until)) as self._limit:
                yield self
        finally:
            _current.reset(token)

    def _stop_limit(self) -> float:
        self.handed_over = True
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(None)
        return asyncio.get_running_loop().time()

    def _go_on(self, since: float) -> None:
        self.handed_over = False
        self._until += asyncio.get_running_loop().time() - since
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(min(self._until, self._alive_until))


@asynccontextmanager
async def handed_over(seconds: float) -> AsyncIterator[None]:
    """Await only the answer, for `seconds`: the message may have arrived. Raises TimeoutError."""
    attempt = _current.get()
    since = attempt._stop_limit() if attempt else 0.0  # noqa: SLF001 - this is the other half of the class
    try:
        async with asyncio.timeout(seconds):
            yield
    finally:
        if attempt:
            attempt._go_on(since)  # noqa: SLF001 - likewise
