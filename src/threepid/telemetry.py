"""Structured logs with masked secrets, and metrics. Logging never raises: see output.py."""

import logging
import re
import sys
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from prometheus_client import Counter, Gauge, Histogram

from threepid.meter import BOUNDS, Durations
from threepid.output import secure_errors
from threepid.tracing import request_id


class Running(Histogram):
    """A histogram that is raised to running totals, because observing each request would cost more than some answers do."""

    def raise_by(self, counts: Sequence[int], seconds: float) -> None:
        """Add `counts` durations to the classes, which took so many `seconds` together."""
        self._sum.inc(seconds)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


requests: Final = Counter("threepid_requests_total", "Requests by operation.", ["operation"])
failed_requests: Final = Counter("threepid_failed_requests_total", "Requests answered with a 5xx.", ["operation"])
request_seconds: Final = Running(
    "threepid_request_seconds", "Time until a request is answered.", ["operation"], buckets=BOUNDS
)
refused_requests: Final = Counter(
    "threepid_refused_requests_total",
    "Requests answered with a 4xx, by operation and error code.",
    ["operation", "errcode"],
)
limits_exceeded: Final = Counter(
    "threepid_limits_exceeded_total", "Requests answered with a 429, by the kind of the limit.", ["limit"]
)
logins: Final = Counter("threepid_logins_total", "Logins by their way and outcome.", ["by", "outcome"])
database_seconds: Final = Running(
    "threepid_database_seconds",
    "Time of units of work, with their waiting, by kind: read or write.",
    ["kind"],
    buckets=BOUNDS,
)
password_wait_seconds: Final = Running(
    "threepid_password_wait_seconds", "Time that a password waits for a core before it is hashed.", buckets=BOUNDS
)
event_loop_lag_seconds: Final = Running(
    "threepid_event_loop_lag_seconds", "How much later than planned the event loop continues a task.", buckets=BOUNDS
)

database_writes: Final = Counter("threepid_database_writes_total", "Committed units of work.")
database_commits: Final = Counter(
    "threepid_database_commits_total", "Commits. On SQLite, one commit may carry several units of work."
)
messages_sent: Final = Counter(
    "threepid_messages_sent_total", "Messages that a relay, a gateway or another server accepted.", ["medium", "relay"]
)
messages_failed: Final = Counter(
    "threepid_messages_failed_total", "Messages that failed for good or expired.", ["medium", "relay", "cause"]
)
relay_failures: Final = Counter(
    "threepid_relay_failures_total",
    "Attempts at a relay or gateway that failed. The message may have gone through another, or later.",
    ["medium", "relay", "cause"],
)
sms_prefixes_closed: Final = Gauge(
    "threepid_sms_prefixes_closed",
    "Phone prefixes that get no SMS because almost no code was entered: a sign of SMS pumping.",
    multiprocess_mode="mostrecent",
)
suppressed_addresses: Final = Gauge(
    "threepid_suppressed_addresses",
    "Email addresses that get no notices, by kind: mails came back (bounce), or were reported as spam (complaint).",
    ["kind"],
    multiprocess_mode="mostrecent",
)
messages_waiting: Final = Gauge("threepid_messages_waiting", "Messages in the outbox.", multiprocess_mode="mostrecent")
oldest_message_seconds: Final = Gauge(
    "threepid_oldest_message_seconds",
    "Age of the oldest message in the outbox, in seconds; 0 if it is empty.",
    multiprocess_mode="mostrecent",
)


class Counts:
    """Copies plain running totals into counters."""

    def __init__(self) -> None:
        """Start with no totals copied."""
        self._seen: dict[tuple[int, tuple[str, ...]], int] = {}
        self._seen_durations: dict[tuple[int, tuple[str, ...]], tuple[list[int], float]] = {}

    def carry(self, counter: Counter, total: int, *labels: str) -> None:
        """Raise `counter` (with `labels`, if it has some) to the running `total`."""
        key = (id(counter), labels)
        # A counter begins at 0 before it rises: Prometheus sees no rise in the first value of a series.
        if key not in self._seen or total != self._seen[key]:
            (counter.labels(*labels) if labels else counter).inc(total - self._seen.get(key, 0))
            self._seen[key] = total

    def carry_durations(self, histogram: Running, total: Durations, *labels: str) -> None:
        """Raise `histogram` (with `labels`, if it has some) to the running `total`."""
        key = (id(histogram), labels)
        counts, seconds = list(total.counts), total.seconds
        before, seconds_before = self._seen_durations.get(key, ([0] * len(counts), 0.0))
        if counts != before:
            child = histogram.labels(*labels) if labels else histogram
            child.raise_by([new - old for new, old in zip(counts, before, strict=True)], seconds - seconds_before)
            self._seen_durations[key] = (counts, seconds)


_SECRET_NAME: Final = re.compile(
    r"password|secret|token|(?<!err)code\b|authorization|cookie|auth\b|params", re.IGNORECASE
)
_SECRET_VALUE: Final = re.compile(r"\b(tp[a-z]?_)[A-Za-z0-9_-]{16,}|(access_token|client_secret|token)=[^&\s\"']+")
_EMAIL: Final = re.compile(r"([\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]{0,63}@(?=[\w\[])")
"""Bounded, so that a text of one long word takes linear and not quadratic time."""


def name_request(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the ID of the request that the code works for, if there is one: a structlog processor."""
    if known := request_id.get():
        event.setdefault("request_id", known)
    return event


def mask_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask values that look like secrets, by name or content, and shorten email addresses: a structlog processor."""
    for name, value in event.items():
        if name == "event":
            continue
        if _SECRET_NAME.search(name):
            event[name] = "***"
        elif isinstance(value, str):
            event[name] = mask_text(value)
    return event


def mask_text(text: str) -> str:
    """`text` with everything that looks like a token masked, and with email addresses shortened."""
    return _EMAIL.sub(r"\1***@", _SECRET_VALUE.sub("***", text))


def configure_logging(*, level: str = "info", json: bool | None = None) -> None:
    """Log to standard error: coloured lines on a terminal, JSON elsewhere. From then on, logging never raises."""
    secure_errors()
    as_json = not sys.stderr.isatty() if json is None else json
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            name_request,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            mask_secrets,
            renderer,
        ],
        wrapper_class=_unraising(structlog.make_filtering_bound_logger(getattr(logging, level.upper()))),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _unraising(base: type[Any]) -> type[Any]:
    """A logger class that logs only the error's name for an event that cannot be rendered, and never raises."""

    class Logger(base):  # type: ignore[misc] # structlog makes the class
        def _proxy_to_logger(self, method_name: str, event: str | None = None, **values: Any) -> Any:
            try:
                return super()._proxy_to_logger(method_name, event, **values)
            except Exception as error:  # noqa: BLE001 - logging must not fail its caller
                with suppress(Exception):
                    return super()._proxy_to_logger(method_name, event, not_rendered=type(error).__name__)

    return Logger
