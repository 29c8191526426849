"""A request and its answer, free of any web framework: what the adapter hands in and takes back."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct


class Request(Protocol):
    """One HTTP request."""

    method: str
    path: str
    query_string: str
    """Still percent-encoded."""

    @property
    def target(self) -> str:
        """Path and query as they were sent, still percent-encoded: what a signature is of."""
        ...

    def header(self, name: str) -> str | None:
        """The value of a header, by its lower-case name."""
        ...

    @property
    def client(self) -> str:
        """The caller's IP address, seen through trusted proxies."""
        ...

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises TooLarge past `limit` bytes, whatever Content-Length said."""
        ...


class Answer(Struct, frozen=True):
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}


Handle = Callable[[Request, Mapping[str, str]], Awaitable[Answer]]
"""Answers a request whose path variables are given."""


class Route(Struct, frozen=True):
    """One path (variables in braces) and what answers each method on it."""

    template: str
    handlers: Mapping[str, Handle]
    preflight: Callable[[], Answer] | None = None
    """Answers OPTIONS, where cross-origin calls are welcome."""


class Fallbacks(Struct, frozen=True):
    """Answers for what no route fits: an unknown path, also when it is asked for by OPTIONS, a wrong method, a failure."""

    not_found: Callable[[str], Answer]
    preflight: Callable[[str], Answer]
    wrong_method: Callable[[str], Answer]
    failure: Callable[[str], Answer]
