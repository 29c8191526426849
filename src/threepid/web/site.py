"""All pages, and which of them a configuration turns on."""

from threepid.config import MailboxTransport
from threepid.domain.services import Services
from threepid.spec.exchange import Answer, Fallbacks, Route
from threepid.web.pages import confirm, mailbox, static, submit_token
from threepid.web.render import Pages


def routes(services: Services, pages: Pages) -> list[Route]:
    """The routes of the pages that the configuration turns on."""
    config = services.context.config
    found = [*static.routes(), *confirm.routes(services, pages), *submit_token.routes(services, pages)]
    if config.email is not None and any(isinstance(via, MailboxTransport) for via in config.email.via):
        found += mailbox.routes(services, pages)
    return found


def fallbacks(pages: Pages) -> Fallbacks:
    """The pages for what no route fits."""

    def not_found(_path: str) -> Answer:
        return pages.message("There is nothing here", "Please check the address.", status=404)

    def wrong_method(_path: str) -> Answer:
        return pages.message("This does not work here", "This page cannot be used in that way.", status=405)

    def failure(_path: str) -> Answer:
        return pages.message("Something went wrong", "That was our fault. Please try again in a moment.", status=500)

    return Fallbacks(not_found, wrong_method, failure)
