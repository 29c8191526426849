"""Which request the running code works for: the ID that joins log lines, and spans for OpenTelemetry.

Without `[telemetry] traces_url`, OpenTelemetry is not imported, and a span does nothing. Attributes hold no personal data: no
addresses, user IDs or contents.
"""

import re
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any, Final, Literal, Protocol

request_id: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""The ID of the request that is being answered, or that caused the running job; '' for other work."""
_VALID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")

Kind = Literal["internal", "server", "client"]


def is_valid(text: str) -> bool:
    """Can a proxy's request ID be used as it is: in log lines, headers and rows?"""
    return _VALID.fullmatch(text) is not None


class Span(Protocol):
    """A piece of work that is measured."""

    def rename(self, name: str) -> None:
        """Give it another name."""
        ...

    def tell(self, **attributes: str | int) -> None:
        """Add attributes, which hold no personal data. Underscores in their names become dots."""
        ...

    def fail(self, why: str) -> None:
        """Mark it as failed."""
        ...


class Tracer(Protocol):
    """Makes spans."""

    def span(
        self, name: str, kind: Kind, traceparent: str | None, attributes: dict[str, Any]
    ) -> AbstractContextManager[Span]:
        """A span that lasts as long as the context, below the current one or that of another program."""
        ...

    def stop(self) -> None:
        """Send what is left."""
        ...


class _NoSpan:
    """A span that nobody looks at."""

    def rename(self, name: str) -> None:
        """Do nothing."""

    def tell(self, **attributes: str | int) -> None:
        """Do nothing."""

    def fail(self, why: str) -> None:
        """Do nothing."""


_NOTHING: Final[AbstractContextManager[Span]] = nullcontext(_NoSpan())
_tracers: Final[list[Tracer]] = []


def is_on() -> bool:
    """Are there traces?"""
    return bool(_tracers)


def use(tracer: Tracer | None) -> None:
    """Let `tracer` make the spans of this process; None ends traces."""
    while _tracers:
        _tracers.pop().stop()
    if tracer is not None:
        _tracers.append(tracer)


def span(
    name: str, kind: Kind = "internal", traceparent: str | None = None, **attributes: Any
) -> AbstractContextManager[Span]:
    """A span that lasts as long as the context. `traceparent` is the header of that name. https://www.w3.org/TR/trace-context/."""
    return _tracers[0].span(name, kind, traceparent, attributes) if _tracers else _NOTHING
