"""Peppers: made, filled with hashes beside the one in use, told to clients, answered for a while, and forgotten.

The state of a pepper is in its timestamps:

| state      | current_at | answers_until | gone_at | clients are told it | lookups are answered | what is published is hashed |
|------------|------------|---------------|---------|---------------------|----------------------|-----------------------------|
| filling    |            |               |         | no                  | no                   | yes                         |
| current    | set        |               |         | yes                 | yes                  | yes                         |
| answering  | set        | to come       |         | no                  | yes                  | yes                         |
| ending     | set        | past          |         | no                  | no                   | yes                         |
| emptying   | set        | past          | set     | no                  | no                   | no                          |

A pepper becomes current when all its hashes are there, so no lookup misses what it should find. Filling and emptying go in
short transactions of some hundred hashes; each one says how far it came, so that it does not matter where a process is killed.
One process at a time does the work: it holds a lease.
"""

import asyncio
import contextlib
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

import structlog

from threepid.clock import DAY, HOUR, MINUTE, SECOND, SKEW
from threepid.config import Identity
from threepid.domain.context import Context
from threepid.storage import associations, peppers
from threepid.storage.engine.database import StorageError, Tx
from threepid.storage.peppers import Pepper

_log = structlog.get_logger()

LENGTH: Final = 24
"""Letters and digits of a pepper: 142 bits."""
BATCH: Final = 100
"""Hashes that one transaction makes or forgets: it is over in two milliseconds, for which an answer may have to wait."""
LARGE_BATCH: Final = 2_000
"""The same where nobody is answered yet."""
LEASE: Final = 3 * SECOND
"""How long a worker that died keeps others from its work."""
GRACE: Final = MINUTE
"""How long hashes stay after the last lookup that they answer: for clocks that differ, and answers that are under way."""
POLL_SECONDS: Final = 2.0
"""How soon work is seen that another process began, or the schedule wants."""
_ALPHANUMERIC: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class State(Enum):
    """The rows of the table above."""

    FILLING = auto()
    CURRENT = auto()
    ANSWERING = auto()
    ENDING = auto()
    EMPTYING = auto()


class Work(Enum):
    """What became of an attempt to do some work."""

    NONE = auto()
    """There is nothing to do."""
    SOME = auto()
    """Some was done, and there may be more."""
    ELSEWHERE = auto()
    """Another process is doing it."""


def state_of(pepper: Pepper, now: int) -> State:
    """Where a pepper stands."""
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
        """Rotate as `settings` say."""
        self._context = context
        self._settings = settings
        self._worker = context.entropy.token(count=12)

    async def start(self) -> None:
        """See that there is a current pepper; returns when there is."""
        if await self._context.database.read(peppers.current) is None:
            await self.begin()
        while await self._context.database.read(peppers.current) is None:
            if await self.work(LARGE_BATCH) is not Work.SOME:
                await asyncio.sleep(0.1)

    async def all_of(self) -> list[Pepper]:
        """All peppers, oldest first."""
        return await self._context.database.read(peppers.all_of)

    async def filling(self) -> Pepper | None:
        """The pepper that is being filled."""
        now = self._context.clock.now()
        return next((one for one in await self.all_of() if state_of(one, now) is State.FILLING), None)

    async def count_associations(self) -> int:
        """How many hashes a new pepper will have, about."""
        return await self._context.database.read_aside(associations.count)

    async def begin(self) -> bool:
        """Begin with a new pepper; False if there is one already that is being filled."""
        pepper = self._context.entropy.letters(LENGTH, _ALPHANUMERIC)
        now = self._context.clock.now()
        return await self._context.database.write(lambda tx: peppers.insert(tx, pepper, now))

    async def work(self, count: int = BATCH) -> Work:
        """Do what one transaction can with `count` hashes: fill a new pepper, or empty one that has ended."""
        now = self._context.clock.now()
        if _job(await self.all_of(), now) is None:
            return Work.NONE
        return await self._context.database.write_aside(lambda tx: self._work(tx, now, count))

    async def work_and_rest(self) -> Work:
        """The same, and then half as much time for other processes: on SQLite they cannot write meanwhile."""
        began = self._context.clock.monotonic()
        done = await self.work()
        if done is Work.SOME:
            await asyncio.sleep((self._context.clock.monotonic() - began) / 2)
        return done

    async def run(self, stop: asyncio.Event) -> None:
        """Rotate by the schedule and do all work, in the background, until `stop` is set."""
        while not stop.is_set():
            try:
                await self._begin_if_due()
                # Without a rest: what else this process writes comes along in the same commits, and others get in between,
                # mostly within 40 ms. A scheduler prefers threads that slept, so answers waited longer for work that did.
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
        # One that became current by a clock that was ahead would stay so for as long as that was.
        due = not current.current_at - SKEW <= now < current.current_at + self._settings.pepper_days * DAY
        if due and await self.begin():
            _log.info("pepper_rotation_began")

    def _work(self, tx: Tx, now: int, count: int) -> Work:
        job = _job(peppers.all_of(tx), now)
        if job is None:
            return Work.NONE
        pepper, state = job
        if not peppers.claim(tx, pepper.number, self._worker, now=now, leased_until=now + LEASE):
            return Work.ELSEWHERE
        # Who had it before may have come further while this waited for the claim.
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
    """What is to be worked on: first a new pepper, then old ones."""
    states = [(one, state_of(one, now)) for one in found]
    for state in (State.FILLING, State.EMPTYING):
        for one, its_state in states:
            if its_state is state:
                return one, state
    for one, its_state in states:
        if its_state is State.ENDING and one.answers_until is not None and now >= one.answers_until + GRACE:
            return one, its_state
    return None
