"""The addresses that the server listens on."""

import ipaddress
import re
from pathlib import Path
from typing import Final

from msgspec import Struct

_MAX_PORT: Final = 65_535
_TCP: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]]+)):(?P<port>[0-9]{1,5})")


class Listen(Struct, frozen=True):
    """A TCP listener."""

    host: str
    port: int


class UnixListen(Struct, frozen=True):
    """A listener on a socket file."""

    path: Path


def tcp_address(text: str) -> Listen:
    """The address and port of `v4:port`, `[v6]:port` or `localhost:port`. Raises ValueError, which says what to write."""
    match = _TCP.fullmatch(text)
    if match is None or not 0 < int(match["port"]) <= _MAX_PORT:
        raise ValueError(f"{text!r} is not an address and a port such as 127.0.0.1:8008 or [::1]:8008")
    host = match["v6"] or match["host"]
    if host == "localhost" or host.endswith(".localhost"):  # https://www.rfc-editor.org/rfc/rfc6761#section-6.3
        host = "127.0.0.1"
    try:
        return Listen(
            str(ipaddress.IPv6Address(host) if match["v6"] else ipaddress.IPv4Address(host)), int(match["port"])
        )
    except ValueError:
        raise ValueError(
            f"{host!r} is not an IP address: write that of the interface to listen on, or 0.0.0.0 for all of them"
        ) from None
