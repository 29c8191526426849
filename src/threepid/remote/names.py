"""Resolves names to addresses and services by DNS, in bounded time and without a thread that could hang.

The machine's `hosts` file comes first, as usual. Names are absolute: search domains do not apply to them.
"""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver
from msgspec import Struct

from threepid.remote.patience import PATIENCE
from threepid.spec.server_name import parse_server_name

_MOST_ANSWERS: Final = 64
_DNS_PORT: Final = 53
_LOCALHOST: Final = ("127.0.0.1", "::1")


class UnknownName(OSError):
    """A name has no address, or DNS gave no usable answer."""


class Service(Struct, frozen=True):
    """A place that offers a service. https://www.rfc-editor.org/rfc/rfc2782."""

    priority: int
    weight: int
    host: str
    """A name without its trailing dot; empty if DNS says that the service is not available."""
    port: int


class Names:
    """Resolves names."""

    def __init__(
        self, nameservers: Sequence[str] = (), *, seconds: float = PATIENCE.dns, hosts: Path = Path("/etc/hosts")
    ) -> None:
        """Ask `nameservers` (addresses, with a port if it is not 53), or the system's if there are none."""
        self._nameservers = [_nameserver(text) for text in nameservers]
        self._seconds = seconds
        self._hosts = _Hosts(hosts)

    async def addresses(self, host: str) -> list[str]:
        """The addresses of a name, without duplicates. Raises UnknownName if there is none."""
        name = host.lower().removesuffix(".")
        found = self._hosts.of(name)
        if not found and (name == "localhost" or name.endswith(".localhost")):  # https://www.rfc-editor.org/rfc/rfc6761
            found = _LOCALHOST
        if found:
            return list(found)
        answers = await asyncio.gather(self._ask(name, "AAAA"), self._ask(name, "A"), return_exceptions=True)
        known = [answer for answer in answers if not isinstance(answer, BaseException)]
        if not known:  # one address family is enough to reach a server
            raise UnknownName(name)
        addresses = [str(record.address) for answer in known for record in answer]
        if not addresses:
            raise UnknownName(name)
        return list(dict.fromkeys(addresses))

    async def services(self, name: str) -> list[Service]:
        """The services of a name such as `_matrix-fed._tcp.example.org`. Raises UnknownName if DNS fails."""
        return [
            Service(record.priority, record.weight, record.target.to_text(omit_final_dot=True).rstrip("."), record.port)
            for record in await self._ask(name, "SRV")
        ]

    async def _ask(self, name: str, kind: str) -> list[Any]:
        try:
            answer = await self._resolver().resolve(
                dns.name.from_text(name), kind, raise_on_no_answer=False, lifetime=self._seconds, search=False
            )
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError) as error:
            raise UnknownName(name) from error
        records = list(answer.rrset or ())
        if len(records) > _MOST_ANSWERS:
            raise UnknownName(name)
        return records

    def _resolver(self) -> dns.asyncresolver.Resolver:
        """A new resolver for each question, because the system's configuration may change."""
        resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
        if self._nameservers:
            resolver.nameservers = self._nameservers
        return resolver


class _Hosts:
    """The machine's `hosts` file, read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, int] | None = None
        self._known: dict[str, list[str]] = {}

    def of(self, name: str) -> Sequence[str]:
        try:
            now = self._path.stat()
            if self._version != (now.st_mtime_ns, now.st_size):
                self._known = _read_hosts(self._path.read_text(encoding="utf-8", errors="replace"))
                self._version = now.st_mtime_ns, now.st_size
        except OSError:
            return ()
        return self._known.get(name, ())


def _read_hosts(text: str) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            ip_address(address)
        except ValueError:
            continue
        for name in names:
            known.setdefault(name.lower(), []).append(address)
    return known


def _nameserver(text: str) -> dns.nameserver.Do53Nameserver:
    address = parse_server_name(text)
    return dns.nameserver.Do53Nameserver(address.host, address.port or _DNS_PORT)
