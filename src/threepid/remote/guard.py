"""The outbound client: to addresses that were checked, of bounded size and time.

Names come from strangers (`id_server`, `matrix_server_name`, `.well-known`), so what they resolve to is checked by our own
table before anything connects, and the connection goes to the checked address under the asked name.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

import aiohttp
import aiohttp.abc
from msgspec import Struct

from threepid import __version__
from threepid.config import Outbound
from threepid.spec.errors import MatrixError
from threepid.spec.server_name import parse_server_name
from threepid.spec.strict_json import parse_object

CONNECT_SECONDS: Final = 5.0
TOTAL_SECONDS: Final = 15.0
MAX_BODY: Final = 50_000
MAX_REDIRECTS: Final = 3
CALLS_PER_HOST: Final = 4
_USUAL_PORTS: Final = (443, 8448)
_FIRST_FREE_PORT: Final = 1024

# Not ipaddress.is_global: it takes 6to4, NAT64 and compatible forms of loopback for global addresses.
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

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class RemoteError(Exception):
    """Another server could not be asked, or answered nonsense. `cause` is for the log; the world is told one sentence."""

    def __init__(self, cause: str) -> None:
        """Failed because of `cause`."""
        super().__init__(cause)
        self.cause = cause


class RemoteRefused(Exception):
    """Another server answered with a Matrix error."""

    def __init__(self, status: int, errcode: str) -> None:
        """It answered `errcode` with this HTTP status."""
        super().__init__(f"{status} {errcode}")
        self.status = status
        self.errcode = errcode


class RemoteAnswer(Struct, frozen=True):
    """Status, headers (lower-case names) and body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The JSON object of the body. Raises RemoteError."""
        try:
            return parse_object(self.body)
        except MatrixError as error:
            raise RemoteError(f"no JSON object with status {self.status}") from error


class Call(Struct, frozen=True, kw_only=True):
    """One request to `https://host:port path`; `host_header` and `tls_name` where they differ from `host`."""

    method: str = "GET"
    host: str
    port: int
    path: str
    host_header: str | None = None
    tls_name: str | None = None
    headers: Mapping[str, str] = {}
    body: bytes | None = None


class Guard:
    """Calls other servers."""

    def __init__(
        self,
        settings: Outbound,
        *,
        resolve: Resolve | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        """`resolve` finds the addresses of a name; the system's resolver if it is not given."""
        self._allowed = tuple(ip_network(network) for network in settings.allow)
        self._insecure = settings.insecure_hosts
        self._tls = ssl.create_default_context()
        if settings.ca_file:
            self._tls.load_verify_locations(settings.ca_file)
        self._unchecked_tls = ssl.create_default_context()
        self._unchecked_tls.check_hostname = False
        self._unchecked_tls.verify_mode = ssl.CERT_NONE
        self._resolve = resolve or _resolve
        self._timeout = aiohttp.ClientTimeout(total=total_seconds, sock_connect=connect_seconds)
        self._per_host: dict[str, asyncio.Semaphore] = {}
        self._session: aiohttp.ClientSession | None = None

    async def call(self, call: Call, *, max_body: int = MAX_BODY) -> RemoteAnswer:
        """The answer to one request; redirects are answers too. Raises RemoteError."""
        slot = self._per_host.setdefault(call.host, asyncio.Semaphore(CALLS_PER_HOST))
        try:
            async with slot, asyncio.timeout(self._timeout.total):
                return await self._call(call, max_body)
        except TimeoutError:
            raise RemoteError("took too long") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise RemoteError(type(error).__name__) from None
        finally:
            if not slot.locked() and len(self._per_host) > 1000:  # noqa: PLR2004 - names come from strangers: no endless table
                self._per_host.clear()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _call(self, call: Call, max_body: int) -> RemoteAnswer:
        await self._check(call)
        literal = f"[{call.host}]" if ":" in call.host else call.host
        insecure = any(fnmatchcase(f"{literal}:{call.port}", pattern) for pattern in self._insecure)
        async with self._open_session().request(
            call.method,
            f"https://{literal}:{call.port}{call.path}",
            headers={**call.headers, "Host": call.host_header or literal},
            data=call.body,
            allow_redirects=False,
            ssl=self._unchecked_tls if insecure else self._tls,
            server_hostname=call.tls_name,
        ) as response:
            chunks = []
            size = 0
            async for chunk in response.content.iter_chunked(16_384):
                size += len(chunk)
                if size > max_body:
                    raise RemoteError("the answer is too large")
                chunks.append(chunk)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return RemoteAnswer(response.status, headers, b"".join(chunks))

    async def _check(self, call: Call) -> None:
        if call.port not in _USUAL_PORTS and call.port < _FIRST_FREE_PORT:
            raise RemoteError("port is not allowed")
        try:
            address = parse_server_name(f"[{call.host}]" if ":" in call.host else call.host)
        except ValueError:
            raise RemoteError("no server name") from None
        if address.is_literal:  # the connector asks the resolver for names only
            self._check_address(address.host)

    def _check_address(self, text: str) -> str:
        address = ip_address(text)
        if not any(address in network for network in self._allowed) and not is_public(address):
            raise RemoteError("address is not allowed")
        return text

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=_CheckedResolver(self._resolve, self._check_address), use_dns_cache=False, force_close=True
                ),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                headers={"User-Agent": f"threepid/{__version__}"},
                skip_auto_headers=("Accept-Encoding",),
            )
        return self._session


class _CheckedResolver(aiohttp.abc.AbstractResolver):
    """Resolves once and checks all answers: one that is not allowed spoils the name."""

    def __init__(self, resolve: Resolve, check: Callable[[str], str]) -> None:
        self._resolve = resolve
        self._check = check

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - addresses of both families are checked
    ) -> list[aiohttp.abc.ResolveResult]:
        found = [self._check(address) for address in await self._resolve(host, port)]
        if not found:
            raise OSError("no address")
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


async def _resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: Address) -> bool:
    """Is this an address of the global internet, after unwrapping what IPv6 can wrap around IPv4?"""
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
