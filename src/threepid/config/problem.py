"""What is wrong with a setting, and what the rules about settings share."""

import ipaddress
import re
from typing import Final

from msgspec import Struct

LABEL: Final = r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
HOST: Final = rf"(?=[^:]{{1,253}}(?::|\Z)){LABEL}(?:\.{LABEL})*"


class Problem(Struct, frozen=True):
    """Something that cannot be safe, where it is set, and what to change."""

    place: str
    message: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.place}: {self.message}"


def is_loopback(host: str) -> bool:
    """Is this host this machine, without asking anybody?"""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def is_server_name(text: str) -> bool:
    """Is this a name or an address as a Matrix server may have it, with a port or without?"""
    match = _SERVER_NAME.fullmatch(text)
    if match is None or (match["port"] and not 0 < int(match["port"]) <= _MAX_PORT):
        return False
    try:
        return match["v6"] is None or bool(ipaddress.IPv6Address(match["v6"]))
    except ValueError:
        return False


def is_address(text: str) -> bool:
    """Is this an IP address, with a port or without?"""
    match = _SERVER_NAME.fullmatch(text)
    if match is None or not is_server_name(text):
        return False
    try:
        return bool(match["v6"] or ipaddress.IPv4Address(text.partition(":")[0]))
    except ValueError:
        return False


_SERVER_NAME: Final = re.compile(rf"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|{HOST})(?::(?P<port>[0-9]{{1,5}}))?")
_MAX_PORT: Final = 65_535
