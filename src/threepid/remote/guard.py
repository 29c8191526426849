"""The outbound HTTP client: it calls only checked addresses, within limits of size and time.

Names are untrusted input (`id_server`, `matrix_server_name`, `.well-known`). Our own table therefore checks every resolved
address before a connection is made, and the connection goes to the checked address under the requested name.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Any, Final

import aiohttp
import aiohttp.abc
import structlog
from msgspec import Struct

from threepid import __version__
from threepid.config import Outbound
from threepid.remote.names import Names
from threepid.remote.networks import is_public
from threepid.remote.patience import PATIENCE
from threepid.remote.tls import checked_tls
from threepid.spec.errors import MatrixError
from threepid.spec.server_name import parse_server_name
from threepid.spec.strict_json import parse_object
from threepid.tracing import span

_log = structlog.get_logger()

MAX_BODY: Final = 50_000
MAX_REDIRECTS: Final = 3
CALLS_PER_HOST: Final = 4
CALLS_AT_ONCE: Final = 128
_TRIED: Final = 8
"""Maximum number of a name's addresses to which a connection is tried."""
_NOT_ALLOWED: Final = "address is not allowed"
_DECIDED_BY: Final[Mapping[str, str]] = {
    _NOT_ALLOWED: "outbound.allow",
    "ClientConnectorCertificateError": "outbound.ca_file",
    "ClientConnectorDNSError": "outbound.nameservers",
}
"""The setting that decides about a failed call, by the cause of the failure."""
_USUAL_PORTS: Final = (443, 8448)
_FIRST_FREE_PORT: Final = 1024


class RemoteError(Exception):
    """Another server could not be called or sent an invalid answer. `cause` is for the log, not for callers."""

    def __init__(self, cause: str) -> None:
        """Keep `cause`, which names what failed."""
        super().__init__(cause)
        self.cause = cause


class Unreachable(RemoteError):
    """There was no connection, so nothing was sent. Another place of the same server may be reachable."""


class RemoteRefused(Exception):
    """Another server answered with a Matrix error."""

    def __init__(self, status: int, errcode: str) -> None:
        """Keep the `errcode` and the HTTP status of the answer."""
        super().__init__(f"{status} {errcode}")
        self.status = status
        self.errcode = errcode


class RemoteAnswer(Struct, frozen=True):
    """The status, headers (lower-case names) and body of an answer."""

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
    """One request to `https://host:port path`; `host_header` and `tls_name` are set where they differ from `host`."""

    method: str = "GET"
    host: str
    port: int
    path: str
    host_header: str | None = None
    tls_name: str | None = None
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    setting: str = ""
    """The setting in which an operator named this host; empty if it comes from untrusted input."""


class Slots:
    """Limits concurrent calls for each name. Names are untrusted input, so names that are not in use take no memory."""

    def __init__(self, count: int) -> None:
        """Allow `count` concurrent calls for each name."""
        self._count = count
        self._slots: dict[str, tuple[asyncio.Semaphore, list[None]]] = {}

    @contextlib.asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Wait for a slot of `name`, and hold it."""
        slot, users = self._slots.setdefault(name, (asyncio.Semaphore(self._count), []))
        users.append(None)
        try:
            async with slot:
                yield
        finally:
            users.pop()
            if not users:
                del self._slots[name]


class Guard:
    """Calls other servers."""

    def __init__(
        self,
        settings: Outbound,
        names: Names,
        *,
        connect_seconds: float = PATIENCE.connect,
        total_seconds: float = PATIENCE.call,
    ) -> None:
        """Call by `settings`; `names` resolves the hosts."""
        self._allowed = tuple(ip_network(network) for network in settings.allow)
        self._insecure = settings.insecure_hosts
        self._tls = checked_tls(settings.ca_file)
        self._unchecked_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._unchecked_tls.check_hostname = False
        self._unchecked_tls.verify_mode = ssl.CERT_NONE
        self._resolver = _CheckedResolver(names, self._check_address)
        self._total_seconds = total_seconds
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)
        self._for_host = Slots(CALLS_PER_HOST)
        self._for_all = asyncio.Semaphore(CALLS_AT_ONCE)

    async def call(self, call: Call, *, max_body: int = MAX_BODY) -> RemoteAnswer:
        """The answer to one request; redirects are answers too. Raises Unreachable, RemoteError.

        The time limit includes waiting for other calls to the same host. A failure is logged with the host and the setting that
        decides about it, but without the path, which may contain tokens.
        """
        try:
            with span(
                f"call {call.method}", "client", server_address=call.host, http_request_method=call.method
            ) as running:
                answer = await self._guarded(call, max_body)
                running.tell(http_response_status__code=answer.status)
                return answer
        except RemoteError as error:
            _log.warning(
                "outbound_call_failed",
                host=call.host,
                port=call.port,
                cause=error.cause,
                setting=call.setting or _DECIDED_BY.get(error.cause, "outbound"),
            )
            raise

    async def _guarded(self, call: Call, max_body: int) -> RemoteAnswer:
        self._check(call)
        try:
            async with asyncio.timeout(self._total_seconds), self._for_host.of(call.host), self._for_all:
                return await self._call(call, max_body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unreachable(type(error).__name__) from None
        except TimeoutError:
            raise RemoteError("took too long") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise RemoteError(type(error).__name__) from None

    async def _call(self, call: Call, max_body: int) -> RemoteAnswer:
        literal = f"[{call.host}]" if ":" in call.host else call.host
        insecure = any(fnmatchcase(f"{literal}:{call.port}", pattern) for pattern in self._insecure)
        async with (
            self._session() as session,
            session.request(
                call.method,
                f"https://{literal}:{call.port}{call.path}",
                headers={**call.headers, "Host": call.host_header or literal},
                data=call.body,
                allow_redirects=False,
                ssl=self._unchecked_tls if insecure else self._tls(),
                server_hostname=call.tls_name,
            ) as response,
        ):
            chunks = []
            size = 0
            async for chunk in response.content.iter_chunked(16_384):
                size += len(chunk)
                if size > max_body:
                    raise RemoteError("the answer is too large")
                chunks.append(chunk)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return RemoteAnswer(response.status, headers, b"".join(chunks))

    def _check(self, call: Call) -> None:
        if call.port not in _USUAL_PORTS and call.port < _FIRST_FREE_PORT:
            raise Unreachable("port is not allowed")
        try:
            address = parse_server_name(f"[{call.host}]" if ":" in call.host else call.host)
        except ValueError:
            raise Unreachable("no server name") from None
        if address.is_literal:  # the connector passes only names to the resolver, which checks them
            self._check_address(address.host)

    def _check_address(self, text: str) -> str:
        address = ip_address(text)
        if not any(address in network for network in self._allowed) and not is_public(address):
            raise Unreachable(_NOT_ALLOWED)
        return text

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """A session for one call, which shuts its sockets down: TLS would wait half a minute for the peer's close_notify."""
        opened: list[socket.socket] = []

        def open_socket(address: aiohttp.AddrInfoType) -> socket.socket:
            family, kind, protocol = address[:3]
            opened.append(socket.socket(family, kind, protocol))
            return opened[-1]

        try:
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=self._resolver, use_dns_cache=False, force_close=True, socket_factory=open_socket
                ),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                headers={"User-Agent": f"threepid/{__version__}"},
                skip_auto_headers=("Accept-Encoding",),
                middlewares=(_once,),
            ) as session:
                yield session
        finally:
            for one in opened:
                with contextlib.suppress(OSError):  # closed already
                    one.shutdown(socket.SHUT_RDWR)


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a GET or PUT that got no answer."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise RemoteError(type(error).__name__) from None


class _CheckedResolver(aiohttp.abc.AbstractResolver):
    """Resolves once and checks all addresses: one forbidden address rejects the name."""

    def __init__(self, names: Names, check: Callable[[str], str]) -> None:
        self._names = names
        self._check = check

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - addresses of both families are checked
    ) -> list[aiohttp.abc.ResolveResult]:
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in [self._check(address) for address in await self._names.addresses(host)][:_TRIED]
        ]

    async def close(self) -> None:
        """Do nothing: the resolver holds no resources."""
