"""All pages of the console. They exist only for callers in the networks of `[admin]`."""

from typing import Final

from threepid.domain.services import Services
from threepid.http.exchange import Request, Route
from threepid.web import dispatch
from threepid.web.console import account, by_account, invitations, limits, people, records, sign_in, suppressions
from threepid.web.console.door import ConsoleDoor
from threepid.web.page import collect
from threepid.web.render import Templates

PAGES: Final = collect(
    sign_in.PAGES, people.PAGES, account.PAGES, limits.PAGES, records.PAGES, invitations.PAGES, suppressions.PAGES
)
OF_ACCOUNTS: Final = collect(by_account.PAGES)
"""Pages for the portal's own sessions, which open the console."""


def routes(services: Services, templates: Templates) -> list[Route]:
    """The routes of the console; none if `[admin]` names no networks."""
    if not services.context.config.admin.networks:
        return []

    def is_near(request: Request) -> bool:
        return services.console.is_near(request.client)

    found = dispatch.routes_of(PAGES, lambda page, shown: ConsoleDoor(services, templates, page, shown), is_near)
    if services.homeserver is not None:
        found += dispatch.routes(services, templates, OF_ACCOUNTS, is_near)
    return found
