"""Sign in to the console with an operator token, and sign out."""

from typing import Final

from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.spec.errors import UnknownToken
from threepid.web.console.door import SIGN_IN
from threepid.web.console.visit import NearVisit, console_cookies, console_signed_out_cookies
from threepid.web.page import Access, Form, page

_WRONG: Final = Text("This token is unknown, expired or revoked.")


class TokenForm(Form, frozen=True):
    """The operator token."""

    operator_token: str = ""


@page("GET", SIGN_IN, access=Access.NEAR)
async def show_sign_in(visit: NearVisit) -> Answer:
    """Ask for an operator token."""
    if visit.console is not None:
        return visit.redirect(visit.next)
    return _ask(visit)


@page("POST", SIGN_IN, access=Access.NEAR)
async def sign_in(visit: NearVisit, form: TokenForm) -> Answer:
    """Sign the browser in, and show the page that it was sent here from."""
    console = visit.services.console
    try:
        secret = await console.open(form.operator_token.strip(), client=visit.client, user_agent=visit.user_agent)
    except UnknownToken as error:
        return _ask(visit, error.status, _WRONG)
    if visit.secret:  # another tab signed in meanwhile
        await console.end(visit.secret, client=visit.client, user_agent=visit.user_agent)
    return visit.redirect(visit.next, set_cookies=console_cookies(secret))


@page("POST", "/admin/sign-out", access=Access.NEAR)
async def sign_out(visit: NearVisit) -> Answer:
    """Sign the browser out. Doing it again is not an error."""
    if visit.secret:
        await visit.services.console.end(visit.secret, client=visit.client, user_agent=visit.user_agent)
    return visit.redirect(SIGN_IN, set_cookies=console_signed_out_cookies())


def _ask(visit: NearVisit, status: int = 200, problem: Text | None = None) -> Answer:
    by_account = visit.services.homeserver is not None
    return visit.show("console/sign_in.html", status=status, problem=problem, by_account=by_account)


PAGES: Final = (show_sign_in, sign_in, sign_out)
