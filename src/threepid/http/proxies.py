"""The IP address of a caller behind trusted proxies."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

import structlog

_log = structlog.get_logger()

Network = IPv4Network | IPv6Network
NO_ADDRESS: Final = "unix"
"""Client address of callers over a Unix socket whose proxy sends no `X-Forwarded-For`: they share their limits."""
_WITH_PORT: Final = re.compile(
    r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<dotted>[0-9A-Fa-f.:]*\.[0-9]{1,3}(?=:)))(?::(?P<port>[0-9]{1,5}))?"
)
"""An address in brackets, or IPv4 with a port: a bare IPv6 address is ambiguous, because its last group looks like a port."""
_SHOWN: Final = 64


class Proxies:
    """Finds the caller's IP address behind trusted proxies."""

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self._networks = networks
        # Only peer addresses are cached: attackers could fill the cache with long, varied headers.
        self._known = lru_cache(maxsize=4096)(self._look_at)
        self._has_complained = False

    def client(self, peer: str, forwarded_for: str | None) -> str:
        """The rightmost `X-Forwarded-For` address that is not a trusted proxy, if the peer is one; else the peer's address.

        An entry that is not an address ends the search: the caller may have forged everything left of it.
        """
        client, trusted = self._known(peer)
        for hop in reversed(forwarded_for.split(",")) if forwarded_for and trusted else ():
            address = _forwarded_address(hop.strip())
            if address is None:
                self._complain(hop.strip(), client)
                break
            client = str(address)
            if not self._trusts(address):
                break
        return client

    def is_trusted(self, peer: str) -> bool:
        """Is the peer a trusted proxy?"""
        return self._known(peer)[1]

    def _look_at(self, peer: str) -> tuple[str, bool]:
        # A peer on a Unix socket has no address. It is a trusted proxy, because the socket's permissions let it connect.
        address = _address(peer)
        return (peer or NO_ADDRESS, not peer) if address is None else (str(address), self._trusts(address))

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)

    def _complain(self, hop: str, client: str) -> None:
        """Warn the operator, once, that all callers behind this proxy count as one client address."""
        if not self._has_complained:
            self._has_complained = True
            _log.warning(
                "forwarded_for_unreadable", entry=hop[:_SHOWN], counted_as=client, setting="server.trusted_proxies"
            )


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address in `text`, without its zone, which only its own host understands; IPv4-mapped IPv6 becomes IPv4."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _forwarded_address(hop: str) -> IPv4Address | IPv6Address | None:
    """The address of an `X-Forwarded-For` entry, to which some proxies add quotes, brackets or a port."""
    if len(hop) > 1 and hop[0] == hop[-1] == '"':
        hop = hop[1:-1].strip()
    match = _WITH_PORT.fullmatch(hop)
    return _address(hop) if match is None else _address(match["bracketed"] or match["dotted"])
