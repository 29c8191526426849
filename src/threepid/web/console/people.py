"""The start page of the console, where operators find a person, and the page that creates an account."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from threepid.domain.operators.views import Summary
from threepid.http.exchange import Answer
from threepid.spec.errors import InvalidParam, MatrixError, Unknown
from threepid.spec.operator_scopes import Scope
from threepid.web.console.visit import HOME, Operating, account_path
from threepid.web.page import Access, Form, page

ON_A_PAGE: Final = 50
LONGEST: Final = 512
"""Maximum number of characters of a name or an address in a query or form."""
_NEW: Final = "/admin/new-account"


class NameForm(Form, frozen=True):
    """The username of a new account, without `@` and server name."""

    username: str = ""


@page("GET", HOME, access=Access.OPERATOR)
async def show_people(visit: Operating) -> Answer:
    """Show the accounts that have the address, or whose username begins with the text of the query; without one, the first ones.

    With `anywhere` in the query, the text may be in the middle of a username.
    """
    text, after = visit.query.get("q", "")[:LONGEST], visit.query.get("after", "")[:LONGEST]
    anywhere = "anywhere" in visit.query
    if not visit.may(Scope.ACCOUNTS_READ) or visit.services.homeserver is None:
        return show_search(visit, text, [])
    try:
        found = await visit.homeserver.directory.search(text, after=after, count=ON_A_PAGE + 1, anywhere=anywhere)
    except InvalidParam as error:
        return show_search(visit, text, [], error=error)
    return show_search(visit, text, found, anywhere=anywhere)


def show_search(
    visit: Operating, text: str, found: Sequence[Summary], *, anywhere: bool = False, error: MatrixError | None = None
) -> Answer:
    """The page with the field to search in, and what was found."""
    asked = {"q": text, **({"anywhere": "1"} if anywhere else {})}
    more = found[ON_A_PAGE - 1].user_id if len(found) > ON_A_PAGE else None
    is_name = bool(text.strip()) and "@" not in text and not text.strip().startswith("+")
    return visit.show(
        "console/people.html",
        status=error.status if error else 200,
        text=text,
        found=found[:ON_A_PAGE],
        next_page=f"{HOME}?{urlencode({**asked, 'after': more})}" if more else None,
        anywhere=f"{HOME}?{urlencode({**asked, 'anywhere': '1'})}" if is_name and not anywhere else None,
        new=_NEW if visit.services.homeserver is not None and visit.may(Scope.ACCOUNTS_WRITE) else None,
        problem=error.text if error else None,
    )


@page("GET", _NEW, access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def show_new_account(visit: Operating) -> Answer:
    """Ask for the username of a new account."""
    visit.services.require_homeserver()
    return _ask(visit)


@page("POST", _NEW, access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def create_account(visit: Operating, form: NameForm) -> Answer:
    """Create an account without a password, and show it: with a contact and a link, its owner chooses one."""
    try:
        user_id = await visit.homeserver.support.create(form.username.strip(), None, visit.operator)
    except MatrixError as error:
        if isinstance(error, Unknown):
            raise
        return _ask(visit, form.username, error)
    return visit.redirect(account_path(user_id))


def _ask(visit: Operating, typed: str = "", error: MatrixError | None = None) -> Answer:
    return visit.show(
        "console/new_account.html",
        status=error.status if error else 200,
        typed=typed,
        problem=error.text if error else None,
    )


PAGES: Final = (show_people, show_new_account, create_account)
