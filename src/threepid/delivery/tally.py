"""Running totals of deliveries, which `background` copies into the metrics."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from threepid.delivery.errors import DeliveryError
from threepid.delivery.outcome import Cause, Receipt
from threepid.domain.addresses import Email, Phone
from threepid.storage.outbox import ClaimedJob

_MEDIA: Final[Mapping[str, str]] = {Email.channel: Email.medium, Phone.channel: Phone.medium}
CALL: Final = "call"
"""What metrics call the medium of a request to another server."""


class Tally:
    """The totals, by medium, relay and cause. An empty relay means that the message reached none."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self.sent: Counter[tuple[str, str]] = Counter()
        """Messages delivered, by medium and relay."""
        self.failed: Counter[tuple[str, str, str]] = Counter()
        """Messages given up, by medium, the relay that was asked last, and cause."""
        self.failures: Counter[tuple[str, str, str]] = Counter()
        """Attempts at a relay that failed, by medium, relay and cause."""

    def note_sent(self, job: ClaimedJob, receipt: Receipt | None) -> None:
        """Count a delivery, and the relays that were tried before."""
        medium = _medium(job.channel)
        self.sent[medium, receipt.relay if receipt else ""] += 1
        for failure in receipt.failures if receipt else ():
            self.failures[medium, failure.relay, failure.cause.value] += 1

    def note_failure(self, job: ClaimedJob, error: DeliveryError) -> None:
        """Count a failed attempt, and the message if it is given up."""
        medium = _medium(job.channel)
        for failure in error.failures:
            self.failures[medium, failure.relay, failure.cause.value] += 1
        if not error.retry:
            relay = error.failures[-1].relay if error.failures else ""
            self.failed[medium, relay, error.cause.value] += 1

    def note_expired(self, channels: Iterable[str]) -> None:
        """Count messages that expired, by their channels."""
        for channel in channels:
            self.failed[_medium(channel), "", Cause.EXPIRED.value] += 1


def _medium(channel: str) -> str:
    return _MEDIA.get(channel, CALL)
