"""All pages, and the ones that a configuration enables."""

from collections.abc import Mapping

from threepid.clock import Entropy
from threepid.config import MailboxTransport
from threepid.domain.services import Services
from threepid.http.exchange import Answer, Fallbacks, Handle, Request, Route
from threepid.http.failures import as_error
from threepid.i18n import Text
from threepid.web import dispatch
from threepid.web.fallback import page as fallback
from threepid.web.pages import confirm, index, login, mailbox, static, stop_invites, submit_token
from threepid.web.portal.pages import PAGES as PORTAL
from threepid.web.render import Pages


def routes(services: Services, pages: Pages) -> list[Route]:
    """The routes of the pages that the configuration enables."""
    config = services.context.config
    found = [
        *index.routes(services, pages),
        *confirm.routes(services, pages),
        *submit_token.routes(services, pages),
        *stop_invites.routes(services, pages),
    ]
    if services.homeserver is not None:
        found += [*login.routes(pages), *fallback.routes(services, services.homeserver, pages)]
    if config.email is not None and any(isinstance(via, MailboxTransport) for via in config.email.via):
        found += mailbox.routes(services, pages)
    portal = [] if services.homeserver is None else dispatch.routes(services, pages, PORTAL)
    return [*static.routes(), *portal, *(_kind(route, pages, services.context.entropy) for route in found)]


def fallbacks(pages: Pages) -> Fallbacks:
    """The pages for requests that no route serves."""

    def not_found(_path: str) -> Answer:
        return pages.message(Text("Page not found"), Text("Check the address."), status=404)

    def wrong_method(_path: str) -> Answer:
        return pages.message(
            Text("This is not possible here"), Text("This page does not accept this kind of request."), status=405
        )

    def failure(_path: str) -> Answer:
        return pages.failure()

    return Fallbacks(not_found, preflight=not_found, wrong_method=wrong_method, failure=failure)


def _kind(route: Route, pages: Pages, entropy: Entropy) -> Route:
    """`route`, answering errors with pages, even below `/_matrix/`, where the API answers with JSON."""
    return Route(
        route.template,
        {method: _kindly(handle, pages, entropy, route.template) for method, handle in route.handlers.items()},
    )


def _kindly(handle: Handle, pages: Pages, entropy: Entropy, where: str) -> Handle:
    async def answer(request: Request, variables: Mapping[str, str]) -> Answer:
        try:
            return await handle(request, variables)
        except Exception as error:  # noqa: BLE001 - the last resort: nothing of it may reach the person
            return pages.error(as_error(error, entropy, where=where))

    return answer
