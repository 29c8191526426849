"""Work that takes a core for long (hashes of passwords): in a pool as wide as the machine, with a short queue."""

import asyncio
import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from threepid.clock import Clock
from threepid.spec.errors import LimitExceeded

T = TypeVar("T")

QUEUE_SECONDS: Final = 2.0
"""How long work may wait for its turn."""
TOGETHER: Final = 8
"""So much is answered at once while others wait."""
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
        self._most_inside = 2 * TOGETHER + 2 * self.width
        self._inside = 0
        self._outside: deque[asyncio.Future[None]] = deque()
        """Who waits until one of those `_inside` goes."""
        self._lock = threading.Lock()
        """Held for `_at_work` and `_done`."""
        self._at_work = 0
        self._done: list[Turn] = []
        start = clock.monotonic()
        sample()
        self.seconds_each = self._seconds_since(start)

    def _refuse_if_full(self) -> None:
        """Raise LimitExceeded if work would have to wait too long now: before anything else is done for it."""
        if self.waiting * self.seconds_each / self.width > QUEUE_SECONDS:
            raise LimitExceeded(int(QUEUE_SECONDS * 1000))

    @property
    def waiting(self) -> int:
        """How much there is to do, at work or not."""
        return self._inside + len(self._outside)

    def turn(self) -> "Turn":
        """To be entered (`async with`) before anything is looked up for the work, which is done by its `do`.

        When many come in one moment, the event loop would else look that up for all of them before it answers anybody else.
        Entering raises LimitExceeded when there is no room.
        """
        return Turn(self)

    async def do(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do this when it has its turn. Raises LimitExceeded, and what the work raises."""
        async with self.turn() as turn:
            return await turn.do(work, *arguments)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def enter(self) -> None:
        """For `Turn`."""
        try:
            self._refuse_if_full()
        except LimitExceeded:
            # Those who do not wait when they are told to would keep the event loop busy with that.
            await asyncio.sleep(REFUSED_AFTER)
            raise
        if self._inside < self._most_inside:
            self._inside += 1
            return
        asked = self._clock.monotonic()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outside.append(place)
        try:
            await place
            self._refuse_if_late(self._clock.monotonic() - asked)
        except BaseException:
            if place.done() and not place.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """For `Turn`: the next one may come in."""
        while self._outside:
            place = self._outside.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._inside -= 1

    def submit(self, turn: "Turn", work: Callable[[], object]) -> None:
        """For `Turn`: have this done, and handed back to it."""
        with self._lock:
            self._at_work += 1
        self._pool.submit(self._work, turn, work, self._clock.monotonic())

    def _work(self, turn: "Turn", work: Callable[[], object], asked: float) -> None:
        """In a thread of the pool."""
        start = self._clock.monotonic()
        try:
            self._refuse_if_late(start - asked)
            turn.result = work()
            self.seconds_each += (self._seconds_since(start) - self.seconds_each) / 8
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to the caller
            turn.error = error
        with self._lock:
            self._at_work -= 1
            self._done.append(turn)
            # While others wait, a few are answered together: a hash leaves nothing else in the caches of its core, so that
            # to wake the event loop costs as much as several answers do.
            hand_back = self._at_work <= self.width or len(self._done) >= TOGETHER
        if hand_back:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                turn.loop.call_soon_threadsafe(self._hand_back)

    def _hand_back(self) -> None:
        with self._lock:
            done, self._done = self._done, []
        for turn in done:
            turn.take_back()

    @staticmethod
    def _refuse_if_late(waited: float) -> None:
        """The machine may have become slower since the queue was joined: who waited this long does so for nothing."""
        if waited > QUEUE_SECONDS:
            raise LimitExceeded(int(QUEUE_SECONDS * 1000))

    def _seconds_since(self, start: float) -> float:
        # A machine that slept meanwhile says nothing of how long work takes.
        return min(self._clock.monotonic() - start, QUEUE_SECONDS)


class Turn:
    """One turn, for work that is done once."""

    def __init__(self, turns: Turns) -> None:
        """One of these `turns`."""
        self._turns = turns
        self.loop: asyncio.AbstractEventLoop
        self._future: asyncio.Future[Any] | None = None
        self._left = False
        self.result: Any = None
        self.error: Exception | None = None

    async def __aenter__(self) -> Self:
        """Wait until there is room. Raises LimitExceeded."""
        await self._turns.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Make room, as soon as the work has ended: it goes on without a caller who leaves before."""
        self._left = True
        if self._future is None:
            self._turns.leave()

    async def do(self, work: Callable[..., T], *arguments: Any) -> T:
        """Have this done beside the event loop. Raises LimitExceeded, and what the work raises."""
        self.loop = asyncio.get_running_loop()
        future = self._future = self.loop.create_future()
        self._turns.submit(self, lambda: work(*arguments))
        done: T = await future
        return done

    def take_back(self) -> None:
        """For `Turns`, on the event loop: the work has ended."""
        future, self._future = self._future, None
        if future is not None and not future.done():
            if self.error is None:
                future.set_result(self.result)
            else:
                future.set_exception(self.error)
        if self._left:
            self._turns.leave()


def _give_way() -> None:
    """Make requests go before hashes on a busy machine: they need the core for a moment, a hash needs it for long."""
    if sys.platform == "linux":  # where it is the thread that becomes nicer; elsewhere it would be the whole process
        os.nice(_NICER)


def _cores() -> int:
    """The cores that this process may use: in a container they may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
