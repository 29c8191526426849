"""The start page of the console: find a person."""

from typing import Final
from urllib.parse import urlencode

from threepid.domain.operators.views import Summary
from threepid.http.exchange import Answer
from threepid.spec.errors import InvalidParam
from threepid.spec.operator_scopes import Scope
from threepid.web.console.visit import HOME, Operating
from threepid.web.page import Access, page

ON_A_PAGE: Final = 50
LONGEST: Final = 512
"""Maximum number of characters of a name or an address in a query or form."""


@page("GET", HOME, access=Access.OPERATOR)
async def show_people(visit: Operating) -> Answer:
    """Show the accounts that have the address, or whose username has the text of the query in it; without one, the first ones."""
    text, after = visit.query.get("q", "")[:LONGEST], visit.query.get("after", "")[:LONGEST]
    found: list[Summary] = []
    problem = None
    if visit.may(Scope.ACCOUNTS_READ) and visit.services.homeserver is not None:
        try:
            found = await visit.homeserver.directory.search(text, after=after, count=ON_A_PAGE + 1, anywhere=True)
        except InvalidParam as error:
            problem = error.text
    more = found[ON_A_PAGE - 1].user_id if len(found) > ON_A_PAGE else None
    return visit.show(
        "console/people.html",
        status=400 if problem else 200,
        text=text,
        found=found[:ON_A_PAGE],
        next_page=f"{HOME}?{urlencode({'q': text, 'after': more})}" if more else None,
        problem=problem,
    )


PAGES: Final = (show_people,)
