"""HTTP requests and answers, independent of any web framework."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from msgspec import Struct

ANSWERED_BY: Final = ("x-answered-by", "threepid")
"""A header field of every answer: behind a reverse proxy, it tells who has answered, this server or the homeserver beside it."""


class Request(Protocol):
    """One HTTP request."""

    method: str
    path: str
    query_string: str
    """Still percent-encoded."""

    @property
    def target(self) -> str:
        """Path and query as sent, still percent-encoded: signatures cover them."""
        ...

    def header(self, name: str) -> str | None:
        """The value of a header, by its lower-case name."""
        ...

    @property
    def is_from_proxy(self) -> bool:
        """Did a trusted proxy send it?"""
        ...

    @property
    def client(self) -> str:
        """The caller's IP address, found behind trusted proxies."""
        ...

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises TooLarge past `limit` bytes, whatever Content-Length says."""
        ...


class Headers:
    """Header fields of an answer, in order; several may have the same name, such as `Set-Cookie`.

    Immutable, and encoded once: most answers share their headers.
    """

    __slots__ = ("encoded", "pairs")

    def __init__(self, *pairs: tuple[str, str]) -> None:
        """`pairs` are names and values."""
        self.pairs = pairs
        self.encoded = tuple((name.lower().encode("ascii"), value.encode("latin-1")) for name, value in pairs)

    def adding(self, name: str, value: str) -> "Headers":
        """These headers and one more."""
        return Headers(*self.pairs, (name, value))

    def replacing(self, fields: Mapping[str, str]) -> "Headers":
        """These headers with `fields` in place of the fields of the same names."""
        if not fields:
            return self
        replaced = {name.lower() for name in fields}
        return Headers(*(pair for pair in self.pairs if pair[0].lower() not in replaced), *fields.items())


NO_HEADERS: Final = Headers()


class Answer(Struct, frozen=True):
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Headers = NO_HEADERS
    errcode: str = ""
    """The code of the error that is answered, for metrics."""
    limit: str = ""
    """The kind of the limit that was exceeded, for metrics."""


Handle = Callable[[Request, Mapping[str, str]], Awaitable[Answer]]
"""Answers a request; the second argument has the path variables."""


class Route(Struct, frozen=True):
    """One path (variables in braces) and its handler for each method."""

    template: str
    handlers: Mapping[str, Handle]
    preflight: Callable[[], Answer] | None = None
    """Answers OPTIONS, if cross-origin requests are allowed."""
    names: Mapping[str, str] = {}
    """The name of the operation of each method, in metrics and logs. Without one, it is the template."""
    is_for: Callable[[Request], bool] | None = None
    """Does the path exist for this caller? Otherwise the answer is that of an unknown path, whatever the method."""


class Fallbacks(Struct, frozen=True):
    """Answers for requests that no route serves: an unknown path, OPTIONS on one, a wrong method, a failure."""

    not_found: Callable[[Request], Answer]
    preflight: Callable[[Request], Answer]
    wrong_method: Callable[[Request], Answer]
    failure: Callable[[Request], Answer]


def by_path(of_api: Fallbacks, of_site: Fallbacks) -> Fallbacks:
    """JSON for paths of the API, pages for all others."""

    def choose(request: Request) -> Fallbacks:
        return of_api if request.path.startswith(("/_", "/.well-known/", "/oauth2/", "/openapi.json")) else of_site

    def wrap(pick: Callable[[Fallbacks], Callable[[Request], Answer]]) -> Callable[[Request], Answer]:
        return lambda request: pick(choose(request))(request)

    return Fallbacks(
        not_found=wrap(lambda of: of.not_found),
        preflight=wrap(lambda of: of.preflight),
        wrong_method=wrap(lambda of: of.wrong_method),
        failure=wrap(lambda of: of.failure),
    )
