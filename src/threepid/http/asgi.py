"""The ASGI application: the only module that depends on ASGI."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, cast
from urllib.parse import quote

import structlog

from threepid.clock import ticks
from threepid.http.exchange import ANSWERED_BY, Answer, Fallbacks, Headers, Route
from threepid.http.proxies import Network, Proxies
from threepid.http.routing import allowing, finder, with_marked_slashes
from threepid.http.watch import UNKNOWN, Watch
from threepid.i18n import Text
from threepid.meter import Meter
from threepid.spec.errors import NotJson, RequestTimeout, TooLarge
from threepid.tracing import is_on, request_id

_log = structlog.get_logger()

BODY_SECONDS: Final = 20.0
"""Maximum number of seconds for a whole body to arrive."""

_MAX_DIGITS: Final = 18
"""Maximum number of digits of a Content-Length; a longer one exceeds every limit."""

Asgi = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
_HOST: Final = re.compile(rb"[A-Za-z0-9._~%:\[\]-]+")
_BEFORE_HOST: Final = frozenset({"1", "1.0"})
"""HTTP versions without a Host header, as ASGI servers name them."""
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
    find = finder(routes, watch.meters)
    proxies = Proxies(tuple(trusted_proxies))
    unknown = watch.meters.named(UNKNOWN)

    async def answer_to(request: _Request, scope: dict[str, Any]) -> tuple[Meter, Answer]:
        path: str = scope["path"]
        if b"%2" in (raw := scope.get("raw_path") or b""):
            path = with_marked_slashes(raw)
        found = find(path)
        if found is None or not found[0].is_for(request):
            return unknown, (fallbacks.preflight if request.method == "OPTIONS" else fallbacks.not_found)(request)
        resource, variables = found
        handle = resource.handlers.get(request.method)
        if handle is None:
            return unknown, allowing(resource, fallbacks.wrong_method(request))
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


def _header_list(answer: Answer, label: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", answer.content_type.encode("ascii")),
        (b"x-request-id", label.encode("ascii")),
        *answer.headers.encoded,
        _ANSWERED_BY,
        (b"content-length", b"%d" % len(answer.body)),
    ]


class _Deadline:
    """Raises RequestTimeout in a context that takes longer. `asyncio.timeout` costs as much as all else about a body."""

    __slots__ = ("_has_passed", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._has_passed = False

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._task = cast("asyncio.Task[Any]", asyncio.current_task(loop))
        self._timer = loop.call_later(self._seconds, self._pass)

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

    def __init__(self, scope: dict[str, Any], receive: Any, proxies: Proxies) -> None:
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
