"""Calls to homeservers: notify them of invitations that waited for an address of one of their users."""

from typing import Final

from threepid.clock import HOUR, SECOND
from threepid.delivery.errors import DeliveryError
from threepid.delivery.job import JobType, doubling
from threepid.domain.identity.callbacks import CHANNEL, Callbacks
from threepid.remote.guard import RemoteError
from threepid.storage.outbox import ClaimedJob

AT_ONCE: Final = 4
"""Maximum number of concurrent calls: fewer than the worker's own limits, to leave room for mails."""
PAUSES: Final = doubling(15 * SECOND, 6 * HOUR)


def callbacks(service: Callbacks) -> JobType:
    """The job type of these calls: one at a time to each homeserver, with growing pauses if it is unreachable.

    Anybody can name a homeserver, so calls that hang must not take the room of mails.
    """

    async def call(job: ClaimedJob) -> None:
        try:
            await service.hand_over(job)
        except RemoteError as error:
            raise DeliveryError(error.cause, retry=True, rest=PAUSES.after(job.attempts)) from error

    return JobType(CHANNEL, call, PAUSES, at_once=AT_ONCE, to_one_destination=1)
