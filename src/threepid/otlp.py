"""Traces by OpenTelemetry, sent by OTLP over HTTP. Imported only if `[telemetry] traces_url` is set.

https://opentelemetry.io/docs/specs/otlp/
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from threepid import __version__
from threepid.tracing import Kind, request_id

_KINDS: Final[dict[Kind, SpanKind]] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
}


class OtlpSpan:
    """A span of OpenTelemetry."""

    def __init__(self, span: trace.Span) -> None:
        """`span` is running."""
        self._span = span

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._span.update_name(name)

    def tell(self, **attributes: str | int) -> None:
        """Add attributes."""
        self._span.set_attributes(_dotted(attributes))

    def fail(self, why: str) -> None:
        """Mark it as failed."""
        self._span.set_status(StatusCode.ERROR, why)


class OtlpTracer:
    """Sends spans to a collector."""

    def __init__(self, url: str, *, server_name: str, share: float, seconds: float = 5.0) -> None:
        """Send to `url` every few `seconds`. `share` of the traces that begin here are recorded."""
        resource = Resource.create(
            {"service.name": "threepid", "service.version": __version__, "service.instance.id": server_name}
        )
        # The decision of a trusted caller counts; `share` is for the traces that begin here.
        self._provider = TracerProvider(resource=resource, sampler=ParentBased(TraceIdRatioBased(share)))
        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=url), schedule_delay_millis=int(seconds * 1000))
        )
        self._tracer = self._provider.get_tracer("threepid", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, kind: Kind, traceparent: str | None, attributes: dict[str, Any]) -> Iterator[OtlpSpan]:
        """A span, below the current one or that of `traceparent`. Of an exception it keeps the type: the text may be personal."""
        above = self._propagator.extract({"traceparent": traceparent}) if traceparent else None
        told = _dotted(attributes)
        if known := request_id.get():
            told["threepid.request_id"] = known
        with self._tracer.start_as_current_span(
            name, above, _KINDS[kind], told, record_exception=False, set_status_on_exception=False
        ) as started:
            try:
                yield OtlpSpan(started)
            except BaseException as error:
                started.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def stop(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def _dotted(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes by their names in OpenTelemetry: `http_route` is `http.route`, and two underscores are one."""
    return {name.replace("__", "\0").replace("_", ".").replace("\0", "_"): value for name, value in attributes.items()}
