"""How much is too much: the limits of the configuration, by what they are about."""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from threepid.clock import HOUR
from threepid.config import Limit
from threepid.domain.context import Context
from threepid.spec.errors import LimitExceeded
from threepid.storage import limits
from threepid.storage.database import Tx

_NETWORK_BITS: Final = 64
"""What one IPv6 customer has at least: single addresses of it are not told apart."""


def take_message(tx: Tx, context: Context, *, medium: str, canonical: str, client: str) -> None:
    """Count a message to an address that a caller causes. Raises LimitExceeded; then nothing is counted."""
    settings = context.config.limits
    for key, limit in (
        (f"message to {medium} {canonical}", settings.message_to_address),
        (f"message from {network_of(client)}", settings.message_from_client),
        ("message", settings.message_total),
    ):
        _take(tx, context, key, limit)


def network_of(client: str) -> str:
    """What counts as one caller: an IPv4 address, or the first 64 bits of an IPv6 address."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _NETWORK_BITS), strict=False))
    return str(address)


def _take(tx: Tx, context: Context, key: str, limit: Limit) -> None:
    if context.config.limits.all == "off":
        return
    wait = limits.take(
        tx,
        context.vault.hash_limit_key(key),
        now=context.clock.now(),
        interval=max(1, round(HOUR / limit.per_hour)),
        burst=limit.burst,
    )
    if wait:
        raise LimitExceeded(wait, "There were too many messages lately: please wait a little.")
