"""The pages that describe the endpoints for programs. They are in English, as the documentation of developers is."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from threepid.http.exchange import Answer, Request
from threepid.spec.description import Described
from threepid.spec.errors import NotFound
from threepid.web.render import PageRoute, Pages

INDEX = "/docs/api"
Describe = Callable[[Request], Sequence[Described]]
"""The endpoints that exist for the caller of a request."""


def routes(describe: Describe) -> list[PageRoute]:
    """The list of all endpoints that `describe` knows, and a page of each of them."""

    async def index(pages: Pages, request: Request, _variables: Mapping[str, str]) -> Answer:
        sections = [(title, list(found)) for title, found in groupby(describe(request), lambda one: one.section)]
        return pages.page("api_index.html", sections=sections)

    async def show(pages: Pages, request: Request, variables: Mapping[str, str]) -> Answer:
        found = next((one for one in describe(request) if one.name == variables["operation"]), None)
        if found is None:
            raise NotFound
        return pages.page("api_endpoint.html", endpoint=found)

    return [PageRoute(INDEX, {"GET": index}), PageRoute(f"{INDEX}/{{operation}}", {"GET": show})]
