"""The grammar of server names. https://spec.matrix.org/latest/appendices/#server-name."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from msgspec import Struct

_NAME: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,253})(?::(?P<port>[0-9]{1,5}))?")
_LABEL: Final = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?")
_MAX_PORT: Final = 65_535


class ServerAddress(Struct, frozen=True):
    """The parts of a server name."""

    host: str
    """A host name, an IPv4 address, or an IPv6 address without brackets."""
    port: int | None
    is_literal: bool
    """Is the host an IP address?"""


def parse_server_name(text: str) -> ServerAddress:
    """The parts of `text`. Raises ValueError if it is not a server name."""
    match = _NAME.fullmatch(text)
    if match is None:
        raise ValueError("not a server name")
    host, port = match["host"], None if match["port"] is None else int(match["port"])
    if port is not None and not 0 < port <= _MAX_PORT:
        raise ValueError("not a port")
    if host.startswith("["):
        try:
            return ServerAddress(str(IPv6Address(host[1:-1])), port, is_literal=True)
        except AddressValueError:
            raise ValueError("not an IPv6 address") from None
    try:
        return ServerAddress(str(IPv4Address(host)), port, is_literal=True)
    except AddressValueError:
        pass
    labels = host.removesuffix(".").split(".")
    # Some resolvers treat a name whose last label is a number as an IP address, others as a name.
    if not all(_LABEL.fullmatch(label) for label in labels) or re.fullmatch(r"\d+|0[xX][0-9A-Fa-f]*", labels[-1]):
        raise ValueError("not a host name")
    return ServerAddress(host.lower(), port, is_literal=False)


def is_server_name(text: str) -> bool:
    """Is `text` a server name?"""
    try:
        parse_server_name(text)
    except ValueError:
        return False
    return True
