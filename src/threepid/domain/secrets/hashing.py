"""A thread pool for CPU-bound work (password hashes), with one thread per core and two short queues.

One queue is for probable owners of an account: callers who are logged in, or call from a network that the account knows. The
other is for everybody. While both have work, the pool takes from each in turn, so that a flood in the second queue takes at most
half of the pool from the first.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from threepid.clock import Clock
from threepid.meter import Durations
from threepid.spec.errors import LimitExceeded

T = TypeVar("T")

QUEUE_SECONDS: Final = 2.0
"""Longest time that work may wait for its turn."""
OF_ONE_ACCOUNT: Final = 4
"""Maximum number of places of one account in the first queue, so that a flood with one account cannot fill it."""
TOGETHER: Final = 8
"""Number of results that are handed to the event loop at once under load, if work takes less than `QUICK` seconds."""
QUICK: Final = 0.03
REFUSED_AFTER: Final = 0.5
"""Seconds after which a caller is rejected when the queues are full."""
_NICER: Final = 5


class Turns:
    """The thread pool and its queues. For one event loop."""

    def __init__(self, clock: Clock, name: str, seconds_each: float) -> None:
        """`name` is the prefix of the thread names; `seconds_each` is a first estimate of the work's duration."""
        self._clock = clock
        self.width = _cores()
        self._pool = ThreadPoolExecutor(self.width, thread_name_prefix=name, initializer=_give_way)
        self._waiting: set[_Turn] = set()
        self._waiting_known: set[_Turn] = set()
        self._lock = threading.Lock()
        """Guards the queues, `_last_was_known`, `_at_work` and `_done`."""
        self._queue: deque[_Turn] = deque()
        self._queue_known: deque[_Turn] = deque()
        self._last_was_known = False
        self._at_work = 0
        self._done: list[_Turn] = []
        self.seconds_each = seconds_each
        self.waits = Durations()
        """How long turns waited for a thread."""

    @property
    def waiting(self) -> int:
        """Number of turns that are queued or running."""
        return len(self._waiting) + len(self._waiting_known)

    async def refuse_if_full(self, account: str | None = None) -> None:
        """Raise LimitExceeded if new work would have to wait for too long. Call this before doing anything else for it.

        `account` is the account that the caller probably owns, if any.
        """
        if self._has_place_for_known(account) or self.has_place():
            return
        # Callers that retry at once would keep the event loop busy, so their rejection is delayed.
        await asyncio.sleep(REFUSED_AFTER)
        raise LimitExceeded(int(QUEUE_SECONDS * 1000), cause="busy", limit="password hashes")

    async def do(self, work: Callable[..., T], *arguments: Any, account: str | None = None) -> T:
        """Run `work` in the pool when its turn comes. Raises LimitExceeded and the errors of `work`.

        `account` is the account that the caller probably owns, if any.
        """
        await self.refuse_if_full(account)
        loop = asyncio.get_running_loop()
        turn = _Turn(lambda: work(*arguments), loop.create_future(), self._clock.monotonic(), account)
        known = self._has_place_for_known(account)
        # The place is freed when the work ends, not when the client disconnects: the thread keeps running.
        (self._waiting_known if known else self._waiting).add(turn)
        with self._lock:
            self._at_work += 1
            (self._queue_known if known else self._queue).append(turn)
        self._pool.submit(self._work, loop)
        done: T = await turn.future
        return done

    def has_place(self) -> bool:
        """Does the queue for everybody have a free place?"""
        return len(self._waiting) * self.seconds_each / self.width <= QUEUE_SECONDS

    def _has_place_for_known(self, account: str | None) -> bool:
        # This queue is guaranteed only half of the pool, so it gets half as many places.
        if account is None or len(self._waiting_known) * self.seconds_each / self.width > QUEUE_SECONDS / 2:
            return False
        return sum(turn.account == account for turn in self._waiting_known) < OF_ONE_ACCOUNT

    def close(self) -> None:
        """Stop the pool and cancel all turns."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for turn in (*self._waiting, *self._waiting_known):
            turn.future.cancel()

    def _next(self) -> "_Turn":
        """The next turn. The queues hold one turn for each pending call of `_work`."""
        with self._lock:
            known = bool(self._queue_known) and not (self._last_was_known and self._queue)
            self._last_was_known = known
            return (self._queue_known if known else self._queue).popleft()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do the next turn, in a thread of the pool."""
        turn = self._next()
        start = self._clock.monotonic()
        try:
            if start - turn.asked > QUEUE_SECONDS:
                # The machine has become slower since the turn was queued. After this long, the caller is rejected anyway.
                raise LimitExceeded(int(QUEUE_SECONDS * 1000), cause="busy", limit="password hashes")
            turn.result = turn.work()
            self.seconds_each += (self._seconds_since(start) - self.seconds_each) / 8
        except BaseException as error:  # noqa: BLE001 - whatever it is, it goes to the caller
            turn.error = error
        with self._lock:
            self.waits.note(start - turn.asked)
            self._at_work -= 1
            self._done.append(turn)
            # Under load, several results are handed over together: a hash evicts the caches of its core, so waking the event
            # loop costs as much as several answers.
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
            self._waiting_known.discard(turn)
            turn.answer()

    def _seconds_since(self, start: float) -> float:
        # If the machine was suspended in the meantime, the measured time is meaningless, so it is capped.
        return min(self._clock.monotonic() - start, QUEUE_SECONDS)


class _Turn:
    """A piece of work and the future of its caller."""

    __slots__ = ("account", "asked", "error", "future", "result", "work")

    def __init__(
        self, work: Callable[[], object], future: "asyncio.Future[Any]", asked: float, account: str | None
    ) -> None:
        self.work = work
        self.future = future
        self.asked = asked
        self.account = account
        self.result: object = None
        self.error: BaseException | None = None

    def answer(self) -> None:
        if self.future.done():  # the caller was cancelled
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


def _give_way() -> None:
    """Lower the priority of a pool thread, so that requests, which need a core only briefly, run before hashes."""
    if sys.platform == "linux":  # `os.nice` affects one thread on Linux, but the whole process elsewhere
        os.nice(_NICER)


def _cores() -> int:
    """Number of cores that this process may use, which can be fewer in a container than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
