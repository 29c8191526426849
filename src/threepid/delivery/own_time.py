"""Measures how long the event loop was busy with deliveries: a worker gives way to requests, but not to its own work."""

import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class OwnTime:
    """The time that the watched coroutines have kept the event loop busy.

    On PostgreSQL, their units of work run in callbacks of the event loop, which nobody can tell from those of requests: there the
    worker gives way to a part of its own work as well.
    """

    def __init__(self, used: Callable[[], float]) -> None:
        """`used` returns the seconds for which this thread has used a processor.

        A wall clock would also count the time of other programs, for which no worker needs to give way.
        """
        self._used = used
        self.spent = 0.0
        """Seconds so far, without the time in which the coroutines waited."""

    async def watch(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work`, and count its time."""
        return await self._steps(work)

    @types.coroutine
    def _steps(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        value: Any = None
        error: BaseException | None = None
        while True:
            began = self._used()
            try:
                awaited = work.send(value) if error is None else work.throw(error)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            finally:
                self.spent += self._used() - began
            value = error = None
            try:
                value = yield awaited
            except BaseException as thrown:  # noqa: BLE001 - whatever is thrown, a cancellation above all, is for `work`
                error = thrown
