"""`[telemetry]`: its settings, and the rules that reject unusable values."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from threepid.config.problem import Problem, is_loopback
from threepid.config.section import Section


class Telemetry(Section, frozen=True):
    """`[telemetry]`: the log, and traces. The metrics are at `server.metrics_listen`."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important kind of line that the server logs."""
    access_log: bool = False
    """Log each request: operation, method, status, milliseconds and network of the caller, without path, query or tokens."""
    traces_url: str = ""
    """URL to which traces are sent (OpenTelemetry's OTLP over HTTP), as in `http://127.0.0.1:4318/v1/traces`; empty = off."""
    traces_share: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Share of the requests that are traced, unless a trusted proxy has decided: 0.01 is one in a hundred."""


def problems(telemetry: Telemetry) -> Iterator[Problem]:
    """Yield the unusable values in `[telemetry]`."""
    if not telemetry.traces_url:
        return
    place = "[telemetry] traces_url"
    try:
        url = urlsplit(telemetry.traces_url)
        host = url.hostname or ""
    except ValueError:
        yield Problem(place, "is not a URL")
        return
    if url.scheme not in {"http", "https"} or not host or "@" in url.netloc:
        yield Problem(place, "is not an http or https URL without a user")
    elif url.scheme == "http" and not is_loopback(host):
        yield Problem(place, "traces would cross the network in plain HTTP: use https, or a collector on this machine")
    if find_spec("opentelemetry") is None:
        yield Problem(place, "OpenTelemetry is not installed: pip install 'threepid[otel]'")
