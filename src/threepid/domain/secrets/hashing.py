"""Work that takes a core for long (hashes of passwords): in a pool as wide as the machine, with two short queues.

One queue is for accounts whose owner is probably asking: somebody who is logged in, or calls from a network that the account
knows. The other is for everybody. While both have work, the pool takes from each in turn, so that a flood in the second takes
at most half of the pool from the first.
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
from threepid.spec.errors import LimitExceeded

T = TypeVar("T")

QUEUE_SECONDS: Final = 2.0
"""How long work may wait for its turn."""
OF_ONE_ACCOUNT: Final = 4
"""Places that one account has in the first queue: a flood that knows one password fills it for nobody else."""
TOGETHER: Final = 8
"""So much is answered at once while others wait, if work takes less than `QUICK` (seconds)."""
QUICK: Final = 0.03
REFUSED_AFTER: Final = 0.5
"""Seconds after which somebody is told that there is no room."""
_NICER: Final = 5


class Turns:
    """Who may work when, and the threads that do it. For one event loop."""

    def __init__(self, clock: Clock, name: str, seconds_each: float) -> None:
        """Call the threads `name`; work takes about `seconds_each` on this machine, which is measured further."""
        self._clock = clock
        self.width = _cores()
        self._pool = ThreadPoolExecutor(self.width, thread_name_prefix=name, initializer=_give_way)
        self._waiting: set[_Turn] = set()
        self._waiting_known: set[_Turn] = set()
        self._lock = threading.Lock()
        """Held for the queues, `_at_work` and `_done`."""
        self._queue: deque[_Turn] = deque()
        self._queue_known: deque[_Turn] = deque()
        self._last_was_known = False
        self._at_work = 0
        self._done: list[_Turn] = []
        self.seconds_each = seconds_each

    @property
    def waiting(self) -> int:
        """How much there is to do, at work or not."""
        return len(self._waiting) + len(self._waiting_known)

    async def refuse_if_full(self, account: str | None = None) -> None:
        """Raise LimitExceeded if work would have to wait too long now: before anything else is done for it.

        `account` is the one that the caller probably owns, if there is one.
        """
        if self._has_place_for_known(account) or self.has_place():
            return
        # Those who do not wait when they are told to would keep the event loop busy with that.
        await asyncio.sleep(REFUSED_AFTER)
        raise LimitExceeded(int(QUEUE_SECONDS * 1000), cause="busy")

    async def do(self, work: Callable[..., T], *arguments: Any, account: str | None = None) -> T:
        """Do this when it has its turn. Raises LimitExceeded, and what the work raises.

        `account` is the one that the caller probably owns, if there is one.
        """
        await self.refuse_if_full(account)
        loop = asyncio.get_running_loop()
        turn = _Turn(lambda: work(*arguments), loop.create_future(), self._clock.monotonic(), account)
        known = self._has_place_for_known(account)
        # The place in the queue is freed when the work ends, not when the client leaves: the work goes on without it.
        (self._waiting_known if known else self._waiting).add(turn)
        with self._lock:
            self._at_work += 1
            (self._queue_known if known else self._queue).append(turn)
        self._pool.submit(self._work, loop)
        done: T = await turn.future
        return done

    def has_place(self) -> bool:
        """Is there a place for everybody?"""
        return len(self._waiting) * self.seconds_each / self.width <= QUEUE_SECONDS

    def _has_place_for_known(self, account: str | None) -> bool:
        # Half of the pool is certain, so half as many may wait.
        if account is None or len(self._waiting_known) * self.seconds_each / self.width > QUEUE_SECONDS / 2:
            return False
        return sum(turn.account == account for turn in self._waiting_known) < OF_ONE_ACCOUNT

    def close(self) -> None:
        """Stop the threads; what has not begun is cancelled."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for turn in (*self._waiting, *self._waiting_known):
            turn.future.cancel()

    def _next(self) -> "_Turn":
        """The turn that is next: there are as many as calls of `_work`."""
        with self._lock:
            known = bool(self._queue_known) and not (self._last_was_known and self._queue)
            self._last_was_known = known
            return (self._queue_known if known else self._queue).popleft()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of the pool."""
        turn = self._next()
        start = self._clock.monotonic()
        try:
            if start - turn.asked > QUEUE_SECONDS:
                # The machine has become slower since the queue was joined: who waited this long does so for nothing.
                raise LimitExceeded(int(QUEUE_SECONDS * 1000), cause="busy")
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
            self._waiting_known.discard(turn)
            turn.answer()

    def _seconds_since(self, start: float) -> float:
        # A machine that slept meanwhile says nothing of how long work takes.
        return min(self._clock.monotonic() - start, QUEUE_SECONDS)


class _Turn:
    """Work and who waits for it."""

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
