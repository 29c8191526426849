"""Limits, messages, suppressed addresses and invitations, for operators."""

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from threepid.api.admin.types import Body, Contact, Count, Nothing, Typed, admin
from threepid.api.call import OperatorCall
from threepid.domain.operators.directory import MOST_LISTED, message_view, typed_address
from threepid.domain.operators.views import InviteView, MessageView, SuppressionView
from threepid.spec import errors
from threepid.spec.endpoint import Auth, endpoint
from threepid.spec.operator_scopes import Scope


class Limits(Body, frozen=True):
    """Whose limits to fill: an account's, an address's or a network's; at least one of them."""

    account: Typed | UnsetType = UNSET
    address: Typed | UnsetType = UNSET
    network: Typed | UnsetType = UNSET


class Cleared(Struct, frozen=True):
    """The number of limits that were not full."""

    cleared: int


class WhichMessages(Struct, frozen=True, forbid_unknown_fields=True):
    """The ID of the last message of the page before, and whether to list those that failed instead of those that wait."""

    after: Typed | None = None
    failed: Literal["true", "false"] = "false"
    """Whether to list those that failed instead of those that wait."""
    limit: Count = MOST_LISTED


class Messages(Struct, frozen=True):
    """A page of messages and calls, oldest first; `next` is the `after` of the next page, or null."""

    messages: list[MessageView]
    next: str | None


class Suppressed(Struct, frozen=True, forbid_unknown_fields=True):
    """The last address of the page before."""

    after: Annotated[str, Meta(max_length=512)] = ""
    limit: Count = MOST_LISTED


class Suppressions(Struct, frozen=True):
    """A page of addresses in their order; `next` is the `after` of the next page, or null."""

    suppressions: list[SuppressionView]
    next: str | None


class WhichInvites(Struct, frozen=True, forbid_unknown_fields=True):
    """An email address or a phone number with `+`, and the ID of the last invitation of the page before."""

    address: Typed | None = None
    after: Typed | None = None
    limit: Count = MOST_LISTED


class Invites(Struct, frozen=True):
    """Invitations; `next` is the `after` of the next page, or null."""

    invites: list[InviteView]
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


@endpoint("GET", admin("/messages"), auth=Auth.OPERATOR_TOKEN, scope=Scope.MESSAGES_READ, errors=(errors.NotFound,))
async def list_messages(call: OperatorCall, query: WhichMessages) -> Messages:
    """List the messages and calls that wait to be sent, or that failed."""
    found = await call.services.queue.page(after=query.after, failed=query.failed == "true", count=query.limit)
    return Messages([message_view(job) for job in found], found[-1].id if len(found) == query.limit else None)


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


@endpoint("GET", admin("/suppressions"), auth=Auth.OPERATOR_TOKEN, scope=Scope.MESSAGES_READ)
async def list_suppressions(call: OperatorCall, query: Suppressed) -> Suppressions:
    """List the email addresses that get no mails, because mails came back from them."""
    found = await call.services.operations.suppressions(after=query.after, count=query.limit)
    return Suppressions(found, found[-1].address if len(found) == query.limit else None)


@endpoint("GET", admin("/invites"), auth=Auth.OPERATOR_TOKEN, scope=Scope.MESSAGES_READ, errors=(errors.NotFound,))
async def list_invites(call: OperatorCall, query: WhichInvites) -> Invites:
    """List the invitations to an address, newest first, or without `address` all, oldest first, with their state."""
    known, operations = call.identity.invites, call.services.operations
    if query.address is None:
        found = await operations.invites(known, after=query.after, count=query.limit)
    else:
        address = typed_address(query.address)
        if address is None:
            raise errors.InvalidParam
        found = await operations.invites_of(address, known, before=query.after, count=query.limit)
    return Invites(found, found[-1].id if len(found) == query.limit else None)


@endpoint(
    "POST",
    admin("/invites/{invite_id}/cancel"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.MESSAGES_WRITE,
    errors=(errors.NotFound, errors.InvalidParam),
)
async def cancel_invite(call: OperatorCall, body: Nothing, invite_id: str) -> InviteView:
    """Cancel an invitation and its key."""
    del body
    return await call.services.operations.cancel_invite(invite_id, call.identity.invites, call.operator)


ENDPOINTS: Final = (
    clear_limits,
    list_messages,
    show_message,
    resend_message,
    list_suppressions,
    remove_suppression,
    list_invites,
    cancel_invite,
)
