"""What became of an attempt, in words that metrics can count: fixed ones, and names from the configuration."""

from enum import StrEnum

from msgspec import Struct


class Cause(StrEnum):
    """Why a relay or gateway did not take a message. Never a text from the network."""

    UNREACHABLE = "unreachable"
    """No connection, or it was lost before the message was handed over."""
    TLS = "tls"
    """No encryption with a certificate that matches."""
    LOGIN = "login"
    """The login failed."""
    TIMEOUT = "timeout"
    """It was too slow."""
    DEFERRED = "deferred"
    """It answered that it cannot take the message now."""
    REJECTED = "rejected"
    """It answered that it will not take the message."""
    DOUBT = "doubt"
    """It may have taken the message, but did not say so."""
    RESTING = "resting"
    """It failed just now, and was not asked."""
    EXPIRED = "expired"
    """The message expired before anything took it."""
    INTERNAL = "internal"
    """The failure is this server's own: a broken template, a full disk, a missing program."""


class Failure(Struct, frozen=True):
    """An attempt at one relay or gateway that failed."""

    relay: str
    """Its name in the configuration, such as `relay.example.org:587`."""
    cause: Cause
    text: str
    """The details for operators, without addresses and secrets."""

    def __str__(self) -> str:
        """One line."""
        return f"{self.relay}: {self.text}"


class Receipt(Struct, frozen=True):
    """A message that a relay or gateway took."""

    relay: str
    """The name of the one that took it."""
    failures: tuple[Failure, ...] = ()
    """Those that were tried before."""
