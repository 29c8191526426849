"""Which messages may leave now: so many at once, to one destination and for one caller, and none to where nothing arrives.

What is slow costs only a connection. So a delivery counts among those at once for a moment only, and what waits for an answer to
a message that was handed over does not count for its destination.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from threepid.clock import MINUTE, SECOND, Clock
from threepid.delivery.attempt import Attempt
from threepid.storage.outbox import Waiting

AT_ONCE: Final = 8
"""Deliveries that are young at the same time: a relay is not to be overrun."""
YOUNG_SECONDS: Final = 0.5
"""How long a delivery is young. One that takes longer waits for somebody, and the next may begin."""
MOST: Final = 48
"""Deliveries under way at the same time. Each has a connection, and Postfix allows 50 for a client unless told otherwise."""
TO_ONE_DESTINATION: Final = 8
"""Messages that are being handed over to one destination at the same time."""
OF_ONE: Final = MOST // 2
"""Deliveries under way to one destination, and for one caller: others always find room."""
RESTS: Final = (5 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE)
"""How long a destination is left alone after the first failure, the second, and so on."""
_KNOWN: Final = 1_000
"""Destinations that are remembered: their names come from strangers."""


class _Rest(Struct, frozen=True):
    since: int
    pause: int
    failures: int

    def left(self, now: int) -> int:
        # A clock that was set back must not make a rest longer than it was to be.
        return self.pause - (now - self.since) if 0 <= now - self.since < self.pause else 0


class Rests:
    """Destinations that could not be reached. After its rest one message tries whether a destination is back."""

    def __init__(self, clock: Clock) -> None:
        """No destination rests yet."""
        self._clock = clock
        self._known: dict[str, _Rest] = {}

    def __len__(self) -> int:
        """How many destinations are remembered."""
        return len(self._known)

    def begin(self, destination: str, pause: int = 0) -> None:
        """It could not be reached: leave it alone for `pause` milliseconds, or longer if it failed several times."""
        now = self._clock.now()
        known = self._known.pop(destination, None)
        if known is not None and known.left(now) and pause <= known.left(now):
            self._known[destination] = (
                known  # what was begun before the rest failed as well: that is no further failure
            )
            return
        failures = known.failures + 1 if known else 1
        if len(self._known) >= _KNOWN:
            self._known = {name: rest for name, rest in self._known.items() if rest.left(now)}
        while len(self._known) >= _KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[destination] = _Rest(now, max(pause, RESTS[min(failures, len(RESTS)) - 1]), failures)

    def end(self, destination: str) -> None:
        """It was reached."""
        self._known.pop(destination, None)

    def left(self, destination: str) -> int:
        """How many milliseconds it is still left alone."""
        known = self._known.get(destination)
        return known.left(self._clock.now()) if known else 0

    def most(self) -> dict[str, int]:
        """How many messages may be under way to those that failed: none while they rest, then one."""
        now = self._clock.now()
        return {name: 0 if rest.left(now) else 1 for name, rest in self._known.items()}


class Gaps:
    """What may be begun, destination by destination and caller by caller; `take` makes it less."""

    def __init__(self, attempts: Iterable[Attempt], most: dict[str, int]) -> None:
        """Count what is under way; `most` are the destinations with another limit than the usual one."""
        self._most = most
        self._handing = Counter[str]()
        self._to = Counter[str]()
        self._for = Counter[str]()
        for attempt in attempts:
            self._add(attempt.order.destination, attempt.order.caller, handed_over=attempt.handed_over)

    def copy(self) -> "Gaps":
        """The same, to be taken from."""
        made = Gaps((), self._most)
        made._handing, made._to, made._for = Counter(self._handing), Counter(self._to), Counter(self._for)
        return made

    @property
    def closed_destinations(self) -> list[str]:
        """Destinations that get nothing now."""
        return [name for name in {*self._most, *self._to} if not self._is_open(name)]

    @property
    def closed_callers(self) -> list[str]:
        """Callers for whom nothing is begun now."""
        return [name for name, count in self._for.items() if count >= OF_ONE]

    def take(self, waiting: Waiting) -> bool:
        """May this message be begun? Then it counts."""
        if not self._is_open(waiting.destination) or self._for[waiting.caller] >= OF_ONE:
            return False
        self._add(waiting.destination, waiting.caller, handed_over=False)
        return True

    def _is_open(self, destination: str) -> bool:
        if destination in self._most:
            return self._to[destination] < self._most[destination]
        return self._handing[destination] < TO_ONE_DESTINATION and self._to[destination] < OF_ONE

    def _add(self, destination: str, caller: str, *, handed_over: bool) -> None:
        self._to[destination] += 1
        if not handed_over:
            self._handing[destination] += 1
        if caller:
            self._for[caller] += 1


class Traffic:
    """What is under way."""

    def __init__(self, clock: Clock) -> None:
        """Nothing is."""
        self._clock = clock
        self._under_way: set[Attempt] = set()
        self.rests = Rests(clock)
        """Where nothing is sent at the moment."""

    def begin(self, attempt: Attempt) -> None:
        """Something leaves."""
        self._under_way.add(attempt)

    def end(self, attempt: Attempt) -> None:
        """It has arrived, or has not."""
        self._under_way.discard(attempt)

    @property
    def ids(self) -> set[str]:
        """The messages that are under way."""
        return {attempt.order.id for attempt in self._under_way}

    def room(self) -> int:
        """How many deliveries may begin now."""
        return max(0, min(AT_ONCE - len(self._ages()), MOST - len(self._under_way)))

    def seconds_until_room(self, at_most: float) -> float:
        """When one of those under way stops being young, if that makes room."""
        ages = self._ages()
        return min(at_most, YOUNG_SECONDS - max(ages)) if len(ages) >= AT_ONCE else at_most

    def gaps(self) -> Gaps:
        """What may be begun now."""
        return Gaps(self._under_way, self.rests.most())

    def _ages(self) -> list[float]:
        now = self._clock.monotonic()
        return [age for attempt in self._under_way if (age := now - attempt.began) < YOUNG_SECONDS]
