"""Open the console with an administrator's account, whose person is signed in to the portal and has just confirmed it."""

from typing import Final

from threepid.http.exchange import Answer
from threepid.spec.errors import Forbidden, MatrixError
from threepid.web.console.visit import CONSOLE, HOME, console_cookies
from threepid.web.page import Access, page
from threepid.web.visit import BY_ACCOUNT, SignedIn


@page("GET", BY_ACCOUNT, access=Access.CONFIRMED)
async def show_by_account(visit: SignedIn) -> Answer:
    """Ask whether to open the console with this account."""
    return _ask(visit)


@page("POST", BY_ACCOUNT, access=Access.CONFIRMED)
async def open_by_account(visit: SignedIn) -> Answer:
    """Open the console."""
    try:
        secret = await visit.services.console.open_by_account(
            visit.session, visit.grant, client=visit.client, user_agent=visit.user_agent
        )
    except Forbidden as error:
        return _ask(visit, error)
    if before := visit.cookie(CONSOLE):  # as another sign-in does
        await visit.services.console.end(before, client=visit.client, user_agent=visit.user_agent)
    return visit.redirect(HOME, set_cookies=console_cookies(secret))


def _ask(visit: SignedIn, error: MatrixError | None = None) -> Answer:
    return visit.show(
        "console/by_account.html", status=error.status if error else 200, problem=error.text if error else None
    )


PAGES: Final = (show_by_account, open_by_account)
