"""Limits on deliveries in progress: in total, to one destination and for one caller, and none to an unreachable destination.

A slow delivery costs only a connection. So a delivery counts towards AT_ONCE for its first moments only, and a message that was
handed over and awaits its answer does not count towards TO_ONE_DESTINATION.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from threepid.clock import MINUTE, SECOND, Clock
from threepid.delivery.attempt import Attempt
from threepid.delivery.job import JobType
from threepid.storage.outbox import Waiting

AT_ONCE: Final = 8
"""Maximum number of young deliveries: more would overrun a relay."""
YOUNG_SECONDS: Final = 0.5
"""Seconds for which a delivery is young. A longer one is waiting for the other side, so the next may begin."""
MOST: Final = 48
"""Maximum number of deliveries in progress. Each has a connection, and Postfix allows a client 50 by default."""
TO_ONE_DESTINATION: Final = 8
"""Maximum number of messages being handed over to one destination."""
OF_ONE: Final = MOST // 2
"""Maximum number of deliveries in progress to one destination, and for one caller, which leaves room for others."""
RESTS: Final = (5 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE)
"""Pauses of a destination, in milliseconds, after its first failure, its second, and so on."""
_KNOWN: Final = 1_000
"""Maximum number of remembered destinations: anybody can name destinations, so memory must be bounded."""


class _Rest(Struct, frozen=True):
    since: int
    pause: int
    failures: int

    def left(self, now: int) -> int:
        # A clock that was set back must not prolong the pause.
        return self.pause - (now - self.since) if 0 <= now - self.since < self.pause else 0


class Rests:
    """Pauses of unreachable destinations. After its pause, a destination gets one message as a trial."""

    def __init__(self, clock: Clock) -> None:
        """No destination is paused yet."""
        self._clock = clock
        self._known: dict[str, _Rest] = {}

    def __len__(self) -> int:
        """Number of remembered destinations."""
        return len(self._known)

    def begin(self, destination: str, pause: int = 0) -> None:
        """Pause an unreachable destination for `pause` milliseconds, or longer after several failures."""
        now = self._clock.now()
        known = self._known.pop(destination, None)
        if known is not None and known.left(now) and pause <= known.left(now):
            # A delivery that began before the pause failed as well, which is not a further failure.
            self._known[destination] = known
            return
        failures = known.failures + 1 if known else 1
        if len(self._known) >= _KNOWN:
            self._known = {name: rest for name, rest in self._known.items() if rest.left(now)}
        while len(self._known) >= _KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[destination] = _Rest(now, max(pause, RESTS[min(failures, len(RESTS)) - 1]), failures)

    def end(self, destination: str) -> None:
        """End the pauses of a destination that was reached."""
        self._known.pop(destination, None)

    def left(self, destination: str) -> int:
        """Milliseconds left of the pause of a destination."""
        known = self._known.get(destination)
        return known.left(self._clock.now()) if known else 0

    def most(self) -> dict[str, int]:
        """Maximum number of deliveries to each destination that failed: none during its pause, then one."""
        now = self._clock.now()
        return {name: 0 if rest.left(now) else 1 for name, rest in self._known.items()}


class Gaps:
    """The room for further deliveries, by destination, caller and channel; `take` uses it up."""

    def __init__(self, attempts: Iterable[Attempt], most: dict[str, int], types: Mapping[str, JobType]) -> None:
        """Count `attempts`, which are in progress; `most` has the limits of destinations that failed."""
        self._most = most
        self._types = types
        self._handing = Counter[str]()
        self._to = Counter[str]()
        self._for = Counter[str]()
        self._by = Counter[str]()
        for attempt in attempts:
            job = attempt.job
            self._add(job.channel, job.destination, job.caller, handed_over=attempt.handed_over)

    def copy(self) -> "Gaps":
        """A copy from which `take` can take."""
        made = Gaps((), self._most, self._types)
        made._handing, made._to = Counter(self._handing), Counter(self._to)
        made._for, made._by = Counter(self._for), Counter(self._by)
        return made

    @property
    def closed_destinations(self) -> list[str]:
        """Destinations to which no delivery may begin now."""
        return [name for name in {*self._most, *self._to} if not self._is_open(name.partition(":")[0], name)]

    @property
    def closed_callers(self) -> list[str]:
        """Callers for whom no delivery may begin now."""
        return [name for name, count in self._for.items() if count >= OF_ONE]

    @property
    def closed_channels(self) -> list[str]:
        """Channels on which no delivery may begin now."""
        return [channel for channel in self._by if self._is_full(channel)]

    @property
    def has_closed(self) -> bool:
        """Are there jobs that must be passed over?"""
        return bool(self.closed_destinations or self.closed_callers or self.closed_channels)

    def take(self, waiting: Waiting) -> bool:
        """May the delivery of this message begin? If so, it counts from now on."""
        if self._is_full(waiting.channel) or not self._is_open(waiting.channel, waiting.destination):
            return False
        if self._for[waiting.caller] >= OF_ONE:
            return False
        self._add(waiting.channel, waiting.destination, waiting.caller, handed_over=False)
        return True

    def _is_full(self, channel: str) -> bool:
        type_ = self._types.get(channel)
        return type_ is not None and type_.at_once is not None and self._by[channel] >= type_.at_once

    def _is_open(self, channel: str, destination: str) -> bool:
        if destination in self._most:
            return self._to[destination] < self._most[destination]
        type_ = self._types.get(channel)
        if type_ is not None and type_.to_one_destination is not None:
            return self._to[destination] < type_.to_one_destination
        return self._handing[destination] < TO_ONE_DESTINATION and self._to[destination] < OF_ONE

    def _add(self, channel: str, destination: str, caller: str, *, handed_over: bool) -> None:
        self._by[channel] += 1
        self._to[destination] += 1
        if not handed_over:
            self._handing[destination] += 1
        if caller:
            self._for[caller] += 1


class Traffic:
    """The deliveries in progress, and their limits."""

    def __init__(self, clock: Clock, types: Mapping[str, JobType]) -> None:
        """`types` may have limits of their own."""
        self._clock = clock
        self._types = types
        self._under_way: set[Attempt] = set()
        self.rests = Rests(clock)
        """The pauses of unreachable destinations."""

    def begin(self, attempt: Attempt) -> None:
        """Count a delivery that begins."""
        self._under_way.add(attempt)

    def end(self, attempt: Attempt) -> None:
        """Stop counting a delivery that has ended."""
        self._under_way.discard(attempt)

    @property
    def ids(self) -> set[str]:
        """IDs of the messages in progress."""
        return {attempt.job.id for attempt in self._under_way}

    def room(self) -> int:
        """Number of deliveries that may begin now."""
        return max(0, min(AT_ONCE - len(self._ages()), MOST - len(self._under_way)))

    def seconds_until_room(self, at_most: float) -> float:
        """Seconds until a young delivery stops being young, if only that makes room; else `at_most`."""
        ages = self._ages()
        return min(at_most, YOUNG_SECONDS - max(ages)) if len(ages) >= AT_ONCE else at_most

    def gaps(self) -> Gaps:
        """The room for further deliveries now."""
        return Gaps(self._under_way, self.rests.most(), self._types)

    def _ages(self) -> list[float]:
        now = self._clock.monotonic()
        return [age for attempt in self._under_way if not attempt.done and (age := now - attempt.began) < YOUNG_SECONDS]
