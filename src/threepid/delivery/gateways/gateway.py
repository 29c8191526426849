"""What a gateway is, and the error that says that an SMS may have been sent."""

from typing import Protocol

from threepid.delivery import errors
from threepid.delivery.outcome import Cause


class InDoubt(errors.InDoubt):
    """The SMS may have been sent: it is neither retried nor sent through another gateway."""

    def __init__(self, cause: str, *, rest: int | None = None) -> None:
        """`cause` and `rest` are those of DeliveryError."""
        super().__init__(
            f"{cause}: it may have been sent, so it is not tried again", retry=False, rest=rest, cause=Cause.DOUBT
        )


class Gateway(Protocol):
    """One way to send SMS."""

    name: str
    """Its name in logs and metrics."""

    async def send(self, to: str, text: str) -> None:
        """Send the SMS to the number `to`. Raises InDoubt if it may have been sent, any other DeliveryError if not."""
        ...
