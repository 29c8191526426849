"""Notices to all contacts of an account, which are spread as a message to each."""

from threepid.delivery.job import JobType
from threepid.domain.accounts.notices import CHANNEL, Notices


def notices(service: Notices) -> JobType:
    """The job type of these notices."""
    return JobType(CHANNEL, service.spread, ends_itself=True)
