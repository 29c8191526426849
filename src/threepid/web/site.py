"""All pages, and the ones that a configuration enables."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote

from threepid.clock import Entropy
from threepid.config import has_mailbox
from threepid.domain.mailbox import Previews
from threepid.domain.services import Services
from threepid.http.exchange import Answer, Fallbacks, Handle, Request, Route
from threepid.http.failures import as_error
from threepid.i18n import Text
from threepid.web import dispatch, language
from threepid.web.console import pages as console
from threepid.web.fallback import page as fallback
from threepid.web.oauth.pages import PAGES as OAUTH
from threepid.web.pages import (
    confirm,
    index,
    login,
    mailbox,
    previews,
    reference,
    static,
    stop_invites,
    submit_token,
    this_machine,
)
from threepid.web.portal.pages import PAGES as PORTAL
from threepid.web.render import PageHandle, PageRoute, Templates, redirect

_OF_A_QUERY: Final = "!$%&'()*+,-./:;=?@_~"
"""What a query may have beside letters and digits. https://www.rfc-editor.org/rfc/rfc3986#section-3.4."""


def routes(
    services: Services, templates: Templates, preview: Previews, describe: reference.Describe = lambda _: ()
) -> list[Route]:
    """The routes of the pages that the configuration enables.

    `preview` renders messages for the development mailbox, and `describe` says which endpoints there are for a caller.
    """
    config = services.context.config
    found = [
        *index.routes(services),
        *confirm.routes(services),
        *submit_token.routes(services),
        *stop_invites.routes(services),
        *reference.routes(describe),
    ]
    declared = [*language.PAGES]
    if services.homeserver is not None:
        found += [*login.routes(config), *fallback.routes(services, services.homeserver)]
        declared += PORTAL
        if services.homeserver.oauth is not None:
            declared += OAUTH
    if has_mailbox(config):
        shown = [*mailbox.routes(services), *previews.routes(templates.languages, preview)]
        found += this_machine.guarded(config, shown)
    served = [
        *static.routes(config),
        *console.routes(services, templates),
        *dispatch.routes(services, templates, declared),
        *(_plain(route, templates, services.context.entropy) for route in found),
    ]
    return [*served, *_without_slash(served)]


def _without_slash(served: Iterable[Route]) -> Iterator[Route]:
    """Routes that lead people who leave out the slash at the end of a page's path to the page."""
    for route in served:
        path = route.template.removesuffix("/")
        if path != route.template and path and "GET" in route.handlers and not path.startswith("/_matrix/"):
            yield Route(path, {"GET": _to(route.template)}, is_for=route.is_for)


def _to(path: str) -> Handle:
    async def answer(request: Request, _variables: Mapping[str, str]) -> Answer:
        query = quote(request.query_string, safe=_OF_A_QUERY, encoding="latin-1")
        return redirect(f"{path}?{query}" if query else path)

    return answer


def fallbacks(templates: Templates) -> Fallbacks:
    """The pages for requests that no route serves."""

    def not_found(request: Request) -> Answer:
        return templates.pages(request).message(
            Text("Page not found"), Text("Check the address."), status=404, way_on=True
        )

    def wrong_method(request: Request) -> Answer:
        return templates.pages(request).message(
            Text("This is not possible here"),
            Text("This page does not accept this kind of request."),
            status=405,
            way_on=True,
        )

    def failure(request: Request) -> Answer:
        return templates.pages(request).failure()

    return Fallbacks(not_found, preflight=not_found, wrong_method=wrong_method, failure=failure)


def _plain(route: PageRoute, templates: Templates, entropy: Entropy) -> Route:
    """`route` for requests alone: its handlers get the pages in the language of the request.

    Errors are answered with pages, even below `/_matrix/`, where the API answers with JSON.
    """
    return Route(
        route.template,
        {method: _speaking(handle, templates, entropy, route.template) for method, handle in route.handlers.items()},
    )


def _speaking(handle: PageHandle, templates: Templates, entropy: Entropy, where: str) -> Handle:
    async def answer(request: Request, variables: Mapping[str, str]) -> Answer:
        pages = templates.pages(request)
        try:
            return await handle(pages, request, variables)
        except Exception as error:  # noqa: BLE001 - the last resort: nothing of it may reach the person
            return pages.error(as_error(error, entropy, where=where))

    return answer
