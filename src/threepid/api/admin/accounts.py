"""Accounts for operators. `account` in a path is a user ID, a username, an email address or a phone number with `+`."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from threepid.api.admin.types import Body, Contact, Count, Nothing, admin
from threepid.api.call import OperatorCall
from threepid.domain.operators.directory import MOST_LISTED
from threepid.domain.operators.views import AccountView, MessageView, Summary
from threepid.spec import errors
from threepid.spec.endpoint import Auth, endpoint
from threepid.spec.operator_scopes import Scope
from threepid.spec.types import Password

_CHANGES: Final = (errors.Forbidden, errors.NotFound)


class Search(Struct, frozen=True, forbid_unknown_fields=True):
    """What to search for, whether it may be in the middle of usernames, and the last user ID of the page before."""

    q: Annotated[str, Meta(max_length=512)] = ""
    """An address, a number with `+`, or the beginning of usernames; empty for all accounts."""
    anywhere: Literal["true", "false"] = "false"
    """Whether `q` may be in the middle of usernames, too."""
    after: Annotated[str, Meta(max_length=512)] = ""
    limit: Count = MOST_LISTED


class Accounts(Struct, frozen=True):
    """A page of accounts; `next` is the `after` of the next page, or null."""

    accounts: list[Summary]
    next: str | None


class Messages(Struct, frozen=True):
    """The newest messages, newest first."""

    messages: list[MessageView]


class Few(Struct, frozen=True, forbid_unknown_fields=True):
    """Number of rows."""

    limit: Count = MOST_LISTED


class NewPassword(Body, frozen=True):
    """The password to set, and whether to log all devices out."""

    password: Password
    log_out_devices: bool = True


class Unbound(Struct, frozen=True):
    """Is the address known to be unbound from the identity servers where it was bound?"""

    unbound: bool


@endpoint("GET", admin("/accounts"), auth=Auth.OPERATOR_TOKEN, scope=Scope.ACCOUNTS_READ, errors=(errors.InvalidParam,))
async def search_accounts(call: OperatorCall, query: Search) -> Accounts:
    """Search accounts: `q` is an address or number of an account, or the beginning of usernames; empty for all accounts.

    With `anywhere`, `q` may also be in the middle of usernames: that reads all of them, which takes longer.
    """
    found = await call.homeserver.directory.search(
        query.q, after=query.after, count=query.limit, anywhere=query.anywhere == "true"
    )
    return Accounts(found, found[-1].user_id if len(found) == query.limit else None)


@endpoint(
    "GET",
    admin("/accounts/{account}"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_READ,
    errors=(errors.NotFound,),
)
async def show_account(call: OperatorCall, account: str) -> AccountView:
    """Show an account: its contacts, devices, browser sessions and used-up limits."""
    return await call.homeserver.directory.show(await call.homeserver.directory.find(account))


@endpoint(
    "GET",
    admin("/accounts/{account}/messages"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.MESSAGES_READ,
    errors=(errors.NotFound,),
)
async def show_messages(call: OperatorCall, query: Few, account: str) -> Messages:
    """List the newest messages to the contacts of an account, and why they did not arrive."""
    user_id = await call.homeserver.directory.find(account)
    return Messages(await call.homeserver.directory.messages(user_id, count=query.limit))


@endpoint(
    "PUT",
    admin("/accounts/{account}/password"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_WRITE,
    errors=(*_CHANGES, errors.WeakPassword),
)
async def set_password(call: OperatorCall, body: NewPassword, account: str) -> None:
    """Set the password of an account. Its browsers are signed out, and unless `log_out_devices` is false its devices."""
    user_id = await call.homeserver.directory.find(account)
    await call.homeserver.support.set_password(
        user_id, body.password, call.operator, log_out_devices=body.log_out_devices
    )


@endpoint(
    "POST",
    admin("/accounts/{account}/password_link"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_WRITE,
    errors=(*_CHANGES, errors.ThreepidDenied, errors.ThreepidMediumNotSupported),
)
async def send_password_link(call: OperatorCall, body: Nothing, account: str) -> None:
    """Send a link by which the owner chooses a password to the first contact of the account that can get one."""
    del body
    user_id = await call.homeserver.directory.find(account)
    await call.homeserver.support.send_link(user_id, call.operator)


@endpoint(
    "POST",
    admin("/accounts/{account}/contacts/add"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_WRITE,
    errors=(*_CHANGES, errors.ThreepidDenied, errors.ThreepidInUse),
)
async def add_contact(call: OperatorCall, body: Contact, account: str) -> None:
    """Add an address that you know to be the owner's: it is not asked to confirm."""
    user_id = await call.homeserver.directory.find(account)
    await call.homeserver.support.add_contact(user_id, body.parsed(), call.operator)


@endpoint(
    "POST",
    admin("/accounts/{account}/contacts/verify"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_WRITE,
    errors=(*_CHANGES, errors.ThreepidDenied, errors.ThreepidInUse),
)
async def verify_contact(call: OperatorCall, body: Contact, account: str) -> None:
    """Record that a contact of the account is still the owner's, so that it counts as validated now."""
    user_id = await call.homeserver.directory.find(account)
    await call.homeserver.support.verify_contact(user_id, body.parsed(), call.operator)


@endpoint(
    "POST",
    admin("/accounts/{account}/contacts/remove"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_WRITE,
    errors=_CHANGES,
)
async def remove_contact(call: OperatorCall, body: Contact, account: str) -> Unbound:
    """Remove a contact of the account, and unbind its address."""
    user_id = await call.homeserver.directory.find(account)
    return Unbound(await call.homeserver.support.remove_contact(user_id, body.parsed(), call.operator))


@endpoint(
    "DELETE",
    admin("/accounts/{account}/devices/{device_id}"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_WRITE,
    errors=_CHANGES,
)
async def log_device_out(call: OperatorCall, account: str, device_id: str) -> None:
    """Log a device of the account out."""
    user_id = await call.homeserver.directory.find(account)
    await call.homeserver.support.log_out(user_id, device_id, call.operator)


@endpoint(
    "DELETE",
    admin("/accounts/{account}/sessions/{session_id}"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_WRITE,
    errors=_CHANGES,
)
async def end_session(call: OperatorCall, account: str, session_id: str) -> None:
    """Sign a browser of the account out."""
    user_id = await call.homeserver.directory.find(account)
    await call.homeserver.support.end_session(user_id, session_id, call.operator)


@endpoint(
    "POST",
    admin("/accounts/{account}/log_out"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_WRITE,
    errors=_CHANGES,
)
async def log_account_out(call: OperatorCall, body: Nothing, account: str) -> None:
    """Log all devices and browsers of the account out."""
    del body
    user_id = await call.homeserver.directory.find(account)
    await call.homeserver.support.log_out_everywhere(user_id, call.operator)


ENDPOINTS: Final = (
    search_accounts,
    show_account,
    show_messages,
    set_password,
    send_password_link,
    add_contact,
    verify_contact,
    remove_contact,
    log_device_out,
    end_session,
    log_account_out,
)
