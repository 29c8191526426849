"""Limits that keep people out: of an account or address, also one without an account, and of a network."""

from typing import Final

from threepid.domain.addresses import Address
from threepid.domain.operators.directory import typed_address
from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.spec.errors import MatrixError, NotFound, Unknown
from threepid.spec.operator_scopes import Scope
from threepid.web.console.account import UserForm
from threepid.web.console.people import LONGEST
from threepid.web.console.visit import LIMITS, Operating
from threepid.web.page import Access, page

_CLEARED: Final = {"cleared": Text("Limits were cleared"), "full": Text("No limit was used up.")}


class LimitsForm(UserForm, frozen=True):
    """Whose limits to fill: an account's or an address's in `user`, a network's, or what both have in common."""

    network: str = ""


@page("GET", LIMITS, access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def show_limits(visit: Operating) -> Answer:
    """Ask whose limits to fill again."""
    return _ask(visit, LimitsForm(user=visit.query.get("user", "")[:LONGEST]))


@page("POST", LIMITS, access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def clear_limits(visit: Operating, form: LimitsForm) -> Answer:
    """Fill the limits again, and say whether one was used up at all."""
    try:
        user_id, address = await _whose(visit, form.user)
        cleared = await visit.services.operations.clear_limits(
            visit.operator, user_id=user_id, address=address, network=form.network.strip()
        )
    except MatrixError as error:
        if isinstance(error, Unknown):
            raise
        return _ask(visit, form, error)
    return visit.redirect(f"{LIMITS}?done={'cleared' if cleared else 'full'}")


async def _whose(visit: Operating, typed: str) -> tuple[str, Address | None]:
    """The user ID of the account that an operator names, '' for none; or else the address. Raises NotFound and InvalidParam."""
    text = typed.strip()
    if not text:
        return "", None
    if visit.services.homeserver is not None:
        try:
            return await visit.homeserver.directory.find(text), None
        except NotFound:
            if typed_address(text) is None:
                raise
    if (address := typed_address(text)) is None:
        raise NotFound(Text("There is no such account."))
    return "", address


def _ask(visit: Operating, form: LimitsForm, error: MatrixError | None = None) -> Answer:
    return visit.show(
        "console/limits.html",
        status=error.status if error else 200,
        typed=form,
        done=_CLEARED.get(visit.query.get("done", "")) if error is None else None,
        problem=error.text if error else None,
    )


PAGES: Final = (show_limits, clear_limits)
