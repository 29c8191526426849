"""A request and its answer, free of any web framework: what the adapter hands in and takes back."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

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


class Headers:
    """Header fields of answers, in their order; several may have the same name, such as `Set-Cookie`.

    They never change, and are encoded once: most answers share theirs.
    """

    __slots__ = ("encoded", "pairs")

    def __init__(self, *pairs: tuple[str, str]) -> None:
        """`pairs` of name and value."""
        self.pairs = pairs
        self.encoded = tuple((name.lower().encode("ascii"), value.encode("latin-1")) for name, value in pairs)

    def adding(self, name: str, value: str) -> "Headers":
        """These, and one more."""
        return Headers(*self.pairs, (name, value))

    def replacing(self, fields: Mapping[str, str]) -> "Headers":
        """These with `fields`, in place of those of the same names."""
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


def by_path(of_api: Fallbacks, of_site: Fallbacks) -> Fallbacks:
    """Programs get JSON and people get pages."""

    def choose(path: str) -> Fallbacks:
        return of_api if path.startswith(("/_", "/.well-known/")) else of_site

    def wrap(pick: Callable[[Fallbacks], Callable[[str], Answer]]) -> Callable[[str], Answer]:
        return lambda path: pick(choose(path))(path)

    return Fallbacks(
        not_found=wrap(lambda of: of.not_found),
        preflight=wrap(lambda of: of.preflight),
        wrong_method=wrap(lambda of: of.wrong_method),
        failure=wrap(lambda of: of.failure),
    )
