"""Invitations to addresses: all of them or those to one address, and their end."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from threepid.domain.identity.invites import State
from threepid.domain.operators.directory import typed_address
from threepid.domain.operators.views import InviteView
from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.spec.errors import InvalidParam, MatrixError, Unknown
from threepid.spec.operator_scopes import Scope
from threepid.web.console.account import DONE, NO_ADDRESS
from threepid.web.console.people import LONGEST, ON_A_PAGE
from threepid.web.console.visit import Operating
from threepid.web.page import Access, Form, page

_INVITATIONS: Final = "/admin/invitations"
_STATES: Final[Mapping[str, Text]] = {
    State.WAITING: Text("It is waiting."),
    State.EXPIRED: Text("It has expired."),
    State.ACCEPTED: Text("It was accepted."),
    State.NOT_HANDED_OVER: Text(
        "The address is bound, but the homeserver of its user does not know of the invitation yet."
    ),
    State.HANDED_OVER: Text("The homeserver of the invited user knows of it."),
    State.CANCELLED: Text("It was cancelled."),
}
"""What each state means."""
_ENDED: Final = (State.CANCELLED, State.HANDED_OVER)
"""The states in which an invitation cannot be cancelled any more."""


class InviteForm(Form, frozen=True):
    """An invitation to cancel, and the address that the list is about, '' for all."""

    invite: str = ""
    address: str = ""


@page("GET", _INVITATIONS, access=Access.OPERATOR, scope=Scope.MESSAGES_READ)
async def show_invitations(visit: Operating) -> Answer:
    """Show the invitations to the address in the query, newest first; without one all of them, oldest first."""
    return await _show(visit, visit.query.get("address", ""))


@page("POST", _INVITATIONS, access=Access.OPERATOR, scope=Scope.MESSAGES_WRITE)
async def cancel_invitation(visit: Operating, form: InviteForm) -> Answer:
    """Cancel an invitation and its key."""
    known = visit.services.require_identity().invites
    try:
        await visit.services.operations.cancel_invite(form.invite, known, visit.operator)
    except MatrixError as error:
        if isinstance(error, Unknown) or not visit.may(Scope.MESSAGES_READ):
            raise
        return await _show(visit, form.address, error)
    address = {"address": form.address[:LONGEST]} if form.address else {}
    return visit.redirect(f"{_INVITATIONS}?{urlencode({**address, 'done': 'cancelled'})}")


async def _show(visit: Operating, typed: str, error: MatrixError | None = None) -> Answer:
    text = typed[:LONGEST]
    found: list[InviteView] = []
    try:
        found = await _found(visit, text.strip())
    except MatrixError as raised:
        if isinstance(raised, Unknown):
            raise
        error = error or raised
    more = {"address": text, "after": found[ON_A_PAGE - 1].id} if len(found) > ON_A_PAGE else {}
    return visit.show(
        "console/invitations.html",
        status=error.status if error else 200,
        text=text,
        found=found[:ON_A_PAGE],
        ended=_ENDED,
        states=_STATES,
        next_page=f"{_INVITATIONS}?{urlencode({name: value for name, value in more.items() if value})}"
        if more
        else None,
        done=DONE.get(visit.query.get("done", "")) if error is None else None,
        problem=error.text if error else None,
    )


async def _found(visit: Operating, text: str) -> list[InviteView]:
    """The invitations of a page, and one more if there is another page. Raises InvalidParam and NotFound."""
    if visit.services.identity is None:
        return []
    known, operations = visit.services.identity.invites, visit.services.operations
    after = visit.query.get("after")
    if not text:
        return await operations.invites(known, after=after, count=ON_A_PAGE + 1)
    if (address := typed_address(text)) is None:
        raise InvalidParam(NO_ADDRESS)
    return await operations.invites_of(address, known, before=after, count=ON_A_PAGE + 1)


PAGES: Final = (show_invitations, cancel_invitation)
