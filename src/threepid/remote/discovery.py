"""Resolves a server name to the places to connect to and the name that must answer there.

https://spec.matrix.org/latest/server-server-api/#resolving-server-names
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

from threepid.clock import Clock, Entropy
from threepid.remote.guard import MAX_REDIRECTS, Call, Guard, RemoteAnswer, RemoteError, Slots, Unreachable
from threepid.remote.names import Names, Service, UnknownName
from threepid.remote.patience import PATIENCE, Patience
from threepid.spec.server_name import ServerAddress, parse_server_name

DEFAULT_PORT: Final = 8448
_SERVICES: Final = ("_matrix-fed._tcp", "_matrix._tcp")
"""The service's name, and its name before v1.8 of the specification."""
_PLACES: Final = 4
"""Maximum number of places of a server that are tried."""

_MINUTE: Final = 60.0
_HOUR: Final = 60 * _MINUTE
WELL_KNOWN_LIFE: Final = 24 * _HOUR
"""How long an answer is valid if the server does not say."""
WELL_KNOWN_LEAST: Final = _HOUR
WELL_KNOWN_MOST: Final = 48 * _HOUR
FAILURE_LIFE: Final = 5 * _MINUTE
"""Pause after a first failure; each further failure doubles it."""
FAILURE_MOST: Final = _HOUR
_SERVERS_KNOWN: Final = 1_000

_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_MAX_AGE: Final = re.compile(r"""(?:\A|,)\s*max-age\s*=\s*"?(\d{1,10})"?\s*(?:,|\Z)""", re.IGNORECASE)
_NOT_KEPT: Final = re.compile(r"(?:\A|,)\s*(?:no-store|no-cache)\s*(?:,|\Z)", re.IGNORECASE)


class Place(Struct, frozen=True):
    """A host and port to connect to."""

    host: str
    port: int


class Destination(Struct, frozen=True):
    """Where a homeserver answers: places in the order of attempts, the Host header, and the name in the TLS certificate."""

    places: tuple[Place, ...]
    host_header: str
    tls_name: str


class _Known(Struct, frozen=True):
    """A cached result of `.well-known`; times in seconds of the monotonic clock."""

    delegated: str | None
    answered_at: float
    until: float
    failures: int = 0


class _Found(Struct, frozen=True):
    """A server's answer: the delegated name or None, and for how many seconds it is valid."""

    delegated: str | None
    life: float


class Discovery:
    """Finds homeservers and caches what they delegate to."""

    def __init__(
        self, guard: Guard, names: Names, clock: Clock, entropy: Entropy, patience: Patience = PATIENCE
    ) -> None:
        """Ask through `guard` and `names`; `entropy` spreads calls over places of equal priority."""
        self._guard = guard
        self._names = names
        self._patience = patience
        self._clock = clock
        self._entropy = entropy
        self._known: dict[str, _Known] = {}
        self._one_asks = Slots(1)

    async def find(self, server_name: str) -> Destination:
        """Where `server_name` answers. Raises RemoteError."""
        address = _parse(server_name)
        if _is_final(address):
            return _at(server_name, address)
        delegated = await self._delegated(address.host)
        if delegated is not None:
            server_name, address = delegated, _parse(delegated)
            if _is_final(address):
                return _at(server_name, address)
        return Destination(await self._places(address.host), server_name, address.host)

    # -- SRV

    async def _places(self, host: str) -> tuple[Place, ...]:
        try:
            async with asyncio.timeout(self._patience.srv):
                for service in _SERVICES:
                    found = await self._names.services(f"{service}.{host}")
                    if [one.host for one in found] == [""]:
                        raise Unreachable("the server is said to be nowhere")
                    if found:
                        return tuple(Place(one.host, one.port) for one in in_order(found, self._entropy, _PLACES))
        except (UnknownName, TimeoutError):
            pass  # some DNS servers do not answer SRV queries; the TLS certificate proves that the fallback is the right server
        return (Place(host, DEFAULT_PORT),)

    # -- .well-known

    async def _delegated(self, host: str) -> str | None:
        async with self._one_asks.of(host):
            known = self._known.get(host)
            if known is None or known.until <= self._clock.monotonic():
                known = await self._ask_again(host, known)
                self._known.pop(host, None)
                if len(self._known) >= _SERVERS_KNOWN:  # names are untrusted input, so the cache is bounded
                    del self._known[next(iter(self._known))]
                self._known[host] = known
            return known.delegated

    async def _ask_again(self, host: str, before: _Known | None) -> _Known:
        """Ask, and keep the last delegated name of a server that does not answer, for up to `WELL_KNOWN_MOST`."""
        failures = before.failures if before else 0
        try:
            async with asyncio.timeout(self._patience.well_known):
                found = await self._ask(host)
            now = self._clock.monotonic()
            if found.delegated is not None:
                return _Known(found.delegated, now, now + found.life)
            delegated, answered_at = None, now
        except (RemoteError, TimeoutError):
            now = self._clock.monotonic()
            kept = before is not None and before.answered_at + WELL_KNOWN_MOST > now
            delegated, answered_at = (before.delegated, before.answered_at) if before and kept else (None, now)
        pause = min(FAILURE_LIFE * 2**failures, FAILURE_MOST)
        return _Known(delegated, answered_at, now + pause, min(failures + 1, 10))

    async def _ask(self, host: str) -> _Found:
        """The server's answer. Raises RemoteError if the failure may be temporary."""
        url = f"https://{host}/.well-known/matrix/server"
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._get(url)
            if answer.status not in _MOVED:
                break
            url = _moved(url, answer.headers.get("location", ""))
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise RemoteError(f"status {answer.status}")
        return _Found(_read(answer), life_of(answer.headers, self._clock))

    async def _get(self, url: str) -> RemoteAnswer:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise RemoteError("no URL") from None
        if parts.scheme != "https" or host is None or "@" in parts.netloc:
            raise RemoteError("redirected to something else than https")
        path = "/" + parts._replace(scheme="", netloc="", fragment="").geturl().lstrip("/")
        literal = f"[{host}]" if ":" in host else host
        host_header = literal if port is None else f"{literal}:{port}"
        return await self._guard.call(Call(host=host, port=port or 443, path=path, host_header=host_header))


def in_order(services: Sequence[Service], entropy: Entropy, count: int) -> list[Service]:
    """The first `count` services in the order of attempts: by priority, then at random by weight.

    https://www.rfc-editor.org/rfc/rfc2782
    """
    left = sorted(services, key=lambda one: (one.priority, one.weight))
    chosen: list[Service] = []
    while left and len(chosen) < count:
        equal = [one for one in left if one.priority == left[0].priority]
        chosen.append(_by_weight(equal, entropy))
        left.remove(chosen[-1])
    return chosen


def _by_weight(equal: Sequence[Service], entropy: Entropy) -> Service:
    """A random one, by weight, of these services of equal priority, which are sorted by weight."""
    total = sum(one.weight for one in equal)
    if total == 0:
        return equal[entropy.below(len(equal))]
    chance = entropy.below(total + 1)
    for one in equal:
        chance -= one.weight
        if chance <= 0:
            break
    return one


def life_of(headers: Mapping[str, str], clock: Clock) -> float:
    """For how many seconds an answer is valid, by its headers and within our bounds."""
    said = WELL_KNOWN_LIFE
    control = headers.get("cache-control", "")
    max_age = _MAX_AGE.search(control)
    if _NOT_KEPT.search(control):
        said = 0
    elif max_age is not None:
        said = float(max_age[1])
    elif "expires" in headers:
        expires = _timestamp(headers["expires"])
        date = _timestamp(headers.get("date", ""))
        said = 0 if expires is None else expires - (clock.now() / 1000 if date is None else date)
    return min(max(said, WELL_KNOWN_LEAST), WELL_KNOWN_MOST)


def _moved(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise RemoteError("no URL") from None


def _timestamp(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _read(answer: RemoteAnswer) -> str | None:
    if answer.status != HTTPStatus.OK:
        return None
    try:
        delegated = answer.json().get("m.server")
        if isinstance(delegated, str):
            parse_server_name(delegated)
            return delegated
    except (RemoteError, ValueError):
        pass
    return None


def _is_final(address: ServerAddress) -> bool:
    """Does the name itself say where to connect?"""
    return address.is_literal or address.port is not None


def _at(server_name: str, address: ServerAddress) -> Destination:
    return Destination((Place(address.host, address.port or DEFAULT_PORT),), server_name, address.host)


def _parse(server_name: str) -> ServerAddress:
    try:
        return parse_server_name(server_name)
    except ValueError:
        raise Unreachable("no server name") from None
