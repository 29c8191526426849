"""What is known of every request afterwards: metrics, a line of the access log, a span."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import structlog

from threepid.domain.networks import network_of
from threepid.http.exchange import Answer, Request
from threepid.meter import Meter, Meters
from threepid.tracing import Span, is_valid, span

_log = structlog.get_logger()

UNKNOWN: Final = "unknown"
"""Name of the operation of requests that no route serves."""
PREFLIGHT: Final = "preflight"
"""Name of the operation of OPTIONS requests."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"})
_OTHER: Final = "_OTHER"
"""What OpenTelemetry calls other methods, which a stranger chooses.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""
_CLIENT_ERRORS: Final = 400
_SERVER_ERRORS: Final = 500


class Watch:
    """Sees the requests of one process."""

    def __init__(self, label: Callable[[], str], *, logs: bool = False) -> None:
        """`label` makes the ID of a request. With `logs`, every request gets a line in the log."""
        self.new_label = label
        """Makes the ID of a request."""
        self._logs = logs
        self.meters = Meters()

    def label(self, given: str) -> str:
        """The ID of a request: the one that a trusted proxy has given, if it is usable, else a new one."""
        return given if is_valid(given) else self.new_label()

    def note(self, request: Request, meter: Meter, answer: Answer, seconds: float) -> None:
        """Count an answer."""
        meter.durations.note(seconds)
        if answer.status >= _CLIENT_ERRORS:
            self._note_error(meter, answer)
        if self._logs:
            _log.info(
                "request",
                operation=meter.name,
                method=_method(request),
                status=answer.status,
                errcode=answer.errcode,
                milliseconds=round(seconds * 1000, 2),
                network=network_of(request.client),
            )

    def _note_error(self, meter: Meter, answer: Answer) -> None:
        if answer.status >= _SERVER_ERRORS:
            meter.failures += 1
            return
        self.meters.refusals[meter.name, answer.errcode or str(answer.status)] += 1
        if answer.limit or answer.errcode == "M_LIMIT_EXCEEDED":
            self.meters.limits[answer.limit or "other"] += 1

    def traced(self, request: Request) -> AbstractContextManager[Span]:
        """The span of a request, below that of a trusted proxy."""
        above = request.header("traceparent") if request.is_from_proxy else None
        method = _method(request)
        return span(method, "server", above, http_request_method=method)

    def tell(self, running: Span, meter: Meter, answer: Answer) -> None:
        """Name the span after the operation."""
        running.rename(f"{meter.name}")
        running.tell(http_route=meter.name, http_response_status__code=answer.status)
        if answer.status >= _SERVER_ERRORS:
            running.fail(str(answer.status))


def _method(request: Request) -> str:
    return request.method if request.method in _METHODS else _OTHER
