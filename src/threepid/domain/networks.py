"""The networks of callers, by which they are counted and recognised: docs/decisions/0011-who-a-limit-counts.md."""

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

_NETWORK_BITS: Final = 64
"""Prefix length of the smallest network of an IPv6 customer. Its single addresses are not told apart."""
_WIDER: Final = ((56, 4), (48, 16))
"""Prefix lengths of larger networks of IPv6 customers, each with its multiple of the limit of a /64."""


@lru_cache(maxsize=4096)
def networks_of(client: str) -> tuple[tuple[str, int], ...]:
    """The networks that a caller counts in, the smallest first, each with its multiple of the limit."""
    try:
        address = ip_address(client)
    except ValueError:
        return ((client, 1),)
    if not isinstance(address, IPv6Address):
        return ((str(address), 1),)
    if address.ipv4_mapped is not None:
        return ((str(address.ipv4_mapped), 1),)
    return tuple(
        (str(IPv6Network((int(address), bits), strict=False)), times) for bits, times in ((_NETWORK_BITS, 1), *_WIDER)
    )


def network_of(client: str) -> str:
    """The network that counts as one caller: an IPv4 address or an IPv6 /64."""
    return networks_of(client)[0][0]


@lru_cache(maxsize=4096)
def known_network(client: str) -> str | None:
    """The network by which an account recognises a caller; None for callers without an IP address, who all look the same."""
    try:
        ip_address(client)
    except ValueError:
        return None
    return network_of(client)


def site_of(client: str) -> str:
    """The largest network of a caller: an IPv4 address or an IPv6 /48."""
    return networks_of(client)[-1][0]
