"""Mails that a relay may have taken without saying so.

They are sent again, because a lost code costs a person more than a second copy, but by the same relay only: it may recognise the
second copy by its Message-ID, and another relay cannot. The name of the relay is kept with the error in the outbox, where every
worker finds it.
"""

import re
from typing import Final

from threepid.delivery.errors import DeliveryError
from threepid.delivery.outcome import Cause
from threepid.storage.outbox import ClaimedJob

_MARK: Final = re.compile(r"in doubt at (\S+): ")


def relay_in_doubt(job: ClaimedJob) -> str:
    """The name of the relay that may have the mail from an earlier attempt; '' if none has."""
    match = _MARK.match(job.last_error or "")
    return match[1] if match else ""


def error_to_keep(job: ClaimedJob, error: DeliveryError) -> str:
    """The text of `error` for the outbox, with the relay that may have the mail from this attempt or an earlier one."""
    relays = [failure.relay for failure in error.failures if failure.cause is Cause.DOUBT]
    relay = next(iter(relays), "") or relay_in_doubt(job)
    return f"in doubt at {relay}: {error}" if relay and error.retry else str(error)
