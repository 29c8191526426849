"""Finds what answers a path: the only module that depends on Falcon's router.

Falcon's application object costs as much as the rest of a request, so only its router is used:
docs/decisions/0002-asgi-without-falcons-application.md.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes

import msgspec
from falcon.routing import CompiledRouter

from threepid.http.exchange import Answer, Handle, Request, Route
from threepid.http.watch import PREFLIGHT
from threepid.meter import Meter, Meters
from threepid.spec.strict_json import usable

_ENCODED_SLASH: Final = re.compile(rb"%2f", re.IGNORECASE)
_SLASH_MARK: Final = "\N{WORD JOINER}%2F"
"""Placeholder for an encoded slash until the path is split into segments."""


def finder(routes: Iterable[Route], meters: Meters) -> Callable[[str], tuple["Resource", Mapping[str, str]] | None]:
    """A function that finds the resource of a path and its path variables."""
    resources = {
        route.template: Resource(_handlers(route), _meters(route, meters), route.is_for) for route in _merged(routes)
    }
    fixed: dict[str, tuple[Resource, Mapping[str, str]]] = {
        template: (resource, {}) for template, resource in resources.items() if "{" not in template
    }
    router = _router(tuple(template for template in resources if template not in fixed))

    def find(path: str) -> tuple[Resource, Mapping[str, str]] | None:
        if (known := fixed.get(path)) is not None:
            return known
        # The router ignores leading slashes.
        found = None if path.startswith("//") else router.find(path)
        if found is None:
            return None
        variables = {name: value.replace(_SLASH_MARK, "/") for name, value in found[2].items()}
        # Nothing has a name with a NUL, and PostgreSQL takes none: such a path does not exist, on either database.
        if not all(map(usable, variables.values())):
            return None
        return resources[cast("str", found[3])], variables

    return find


@lru_cache(maxsize=4)
def _router(templates: tuple[str, ...]) -> CompiledRouter:
    """The router of these templates. Cached, because compiling is slow and several servers of a process share templates."""
    router = CompiledRouter()
    for template in templates:
        router.add_route(template, Resource({}, {}))
    return router


class Resource:
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


def allowing(resource: Resource, answer: Answer) -> Answer:
    """`answer` with an `Allow` header. https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6."""
    return msgspec.structs.replace(answer, headers=answer.headers.adding("Allow", ", ".join(sorted(resource.handlers))))


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


def with_marked_slashes(raw_path: bytes) -> str:
    """The decoded path, with each encoded slash marked: it belongs to its segment and does not end it."""
    marked = _ENCODED_SLASH.sub(b"%E2%81%A0%252F", raw_path.partition(b"?")[0])
    return unquote_to_bytes(marked).decode("utf-8", "surrogateescape")
