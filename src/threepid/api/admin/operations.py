"""Limits, messages, suppressed addresses, invitations and the audit log, for operators."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from threepid.api.admin.types import Body, Contact, Count, Nothing, Typed, admin
from threepid.api.call import OperatorCall
from threepid.domain.operators.directory import MOST_LISTED, typed_address
from threepid.domain.operators.trail import EntryView
from threepid.domain.operators.views import InviteView, MessageView
from threepid.spec import errors
from threepid.spec.endpoint import Auth, endpoint
from threepid.spec.operator_scopes import Scope
from threepid.spec.types import MAX_INTEGER


class Limits(Body, frozen=True):
    """Whose limits to fill: an account's, an address's or a network's; at least one of them."""

    account: Typed | UnsetType = UNSET
    address: Typed | UnsetType = UNSET
    network: Typed | UnsetType = UNSET


class Cleared(Struct, frozen=True):
    """The number of limits that were not full."""

    cleared: int


class ByAddress(Struct, frozen=True, forbid_unknown_fields=True):
    """An email address, or a phone number with `+`."""

    address: Typed


class Invites(Struct, frozen=True):
    """The newest invitations to an address."""

    invites: list[InviteView]


class Place(Struct, frozen=True, forbid_unknown_fields=True):
    """The ID of the last entry of the page before, and the earliest time, in milliseconds since 1970."""

    after: Typed | None = None
    since: Annotated[int, Meta(ge=0, le=MAX_INTEGER)] = 0
    limit: Count = MOST_LISTED


class Entries(Struct, frozen=True):
    """A page of the audit log, oldest first; `next` is the `after` of the next page, or null."""

    entries: list[EntryView]
    next: str | None


@endpoint(
    "POST", admin("/limits/clear"), auth=Auth.OPERATOR_TOKEN, scope=Scope.ACCOUNTS_WRITE, errors=(errors.NotFound,)
)
async def clear_limits(call: OperatorCall, body: Limits) -> Cleared:
    """Fill the limits again that keep an account, an address or a network out."""
    user_id = await call.homeserver.directory.find(body.account) if body.account else ""
    address = typed_address(body.address) if body.address else None
    if body.address and address is None:
        raise errors.InvalidParam
    return Cleared(
        await call.services.operations.clear_limits(
            call.operator, user_id=user_id, address=address, network=body.network or ""
        )
    )


@endpoint(
    "GET",
    admin("/messages/{message_id}"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.MESSAGES_READ,
    errors=(errors.NotFound,),
)
async def show_message(call: OperatorCall, message_id: str) -> MessageView:
    """Show a message, and why it did not arrive."""
    return await call.services.operations.message(message_id)


@endpoint(
    "POST",
    admin("/messages/{message_id}/resend"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.MESSAGES_WRITE,
    errors=(errors.NotFound,),
)
async def resend_message(call: OperatorCall, body: Nothing, message_id: str) -> None:
    """Send a message now that waits for another attempt."""
    del body
    await call.services.operations.resend(message_id, call.operator)


@endpoint(
    "POST",
    admin("/suppressions/remove"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.MESSAGES_WRITE,
    errors=(errors.NotFound,),
)
async def remove_suppression(call: OperatorCall, body: Contact) -> None:
    """Send mails to an address again from which they came back."""
    await call.services.operations.remove_suppression(body.parsed(), call.operator)


@endpoint("GET", admin("/invites"), auth=Auth.OPERATOR_TOKEN, scope=Scope.MESSAGES_READ)
async def list_invites(call: OperatorCall, query: ByAddress) -> Invites:
    """List the newest invitations to an address, with their state."""
    address = typed_address(query.address)
    if address is None:
        raise errors.InvalidParam
    return Invites(await call.services.operations.invites_of(address, call.identity.invites))


@endpoint("GET", admin("/audit"), auth=Auth.OPERATOR_TOKEN, scope=Scope.AUDIT_READ, errors=(errors.NotFound,))
async def read_audit_log(call: OperatorCall, query: Place) -> Entries:
    """Read the audit log, oldest entries first."""
    found = await call.services.trail.page(after=query.after, since=query.since, count=query.limit)
    return Entries(found, found[-1].id if len(found) == query.limit else None)


ENDPOINTS: Final = (clear_limits, show_message, resend_message, remove_suppression, list_invites, read_audit_log)
