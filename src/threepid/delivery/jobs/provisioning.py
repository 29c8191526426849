"""Calls to the homeserver beside us: accounts, contacts and devices, as `domain/accounts/provisioning_jobs.py` says."""

from typing import Final

from threepid.clock import MINUTE, SECOND
from threepid.delivery.errors import DeliveryError
from threepid.delivery.job import JobType, doubling
from threepid.domain.accounts.provisioning_jobs import CHANNEL, BusyHere, ProvisioningJobs
from threepid.remote.guard import RemoteError, RemoteRefused
from threepid.storage.outbox import ClaimedJob

AT_ONCE: Final = 8
PAUSES: Final = doubling(2 * SECOND, 5 * MINUTE)
"""The homeserver is near, and tokens of deleted devices live there until it has learned of them: so at most a few minutes."""


def provisioning_jobs(service: ProvisioningJobs) -> JobType:
    """The job type of these calls: one at a time for an account, repeated until the homeserver is back."""

    async def call(job: ClaimedJob) -> None:
        try:
            await service.carry_out(job)
        except BusyHere as error:
            raise DeliveryError("another call of this account is under way", retry=True) from error
        except RemoteRefused as error:
            raise DeliveryError(str(error), retry=False) from error
        except RemoteError as error:
            raise DeliveryError(error.cause, retry=True) from error

    return JobType(CHANNEL, call, PAUSES, at_once=AT_ONCE, to_one_destination=1)
