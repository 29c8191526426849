"""Decides by our own table which addresses belong to the public internet.

`ipaddress.is_global` takes 6to4, NAT64 and IPv4-compatible forms of loopback for global addresses.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

Address = IPv4Address | IPv6Address

_FORBIDDEN_V4: Final = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_GLOBAL_V6: Final = ip_network("2000::/3")
_FORBIDDEN_V6: Final = tuple(
    ip_network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)


def is_public(address: Address) -> bool:
    """Is this an address of the public internet, after unwrapping an IPv4 address inside IPv6?"""
    if isinstance(address, IPv4Address):
        return not _in(address, _FORBIDDEN_V4)
    inner = _unwrap(address)
    if inner is not None:
        return is_public(inner)
    return address.scope_id is None and address in _GLOBAL_V6 and not _in(address, _FORBIDDEN_V6)


def _in(address: Address, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)


def _unwrap(address: IPv6Address) -> IPv4Address | None:
    packed = address.packed
    if packed[:12] in (bytes(10) + b"\xff\xff", bytes(12)):  # mapped, compatible
        return IPv4Address(packed[12:])
    if packed[:12] in (bytes.fromhex("0064ff9b") + bytes(8), bytes(8) + b"\xff\xff" + bytes(2)):  # NAT64, translated
        return IPv4Address(packed[12:])
    if packed[:2] == b"\x20\x02":  # 6to4
        return IPv4Address(packed[2:6])
    return None
