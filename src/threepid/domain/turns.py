"""Work that takes a core for long (hashes of passwords): in a pool as wide as the machine, with a short queue."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from threepid.clock import Clock
from threepid.spec.errors import LimitExceeded

T = TypeVar("T")

QUEUE_SECONDS: Final = 2.0
"""How long work may wait for its turn."""
TOGETHER: Final = 8
"""So much is answered at once while others wait, if work takes less than `QUICK` (seconds)."""
QUICK: Final = 0.03
REFUSED_AFTER: Final = 0.25
"""Seconds after which somebody is told that there is no room."""
_NICER: Final = 5


class Turns:
    """Who may work when, and the threads that do it. For one event loop."""

    def __init__(self, clock: Clock, name: str, sample: Callable[[], object]) -> None:
        """Call the threads `name`; `sample` is done once, to see how long work takes on this machine."""
        self._clock = clock
        self.width = _cores()
        self._pool = ThreadPoolExecutor(self.width, thread_name_prefix=name, initializer=_give_way)
        self._waiting: set[_Turn] = set()
        self._lock = threading.Lock()
        """Held for `_at_work` and `_done`."""
        self._at_work = 0
        self._done: list[_Turn] = []
        start = clock.monotonic()
        sample()
        self.seconds_each = self._seconds_since(start)

    @property
    def waiting(self) -> int:
        """How much there is to do, at work or not."""
        return len(self._waiting)

    async def refuse_if_full(self) -> None:
        """Raise LimitExceeded if work would have to wait too long now: before anything else is done for it."""
        if self.waiting * self.seconds_each / self.width > QUEUE_SECONDS:
            # Those who do not wait when they are told to would keep the event loop busy with that.
            await asyncio.sleep(REFUSED_AFTER)
            raise LimitExceeded(int(QUEUE_SECONDS * 1000))

    async def do(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do this when it has its turn. Raises LimitExceeded, and what the work raises."""
        await self.refuse_if_full()
        loop = asyncio.get_running_loop()
        turn = _Turn(lambda: work(*arguments), loop.create_future(), self._clock.monotonic())
        # The place in the queue is freed when the work ends, not when the client leaves: the work goes on without it.
        self._waiting.add(turn)
        with self._lock:
            self._at_work += 1
        self._pool.submit(self._work, turn, loop)
        done: T = await turn.future
        return done

    def close(self) -> None:
        """Stop the threads; what has not begun is cancelled."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for turn in self._waiting:
            turn.future.cancel()

    def _work(self, turn: "_Turn", loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of the pool."""
        start = self._clock.monotonic()
        try:
            if start - turn.asked > QUEUE_SECONDS:
                # The machine has become slower since the queue was joined: who waited this long does so for nothing.
                raise LimitExceeded(int(QUEUE_SECONDS * 1000))
            turn.result = turn.work()
            self.seconds_each += (self._seconds_since(start) - self.seconds_each) / 8
        except BaseException as error:  # noqa: BLE001 - whatever it is, it goes to the caller
            turn.error = error
        with self._lock:
            self._at_work -= 1
            self._done.append(turn)
            # While others wait, a few are answered together: a hash leaves nothing else in the caches of its core, so that
            # to wake the event loop costs as much as several answers do.
            together = TOGETHER if self.seconds_each < QUICK else 1
            hand_back = self._at_work <= self.width or len(self._done) >= together
        if hand_back:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._hand_back)

    def _hand_back(self) -> None:
        with self._lock:
            done, self._done = self._done, []
        for turn in done:
            self._waiting.discard(turn)
            turn.answer()

    def _seconds_since(self, start: float) -> float:
        # A machine that slept meanwhile says nothing of how long work takes.
        return min(self._clock.monotonic() - start, QUEUE_SECONDS)


class _Turn:
    """Work and who waits for it."""

    __slots__ = ("asked", "error", "future", "result", "work")

    def __init__(self, work: Callable[[], object], future: "asyncio.Future[Any]", asked: float) -> None:
        self.work = work
        self.future = future
        self.asked = asked
        self.result: object = None
        self.error: BaseException | None = None

    def answer(self) -> None:
        if self.future.done():  # the caller has left
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


def _give_way() -> None:
    """Make requests go before hashes on a busy machine: they need the core for a moment, a hash needs it for long."""
    if sys.platform == "linux":  # where it is the thread that becomes nicer; elsewhere it would be the whole process
        os.nice(_NICER)


def _cores() -> int:
    """The cores that this process may use: in a container they may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
