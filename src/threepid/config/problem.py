"""Problems with settings, and functions that the rules for settings share."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

LABEL: Final = r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
HOST: Final = rf"(?=[^:]{{1,253}}(?::|\Z)){LABEL}(?:\.{LABEL})*"

MAILBOX: Final = rf"[^\s<>()\[\]:;@\\,\"\x00-\x1f\x7f-\U0010ffff]+@{HOST}"
"""An email address."""
_PRIVATE: Final = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
"""https://www.rfc-editor.org/rfc/rfc1918, https://www.rfc-editor.org/rfc/rfc4193"""


class ConfigError(Exception):
    """The configuration cannot be used; the message names the place and says what to change."""


class UnreadableConfig(ConfigError):
    """The file of the configuration cannot be read."""


class Problem(Struct, frozen=True):
    """A problem with a value: its place in the configuration, what is wrong and what to change."""

    place: str
    message: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.place}: {self.message}"


def is_loopback(host: str) -> bool:
    """Is `host` this machine, decided without DNS?"""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def is_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Is `address` in a private network, or on this machine?"""
    inner = getattr(address, "ipv4_mapped", None) or address
    return inner.is_loopback or any(inner in network for network in _PRIVATE)


def is_server_name(text: str) -> bool:
    """Is `text` a Matrix server name: a host name or an IP address, with or without a port?"""
    match = _SERVER_NAME.fullmatch(text)
    if match is None or (match["port"] and not 0 < int(match["port"]) <= _MAX_PORT):
        return False
    try:
        return match["v6"] is None or bool(ipaddress.IPv6Address(match["v6"]))
    except ValueError:
        return False


def is_address(text: str) -> bool:
    """Is `text` an IP address, with or without a port?"""
    match = _SERVER_NAME.fullmatch(text)
    if match is None or not is_server_name(text):
        return False
    try:
        return bool(match["v6"] or ipaddress.IPv4Address(text.partition(":")[0]))
    except ValueError:
        return False


def is_web_url(text: str) -> bool:
    """Is `text` an https URL, or an http URL of this machine, in plain ASCII and without a password?"""
    try:
        url = urlsplit(text)
        host = url.hostname or ""
    except ValueError:
        return False
    if not re.fullmatch("[!-~]+", text) or not is_server_name(url.netloc):
        return False
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(host))


def network_problems(place: str, networks: Iterable[str]) -> Iterator[Problem]:
    """Yield a problem for each of `networks` that is not a network, or is too wide."""
    for network in networks:
        try:
            parsed = ipaddress.ip_network(network)
        except ValueError:
            yield Problem(place, f"{network!r} is not a network such as 10.0.0.0/8")
            continue
        bits = parsed.prefixlen
        if isinstance(parsed, ipaddress.IPv6Network) and parsed.subnet_of(_OF_IPV4):
            bits -= _OF_IPV4.prefixlen
            widest = _WIDEST[4]
        else:
            widest = _WIDEST[parsed.version]
        if bits < widest:
            yield Problem(
                place,
                f"{network!r} is too wide: list the networks that you mean, none wider than /{widest}",
            )


def first_trouble(place: str, path: Path, *questions: Callable[[Path], str | None]) -> Iterator[Problem]:
    """Yield only the first trouble with `path`: fixing it often fixes the others."""
    trouble = next((found for ask in questions if (found := ask(path))), None)
    if trouble:
        yield Problem(place, trouble)


_SERVER_NAME: Final = re.compile(rf"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|{HOST})(?::(?P<port>[0-9]{{1,5}}))?")
_MAX_PORT: Final = 65_535
_WIDEST: Final = {4: 8, 6: 16}
"""Minimum prefix length by IP version: a wider network is probably a mistake."""
_OF_IPV4: Final = ipaddress.IPv6Network("::ffff:0:0/96")
"""The IPv4 addresses, written as IPv6 addresses."""
