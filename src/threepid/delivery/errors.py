"""Errors of deliveries. Each says whether and when to try again."""

import socket
import ssl
from collections.abc import Sequence

from threepid.delivery.outcome import Cause, Failure


def reason(error: Exception) -> str:
    """The name of an error of a connection: with what OpenSSL or the resolver says, without a URL or address."""
    name = type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{name}: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"{name}: {error.reason.lower().replace('_', ' ')}"
    if isinstance(error, socket.gaierror) and error.strerror:
        return f"{name}: {error.strerror}"
    return name


class DeliveryError(Exception):
    """A message was not delivered, as far as known. The text is for operators and contains no address and no secret."""

    def __init__(
        self,
        text: str,
        *,
        retry: bool,
        after: int = 0,
        rest: int | None = None,
        cause: Cause = Cause.INTERNAL,
        failures: Sequence[Failure] = (),
    ) -> None:
        """`retry` is whether to try again, not sooner than after `after` milliseconds.

        `rest`, if not None, means that the destination failed, not the message: nothing is sent there for `rest`
        milliseconds, or for the pause in `traffic.RESTS` if that is longer. `failures` are those at each relay or gateway.
        """
        super().__init__(text)
        self.retry = retry
        self.after = after
        self.rest = rest
        self.cause = cause
        self.failures = tuple(failures)


class RelayDown(DeliveryError):
    """The relay itself failed, before it accepted the sender of a mail: the next mail would not fare better there."""


class SenderRefused(DeliveryError):
    """The relay rejects the sender for good. Another relay may accept it."""


class InDoubt(DeliveryError):
    """The message may have arrived, so no other relay or gateway gets it."""
