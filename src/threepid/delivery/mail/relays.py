"""The relays of the configuration in their order, and their health: one that failed several times rests, and the next is asked.

Health is kept in memory: each process finds out for itself, which costs a few attempts, and a restart tries every relay again.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from threepid.clock import SECOND, Clock
from threepid.delivery.errors import DeliveryError, RelayDown
from threepid.delivery.traffic import Rests
from threepid.storage.outbox import ClaimedJob

_log = structlog.get_logger()

FAILURES: Final = 3
"""Number of failures in a row after which a relay rests: a restart of a relay causes one or two, and should cost no change."""


class Transport(Protocol):
    """One way to send mails."""

    name: str
    """Its name in logs and metrics."""

    async def send(self, job: ClaimedJob, content: bytes) -> None:
        """Send the mail to `job.recipient`. Raises DeliveryError, and RelayDown if the relay failed and not the mail."""
        ...


class Relay:
    """One relay and its health."""

    def __init__(self, transport: Transport, rests: Rests, place: int) -> None:
        """`place` tells relays of the same name apart."""
        self.name = transport.name
        self._transport = transport
        self._rests = rests
        self._key = f"{place} {transport.name}"
        self._failures = 0
        self._is_on_trial = False

    @property
    def is_resting(self) -> bool:
        """Should mails go to another relay? After its pause, a relay gets one mail as a trial, and rests for all others."""
        return self._failures >= FAILURES and (self._is_on_trial or self._rests.left(self._key) > 0)

    async def send(self, job: ClaimedJob, content: bytes) -> None:
        """Send the mail. Raises DeliveryError."""
        is_trial = self._failures >= FAILURES and not self._is_on_trial
        self._is_on_trial |= is_trial
        try:
            await self._transport.send(job, content)
        except RelayDown as failure:
            self._note_failure(failure)
            raise
        except DeliveryError:
            self._note_reached()  # what failed then is the mail, or its recipient
            raise
        else:
            self._note_reached()
        finally:
            if is_trial:
                self._is_on_trial = False

    def _note_failure(self, failure: RelayDown) -> None:
        self._failures += 1
        if self._failures < FAILURES:
            return
        had = self._rests.left(self._key)
        self._rests.begin(self._key)
        if not had:
            _log.warning(
                "relay_rests", relay=self.name, cause=str(failure), seconds=self._rests.left(self._key) // SECOND
            )

    def _note_reached(self) -> None:
        if self._failures >= FAILURES:
            _log.info("relay_is_back", relay=self.name)
        self._failures = 0
        self._rests.end(self._key)


class Relays:
    """The relays in their order."""

    def __init__(self, transports: Sequence[Transport], clock: Clock) -> None:
        """No relay rests yet."""
        rests = Rests(clock)
        self._relays = [Relay(transport, rests, place) for place, transport in enumerate(transports)]

    def in_order(self) -> list[Relay]:
        """The relays that do not rest; all of them if all rest, because a message must not wait for a guess about health."""
        return [relay for relay in self._relays if not relay.is_resting] or self._relays

    def named(self, name: str) -> list[Relay]:
        """The relay with this name, resting or not; none if it is no longer configured."""
        return [relay for relay in self._relays if relay.name == name][:1]
