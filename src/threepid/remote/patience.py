"""How long the server waits for other servers: all the limits in one place, given at construction."""

from typing import Final

from msgspec import Struct


class Patience(Struct, frozen=True, kw_only=True):
    """Time limits in seconds."""

    dns: float = 5.0
    """One question with all its retries."""
    srv: float = 4.0
    """The place of a homeserver in DNS."""
    connect: float = 5.0
    """A connection to one address."""
    call: float = 15.0
    """A whole call, from the question for its name to the last byte of the answer."""
    well_known: float = 6.0
    """`.well-known` with its redirects."""
    federation: float = 20.0
    """A request to a homeserver: finding the server, trying its places, and its answer."""
    unbind: float = 5.0
    """What a caller's request waits for other identity servers, for all of them together."""


PATIENCE: Final = Patience()
"""The limits of a server; tests give shorter ones."""
