"""Calls to other identity servers: unbind addresses that were bound there."""

from typing import Final

from threepid.clock import HOUR, MINUTE
from threepid.delivery.errors import DeliveryError
from threepid.delivery.job import JobType, doubling
from threepid.domain.contacts.unbind_requests import CHANNEL, UnbindRequests
from threepid.remote.guard import RemoteError, RemoteRefused
from threepid.storage.outbox import ClaimedJob

PAUSES: Final = doubling(2 * MINUTE, 6 * HOUR)


def unbinds(service: UnbindRequests) -> JobType:
    """The job type of these calls: growing pauses if the identity server is unreachable, no retry if it rejects the call."""

    async def ask(job: ClaimedJob) -> None:
        try:
            await service.repeat(job)
        except RemoteRefused as error:
            raise DeliveryError(str(error), retry=False) from error
        except RemoteError as error:
            raise DeliveryError(error.cause, retry=True, rest=0) from error

    return JobType(CHANNEL, ask, PAUSES)
