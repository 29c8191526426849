"""Measures how long the event loop was busy: a worker gives way to requests, but not to its own work."""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class OwnTime:
    """Tells the work of the watched coroutines from that of others.

    On PostgreSQL, their units of work run in callbacks of the event loop, which nobody can tell from those of requests: there the
    worker gives way to a part of its own work as well.
    """

    def __init__(self, used: Callable[[], float]) -> None:
        """`used` returns the seconds for which this thread has used a processor.

        A wall clock would also count the time of other programs, for which no worker needs to give way.
        """
        self._used = used
        self._own: float | None = None
        """Seconds of the watched coroutines in the turn that is measured; None while none is, because asking for the time takes
        longer than many a step."""

    async def busy_with_others(self) -> float:
        """Let the event loop turn once; returns the seconds for which it was busy with anything but the watched coroutines."""
        self._own = 0.0
        began = self._used()
        try:
            await asyncio.sleep(0)
            return self._used() - began - self._own
        finally:
            self._own = None

    async def watch(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work`, whose time is not that of others."""
        return await self._steps(work)

    @types.coroutine
    def _steps(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        value: Any = None
        error: BaseException | None = None
        while True:
            began = None if self._own is None else self._used()
            try:
                awaited = work.send(value) if error is None else work.throw(error)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            finally:
                if began is not None and self._own is not None:
                    self._own += self._used() - began
            value = error = None
            try:
                value = yield awaited
            except BaseException as thrown:  # noqa: BLE001 - whatever is thrown, a cancellation above all, is for `work`
                error = thrown
