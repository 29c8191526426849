"""Email addresses that get no mails because mails came back from them, also those of nobody's account."""

from typing import Final
from urllib.parse import urlencode

from threepid.domain.addresses import Email, InvalidAddress, parse_address
from threepid.domain.operators.views import SuppressionView
from threepid.http.exchange import Answer
from threepid.spec.errors import InvalidParam, MatrixError
from threepid.spec.operator_scopes import Scope
from threepid.web.console.account import DONE, NO_ADDRESS
from threepid.web.console.people import LONGEST, ON_A_PAGE
from threepid.web.console.visit import SUPPRESSIONS, Operating
from threepid.web.page import Access, page


@page("GET", SUPPRESSIONS, access=Access.OPERATOR, scope=Scope.MESSAGES_READ)
async def show_suppressions(visit: Operating) -> Answer:
    """Show why the address in the query gets no mails; without one, all addresses that get none."""
    text = visit.query.get("address", "")[:LONGEST]
    found: list[SuppressionView] = []
    error: MatrixError | None = None
    try:
        found = await _found(visit, text.strip())
    except InvalidParam as raised:
        error = raised
    more = found[ON_A_PAGE - 1].address if len(found) > ON_A_PAGE else None
    return visit.show(
        "console/suppressions.html",
        status=error.status if error else 200,
        text=text,
        found=found[:ON_A_PAGE],
        next_page=f"{SUPPRESSIONS}?{urlencode({'after': more})}" if more else None,
        done=DONE.get(visit.query.get("done", "")),
        problem=error.text if error else None,
    )


async def _found(visit: Operating, text: str) -> list[SuppressionView]:
    """The addresses of a page, and one more if there is another page. Raises InvalidParam."""
    operations = visit.services.operations
    if not text:
        return await operations.suppressions(after=visit.query.get("after", "")[:LONGEST], count=ON_A_PAGE + 1)
    try:
        one = await operations.suppression_of(parse_address(Email.medium, text))
    except InvalidAddress:
        raise InvalidParam(NO_ADDRESS) from None
    return [] if one is None else [one]


PAGES: Final = (show_suppressions,)
