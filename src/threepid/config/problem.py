"""What is wrong with a setting, and what the rules about settings share."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

LABEL: Final = r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
HOST: Final = rf"(?=[^:]{{1,253}}(?::|\Z)){LABEL}(?:\.{LABEL})*"


class ConfigError(Exception):
    """A configuration that cannot be used; the message names the place and says what to change."""


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


def is_web_url(text: str) -> bool:
    """Is this an https URL, or an http one of this machine, in plain ASCII and without a password?"""
    try:
        url = urlsplit(text)
        host = url.hostname or ""
    except ValueError:
        return False
    if not re.fullmatch("[!-~]+", text) or not is_server_name(url.netloc):
        return False
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(host))


def network_problems(place: str, networks: Iterable[str]) -> Iterator[Problem]:
    """Which of `networks` are none, or too wide to be meant."""
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
                f"{network!r} is too wide: name the networks that are meant, none wider than /{widest}",
            )


def first_trouble(place: str, path: Path, *questions: Callable[[Path], str | None]) -> Iterator[Problem]:
    """The first trouble with `path`: mending it often mends the others."""
    trouble = next((found for ask in questions if (found := ask(path))), None)
    if trouble:
        yield Problem(place, trouble)


_SERVER_NAME: Final = re.compile(rf"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|{HOST})(?::(?P<port>[0-9]{{1,5}}))?")
_MAX_PORT: Final = 65_535
_WIDEST: Final = {4: 8, 6: 16}
"""Bits of a network, by IP version: a wider one is most probably a mistake."""
_OF_IPV4: Final = ipaddress.IPv6Network("::ffff:0:0/96")
"""The IPv4 addresses, written as IPv6 addresses."""
