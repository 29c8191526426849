"""The ASGI application: the only module that depends on ASGI and Falcon's router.

Falcon's application object costs as much as the rest of a request, so only its router is used:
docs/decisions/0002-asgi-without-falcons-application.md.
"""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final, cast
from urllib.parse import quote, unquote_to_bytes

import msgspec
import structlog
from falcon.routing import CompiledRouter

from threepid.clock import ticks
from threepid.http.exchange import ANSWERED_BY, Answer, Fallbacks, Handle, Headers, Request, Route
from threepid.http.watch import PREFLIGHT, UNKNOWN, Watch
from threepid.i18n import Text
from threepid.meter import Meter, Meters
from threepid.spec.errors import NotJson, RequestTimeout, TooLarge
from threepid.tracing import is_on, request_id

_log = structlog.get_logger()

BODY_SECONDS: Final = 20.0
"""Maximum number of seconds for a whole body to arrive."""

_MAX_DIGITS: Final = 18
"""Maximum number of digits of a Content-Length; a longer one exceeds every limit."""

Network = IPv4Network | IPv6Network
Asgi = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
_ENCODED_SLASH: Final = re.compile(rb"%2f", re.IGNORECASE)
_SLASH_MARK: Final = "\N{WORD JOINER}%2F"
"""Placeholder for an encoded slash until the path is split into segments."""
_HOST: Final = re.compile(rb"[A-Za-z0-9._~%:\[\]-]+")
_BEFORE_HOST: Final = frozenset({"1", "1.0"})
"""HTTP versions without a Host header, as ASGI servers name them."""
NO_ADDRESS: Final = "unix"
"""Client address of callers over a Unix socket whose proxy sends no `X-Forwarded-For`: they share their limits."""
_WITH_PORT: Final = re.compile(
    r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<dotted>[0-9A-Fa-f.:]*\.[0-9]{1,3}(?=:)))(?::(?P<port>[0-9]{1,5}))?"
)
"""An address in brackets, or IPv4 with a port: a bare IPv6 address is ambiguous, because its last group looks like a port."""
_SHOWN: Final = 64
_ANSWERED_BY: Final = (ANSWERED_BY[0].encode("ascii"), ANSWERED_BY[1].encode("ascii"))
_MALFORMED: Final = Answer(400, b"", content_type="text/plain", headers=Headers(("Connection", "close")))
"""The answer to an ambiguous request: a plain 400, as the HTTP parser beneath us gives for malformed ones."""


def build(
    routes: Iterable[Route],
    fallbacks: Fallbacks,
    *,
    trusted_proxies: Iterable[Network],
    startup: Callable[[], Awaitable[None]],
    shutdown: Callable[[], Awaitable[None]],
    watch: Watch,
) -> Asgi:
    """The ASGI application that serves `routes`. `watch` sees every request and its answer."""
    find = _finder(routes, watch.meters)
    proxies = _Proxies(tuple(trusted_proxies))
    unknown = watch.meters.named(UNKNOWN)

    async def answer_to(request: _Request, scope: dict[str, Any]) -> tuple[Meter, Answer]:
        path: str = scope["path"]
        if b"%2" in (raw := scope.get("raw_path") or b""):
            path = _with_marked_slashes(raw)
        found = find(path)
        if found is None or not found[0].is_for(request):
            return unknown, (fallbacks.preflight if request.method == "OPTIONS" else fallbacks.not_found)(request)
        resource, variables = found
        handle = resource.handlers.get(request.method)
        if handle is None:
            return unknown, _allowing(resource, fallbacks.wrong_method(request))
        meter = resource.meters[request.method]
        try:
            return meter, await handle(request, variables)
        except Exception:  # noqa: BLE001 - the last resort: nothing of it may reach the caller
            _log.exception("request_crashed")
            return meter, fallbacks.failure(request)

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await _live(receive, send, startup, shutdown)
            return
        started = ticks()
        request = _Request(scope, receive, proxies)
        given = request.request_id
        label = watch.new_label() if given is None else watch.label(given if request.is_from_proxy else "")
        known = request_id.set(label)
        try:
            if request.is_doubtful():
                meter, answer = unknown, _MALFORMED
            elif not is_on():
                meter, answer = await answer_to(request, scope)
            else:
                with watch.traced(request) as running:
                    meter, answer = await answer_to(request, scope)
                    watch.tell(running, meter, answer)
            headers = _header_list(answer, label)
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})
            watch.note(request, meter, answer, ticks() - started)
        finally:
            request_id.reset(known)

    return application


def _finder(routes: Iterable[Route], meters: Meters) -> Callable[[str], tuple["_Resource", Mapping[str, str]] | None]:
    """A function that finds the resource of a path and its path variables."""
    resources = {
        route.template: _Resource(_handlers(route), _meters(route, meters), route.is_for) for route in _merged(routes)
    }
    fixed: dict[str, tuple[_Resource, Mapping[str, str]]] = {
        template: (resource, {}) for template, resource in resources.items() if "{" not in template
    }
    router = _router(tuple(template for template in resources if template not in fixed))

    def find(path: str) -> tuple[_Resource, Mapping[str, str]] | None:
        if (known := fixed.get(path)) is not None:
            return known
        # The router ignores leading slashes.
        found = None if path.startswith("//") else router.find(path)
        if found is None:
            return None
        variables = {name: value.replace(_SLASH_MARK, "/") for name, value in found[2].items()}
        return resources[cast("str", found[3])], variables

    return find


@lru_cache(maxsize=4)
def _router(templates: tuple[str, ...]) -> CompiledRouter:
    """The router of these templates. Cached, because compiling is slow and several servers of a process share templates."""
    router = CompiledRouter()
    for template in templates:
        router.add_route(template, _Resource({}, {}))
    return router


class _Resource:
    """The handlers of a path and the meters of its operations, by method, and for whom it exists."""

    def __init__(
        self,
        handlers: dict[str, Handle],
        meters: dict[str, Meter],
        is_for: Callable[[Request], bool] | None = None,
    ) -> None:
        self.handlers = handlers
        self.meters = meters
        self.is_for = is_for or _for_everybody


def _for_everybody(_request: Request) -> bool:
    return True


def _handlers(route: Route) -> dict[str, Handle]:
    handlers = dict(route.handlers)
    if "GET" in handlers:
        handlers["HEAD"] = handlers["GET"]
    if route.preflight is not None:
        preflight = route.preflight

        async def options(_request: Any, _variables: Mapping[str, str]) -> Answer:
            return preflight()

        handlers["OPTIONS"] = options
    return handlers


def _meters(route: Route, meters: Meters) -> dict[str, Meter]:
    """The meter of each method, by its name and never by the path that was requested."""
    found = {method: meters.named(route.names.get(method, route.template)) for method in route.handlers}
    if "GET" in found:
        found["HEAD"] = found["GET"]
    return {**found, "OPTIONS": meters.named(PREFLIGHT)}


def _allowing(resource: _Resource, answer: Answer) -> Answer:
    """`answer` with an `Allow` header. https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6."""
    return msgspec.structs.replace(answer, headers=answer.headers.adding("Allow", ", ".join(sorted(resource.handlers))))


async def _live(
    receive: Any, send: Any, startup: Callable[[], Awaitable[None]], shutdown: Callable[[], Awaitable[None]]
) -> None:
    """Start and stop with the process. https://asgi.readthedocs.io/en/latest/specs/lifespan.html."""
    await receive()
    try:
        await startup()
    except Exception as error:  # noqa: BLE001 - whatever it is, the server does not start
        _log.exception("start_failed")
        await send({"type": "lifespan.startup.failed", "message": type(error).__name__})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await shutdown()
    await send({"type": "lifespan.shutdown.complete"})


def _with_marked_slashes(raw_path: bytes) -> str:
    """The decoded path, with each encoded slash marked: it belongs to its segment and does not end it."""
    marked = _ENCODED_SLASH.sub(b"%E2%81%A0%252F", raw_path.partition(b"?")[0])
    return unquote_to_bytes(marked).decode("utf-8", "surrogateescape")


def _header_list(answer: Answer, label: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", answer.content_type.encode("ascii")),
        (b"x-request-id", label.encode("ascii")),
        *answer.headers.encoded,
        _ANSWERED_BY,
        (b"content-length", b"%d" % len(answer.body)),
    ]


def _merged(routes: Iterable[Route]) -> list[Route]:
    """One route for each path: a path may have an API endpoint for one method and a page for another."""
    merged: dict[str, Route] = {}
    for route in routes:
        first = merged.get(route.template)
        if first is None:
            merged[route.template] = route
            continue
        if first.handlers.keys() & route.handlers.keys():
            raise ValueError(f"{route.template} has two handlers for one method")
        merged[route.template] = Route(
            route.template,
            {**first.handlers, **route.handlers},
            first.preflight or route.preflight,
            {**first.names, **route.names},
            first.is_for or route.is_for,
        )
    return list(merged.values())


class _Proxies:
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


class _Deadline:
    """Raises RequestTimeout in a context that takes longer. `asyncio.timeout` costs as much as all else about a body."""

    __slots__ = ("_has_passed", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._has_passed = False

    def __enter__(self) -> None:
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._pass)

    def _pass(self) -> None:
        self._has_passed = True
        self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.cancel()
        # If somebody else cancelled the task as well, it stays cancelled.
        if self._has_passed and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise RequestTimeout from None


class _Request:
    """An ASGI request as an `exchange.Request`."""

    __slots__ = ("_headers", "_proxies", "_receive", "_scope", "method", "path", "query_string")

    def __init__(self, scope: dict[str, Any], receive: Any, proxies: _Proxies) -> None:
        self._scope = scope
        self._receive = receive
        self._proxies = proxies
        self._headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            known = self._headers.get(name)
            self._headers[name] = value if known is None else known + b"," + value
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query_string: str = scope["query_string"].decode("latin-1")

    @property
    def target(self) -> str:
        path = (self._scope.get("raw_path") or quote(self.path).encode()).partition(b"?")[0].decode("latin-1")
        return f"{path}?{self.query_string}" if self.query_string else path

    def is_doubtful(self) -> bool:
        """Could a proxy have parsed this request differently? https://www.rfc-editor.org/rfc/rfc9112#section-11.2.

        The HTTP parser rejects most ambiguities, but accepts several Host headers, none, and codings other than `chunked`.
        """
        host = self._headers.get(b"host")
        is_named = host is not None and _HOST.fullmatch(host) is not None
        needs_no_name = host == b"" and self._scope["http_version"] in _BEFORE_HOST
        return (
            not (is_named or needs_no_name) or self._headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked"
        )

    def header(self, name: str) -> str | None:
        value = self._headers.get(name.encode("ascii"))
        return None if value is None else value.decode("latin-1")

    @property
    def client(self) -> str:
        peer = self._scope.get("client")
        return self._proxies.client(peer[0] if peer else "", self.header("x-forwarded-for"))

    @property
    def request_id(self) -> str | None:
        """The ID that the peer gives the request."""
        given = self._headers.get(b"x-request-id")
        return None if given is None else given.decode("latin-1")

    @property
    def is_from_proxy(self) -> bool:
        """Did a trusted proxy send it? Then its headers about the request are not those of a stranger."""
        peer = self._scope.get("client")
        return self._proxies.is_trusted(peer[0] if peer else "")

    async def body(self, limit: int) -> bytes:
        declared = self._declared_length()
        if declared is not None and declared > limit:
            raise TooLarge
        with _Deadline(BODY_SECONDS):
            return await self._read(limit, declared)

    def _declared_length(self) -> int | None:
        """The Content-Length, if it delimits the body."""
        length = self.header("content-length")
        if length is None or not length.isdecimal() or b"transfer-encoding" in self._headers:
            return None
        return int(length) if len(length) <= _MAX_DIGITS else sys.maxsize

    async def _read(self, limit: int, declared: int | None) -> bytes:
        chunks = []
        size = 0
        # The ASGI server reports the end of a body in a message of its own, which takes as long to receive as the body.
        while size != declared:
            message = await self._receive()
            if message["type"] != "http.request":  # the connection broke, or the chunk is malformed
                raise NotJson(Text("The request body is incomplete."))
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise TooLarge
            chunks.append(chunk)
            if not message.get("more_body", False):
                break
        return b"".join(chunks)
