"""Job types: how the jobs of each channel are delivered."""

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from threepid.clock import MINUTE, SECOND
from threepid.delivery.outcome import Receipt
from threepid.storage.outbox import ClaimedJob

Handler = Callable[[ClaimedJob], Awaitable[Receipt | None]]
"""Delivers one job; returns what took it, if that has a name. Raises DeliveryError, which says whether to try again."""


class Backoff(Struct, frozen=True):
    """Pauses between the attempts of a job, in milliseconds; the last one repeats until the job expires."""

    pauses: tuple[int, ...]

    def after(self, attempts: int) -> int:
        """The pause after this number of attempts, at least one."""
        return self.pauses[min(attempts, len(self.pauses)) - 1]


def doubling(first: int, most: int) -> Backoff:
    """Pauses that double from `first` up to `most`."""
    pauses = [first]
    while pauses[-1] < most:
        pauses.append(min(2 * pauses[-1], most))
    return Backoff(tuple(pauses))


MESSAGES: Final = Backoff(
    (5 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE)
)
"""Pauses for messages, which people wait for."""


class JobType(Struct, frozen=True):
    """The properties of the jobs of one channel."""

    channel: str
    handler: Handler
    backoff: Backoff = MESSAGES
    at_once: int | None = None
    """Maximum number of jobs in progress; None = no limit of its own."""
    to_one_destination: int | None = None
    """Maximum number of jobs in progress to one destination; None = the limits of `traffic`."""
    ends_itself: bool = False
    """Does the handler end the job in its own transaction? Such a job reaches nobody itself, and does not count as sent."""
    close: Callable[[], Awaitable[None]] | None = None
    """Closes what the handler keeps open between jobs; the handler may open it again."""
