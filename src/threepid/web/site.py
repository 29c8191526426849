"""All pages, and which of them a configuration turns on."""

from collections.abc import Mapping

from threepid.clock import Entropy
from threepid.config import MailboxTransport
from threepid.domain.services import Services
from threepid.http.exchange import Answer, Fallbacks, Handle, Request, Route
from threepid.http.failures import as_error
from threepid.web.fallback import page as fallback
from threepid.web.pages import confirm, index, login, mailbox, static, stop_invites, submit_token
from threepid.web.render import Pages


def routes(services: Services, pages: Pages) -> list[Route]:
    """The routes of the pages that the configuration turns on."""
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
    return [*static.routes(), *(_kind(route, pages, services.context.entropy) for route in found)]


def fallbacks(pages: Pages) -> Fallbacks:
    """The pages for what no route fits."""

    def not_found(_path: str) -> Answer:
        return pages.message("There is nothing here", "Please check the address.", status=404)

    def wrong_method(_path: str) -> Answer:
        return pages.message("This does not work here", "This page cannot be used in that way.", status=405)

    def failure(_path: str) -> Answer:
        return pages.failure()

    return Fallbacks(not_found, preflight=not_found, wrong_method=wrong_method, failure=failure)


def _kind(route: Route, pages: Pages, entropy: Entropy) -> Route:
    """`route`, with pages for its errors too, also below `/_matrix/` where programs get JSON."""
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
