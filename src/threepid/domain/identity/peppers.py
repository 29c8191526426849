"""Peppers and their rotation: create, fill with hashes, hand out to clients, accept during the overlap, delete.

The timestamps of a pepper give its state:

| state      | current_at | answers_until | gone_at | clients get it | lookups are answered | new associations are hashed |
|------------|------------|---------------|---------|----------------|----------------------|-----------------------------|
| filling    |            |               |         | no             | no                   | yes                         |
| current    | set        |               |         | yes            | yes                  | yes                         |
| answering  | set        | future        |         | no             | yes                  | yes                         |
| ending     | set        | past          |         | no             | no                   | yes                         |
| emptying   | set        | past          | set     | no             | no                   | no                          |

A pepper becomes current when all its hashes exist, so that lookups find every association. Filling and emptying use short
transactions, each of which stores its progress, so that a process can be killed at any time. One process at a time does the
work and holds a lease for it.
"""

import asyncio
import contextlib
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

import structlog

from threepid.clock import DAY, HOUR, MINUTE, SECOND, SKEW
from threepid.config import Identity
from threepid.domain import audit
from threepid.domain.context import Context
from threepid.domain.origin import Origin
from threepid.storage import associations, peppers
from threepid.storage.engine.database import StorageError, Tx
from threepid.storage.peppers import Pepper

_log = structlog.get_logger()

LENGTH: Final = 24
"""Number of letters and digits of a pepper: 142 bits."""
BATCH: Final = 100
"""Number of hashes that one transaction writes or deletes. It takes two milliseconds, which a request may have to wait."""
LARGE_BATCH: Final = 2_000
"""Number of hashes in one transaction before the server answers requests."""
LEASE: Final = 3 * SECOND
"""How long a killed process can block the work."""
GRACE: Final = MINUTE
"""How long hashes stay after `answers_until`, for other processes' clocks and lookups in progress."""
POLL_SECONDS: Final = 2.0
"""Interval at which a process looks for work of the schedule or of other processes."""
_ALPHANUMERIC: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class State(Enum):
    """The rows of the table above."""

    FILLING = auto()
    CURRENT = auto()
    ANSWERING = auto()
    ENDING = auto()
    EMPTYING = auto()


class Work(Enum):
    """The result of an attempt to work."""

    NONE = auto()
    """There is nothing to do."""
    SOME = auto()
    """Some was done, and there may be more."""
    ELSEWHERE = auto()
    """Another process is doing it."""


def state_of(pepper: Pepper, now: int) -> State:
    """The state of a pepper at `now`."""
    if pepper.gone_at is not None:
        return State.EMPTYING
    if pepper.current_at is None:
        return State.FILLING
    if pepper.answers_until is None:
        return State.CURRENT
    return State.ANSWERING if now < pepper.answers_until else State.ENDING


class Peppers:
    """The peppers of the identity server."""

    def __init__(self, context: Context, settings: Identity) -> None:
        """`settings` hold the schedule and the overlap."""
        self._context = context
        self._settings = settings
        self._worker = context.entropy.token(count=12)

    async def start(self) -> None:
        """Make sure that there is a current pepper. Returns when there is."""
        if await self._context.database.read(peppers.current) is None:
            await self.begin(lambda _: None)  # the first pepper is no change
        while await self._context.database.read(peppers.current) is None:
            if await self.work(LARGE_BATCH) is not Work.SOME:
                await asyncio.sleep(0.1)

    async def all_of(self) -> list[Pepper]:
        """All peppers, oldest first."""
        return await self._context.database.read(peppers.all_of)

    async def filling(self) -> Pepper | None:
        """The pepper that is being filled, or None."""
        now = self._context.clock.now()
        return next((one for one in await self.all_of() if state_of(one, now) is State.FILLING), None)

    async def count_associations(self) -> int:
        """Approximate number of hashes that a new pepper will have."""
        return await self._context.database.read_aside(associations.count)

    async def begin(self, note: Callable[[Tx], None]) -> bool:
        """Begin a rotation with a new pepper; False if another one is being filled. `note` notes it in the same transaction."""
        return await self._insert(self._context.entropy.letters(LENGTH, _ALPHANUMERIC), note)

    async def _insert(self, pepper: str, note: Callable[[Tx], None]) -> bool:
        now = self._context.clock.now()

        def step(tx: Tx) -> bool:
            is_new = peppers.insert(tx, pepper, now)
            if is_new:
                note(tx)
            return is_new

        return await self._context.database.write(step)

    async def adopt(self, pepper: str, note: Callable[[Tx], None]) -> bool:
        """Make another server's pepper the current one, so that its clients can go on with it. Returns when it is.

        False, and no change, if it was adopted before, even if another one is current by now.
        """
        adopted = False
        while True:
            found = await self.all_of()
            if any(one.pepper == pepper and one.current_at is not None for one in found):
                return adopted
            adopted = True
            if not any(one.current_at is None for one in found):
                await self._insert(pepper, note)
            elif await self.work(LARGE_BATCH) is not Work.SOME:
                await asyncio.sleep(0.1)

    async def work(self, count: int = BATCH) -> Work:
        """Do one transaction of work with `count` hashes: fill a new pepper, or end or empty an old one."""
        now = self._context.clock.now()
        if _job(await self.all_of(), now) is None:
            return Work.NONE
        return await self._context.database.write_aside(lambda tx: self._work(tx, now, count))

    async def work_and_rest(self) -> Work:
        """Like `work`, then sleep half as long: on SQLite, other processes cannot write during the work."""
        began = self._context.clock.monotonic()
        done = await self.work()
        if done is Work.SOME:
            await asyncio.sleep((self._context.clock.monotonic() - began) / 2)
        return done

    async def run(self, stop: asyncio.Event) -> None:
        """Rotate peppers by the schedule in the background until `stop` is set."""
        while not stop.is_set():
            try:
                await self._begin_if_due()
                # No sleep between batches: other writes of this process join the same commits, and other processes get their
                # turn mostly within 40 ms. Schedulers prefer threads that slept, so with a sleep requests waited longer.
                if await self.work() is Work.SOME:
                    continue
            except StorageError as error:
                _log.warning("peppers_not_rotated", cause=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POLL_SECONDS)

    async def _begin_if_due(self) -> None:
        if not self._settings.pepper_days:
            return
        now = self._context.clock.now()
        found = {state_of(one, now): one for one in await self.all_of()}
        current = found.get(State.CURRENT)
        if State.FILLING in found or current is None or current.current_at is None:
            return
        # A pepper whose `current_at` lies in the future, because the clock was ahead, is due at once.
        due = not current.current_at - SKEW <= now < current.current_at + self._settings.pepper_days * DAY
        if due and await self.begin(lambda tx: self._note_rotation(tx, now)):
            _log.info("pepper_rotation_began")

    def _note_rotation(self, tx: Tx, now: int) -> None:
        event, by = audit.Event.PEPPER_ROTATION_BEGAN, audit.CallerKind.SERVER
        audit.note(tx, self._context, event, "", Origin(now), by=by)

    def _work(self, tx: Tx, now: int, count: int) -> Work:
        job = _job(peppers.all_of(tx), now)
        if job is None:
            return Work.NONE
        pepper, state = job
        if not peppers.claim(tx, pepper.number, self._worker, now=now, leased_until=now + LEASE):
            return Work.ELSEWHERE
        # The previous holder of the lease may have finished while this waited for it, so read the state again.
        for again in peppers.all_of(tx):
            if again.number == pepper.number and state_of(again, now) is state:
                _STEPS[state](self, tx, again, now, count)
        return Work.SOME

    def _fill(self, tx: Tx, pepper: Pepper, now: int, count: int) -> None:
        if not peppers.fill(tx, pepper, count):
            overlap = self._settings.pepper_overlap_hours * HOUR
            peppers.make_current(tx, pepper.number, now=now, answers_until=now + overlap)

    def _end(self, tx: Tx, pepper: Pepper, now: int, _count: int) -> None:
        peppers.end(tx, pepper.number, now)

    def _empty(self, tx: Tx, pepper: Pepper, _now: int, count: int) -> None:
        peppers.delete_some(tx, pepper.number, count)


_STEPS: Final[dict[State, Callable[[Peppers, Tx, Pepper, int, int], None]]] = {
    State.FILLING: Peppers._fill,  # noqa: SLF001 - the table of its own work
    State.ENDING: Peppers._end,  # noqa: SLF001 - likewise
    State.EMPTYING: Peppers._empty,  # noqa: SLF001 - likewise
}


def _job(found: list[Pepper], now: int) -> tuple[Pepper, State] | None:
    """The pepper to work on and its state: first a new pepper, then old ones."""
    states = [(one, state_of(one, now)) for one in found]
    for state in (State.FILLING, State.EMPTYING):
        for one, its_state in states:
            if its_state is state:
                return one, state
    for one, its_state in states:
        if its_state is State.ENDING and one.answers_until is not None and now >= one.answers_until + GRACE:
            return one, its_state
    return None
