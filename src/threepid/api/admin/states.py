"""What operators do to accounts as a whole: create, lock, deactivate and reactivate them, and see what is kept about them."""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from threepid.api.admin.types import Body, Nothing, admin
from threepid.api.call import OperatorCall
from threepid.domain.operators.views import RemainView
from threepid.spec import errors
from threepid.spec.endpoint import Auth, endpoint
from threepid.spec.operator_scopes import Scope
from threepid.spec.types import Password

_CHANGES: Final = (errors.Forbidden, errors.NotFound)


class NewAccount(Body, frozen=True):
    """The username, without `@` and server name, and the password; without one, nobody can sign in yet."""

    username: Annotated[str, Meta(max_length=512)]
    password: Password | UnsetType = UNSET


class Created(Struct, frozen=True):
    """The user ID of the new account."""

    user_id: str


class Acted(Struct, frozen=True):
    """Did anything change? It did not if the account was so already, or is deactivated."""

    done: bool


class Deactivation(Body, frozen=True):
    """Whether to also delete profile, preferences, terms, finished messages and security log, and hide room messages."""

    erase: bool = False


class Unbound(Struct, frozen=True):
    """Are all addresses known to be unbound from the identity servers where they were bound?"""

    unbound: bool


class Reactivation(Body, frozen=True):
    """A new password; without one, nobody can sign in yet."""

    password: Password | UnsetType = UNSET


class Remaining(Struct, frozen=True):
    """The tables that still name the account."""

    remains: list[RemainView]


@endpoint(
    "POST",
    admin("/accounts"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_WRITE,
    errors=(errors.InvalidUsername, errors.UserInUse, errors.WeakPassword, errors.Unavailable),
)
async def create_account(call: OperatorCall, body: NewAccount) -> Created:
    """Create an account. With a contact and a password link, its owner chooses the password."""
    password = None if body.password is UNSET else body.password
    return Created(await call.homeserver.support.create(body.username, password, call.operator))


@endpoint(
    "POST",
    admin("/accounts/{account}/lock"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_WRITE,
    errors=_CHANGES,
)
async def lock_account(call: OperatorCall, body: Nothing, account: str) -> Acted:
    """Lock an account: nobody can sign in to it or use it, but its devices and contacts stay."""
    del body
    user_id = await call.homeserver.directory.find(account)
    return Acted(await call.homeserver.support.lock(user_id, call.operator))


@endpoint(
    "POST",
    admin("/accounts/{account}/unlock"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_WRITE,
    errors=_CHANGES,
)
async def unlock_account(call: OperatorCall, body: Nothing, account: str) -> Acted:
    """Unlock an account, so that its devices can go on."""
    del body
    user_id = await call.homeserver.directory.find(account)
    return Acted(await call.homeserver.support.unlock(user_id, call.operator))


@endpoint(
    "POST",
    admin("/accounts/{account}/deactivate"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_WRITE,
    errors=_CHANGES,
)
async def deactivate_account(call: OperatorCall, body: Deactivation, account: str) -> Unbound:
    """Deactivate an account: remove its devices, sessions and contacts, and never give its username to anybody else."""
    user_id = await call.homeserver.directory.find(account)
    return Unbound(await call.homeserver.support.deactivate(user_id, call.operator, erase=body.erase))


@endpoint(
    "POST",
    admin("/accounts/{account}/reactivate"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_WRITE,
    errors=(*_CHANGES, errors.WeakPassword, errors.Unavailable),
)
async def reactivate_account(call: OperatorCall, body: Reactivation, account: str) -> None:
    """Undo the deactivation of an account. Its contacts, devices and right to administer the server do not come back."""
    user_id = await call.homeserver.directory.find(account)
    password = None if body.password is UNSET else body.password
    await call.homeserver.support.reactivate(user_id, password, call.operator)


@endpoint(
    "POST",
    admin("/accounts/{account}/export"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_READ,
    errors=_CHANGES,
)
async def export_account(call: OperatorCall, body: Nothing, account: str) -> dict[str, Any]:
    """Get the data of an account as its owner can download it, and note that in the audit log.

    It includes entries of that log, messages and invitations: the operator token must have the scopes `audit:read` and
    `messages:read`, too.
    """
    del body
    call.operator.require(Scope.AUDIT_READ)
    call.operator.require(Scope.MESSAGES_READ)
    user_id = await call.homeserver.directory.find(account)
    return await call.homeserver.support.export(user_id, call.operator)


@endpoint(
    "GET",
    admin("/accounts/{account}/remains"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.ACCOUNTS_READ,
    errors=(errors.NotFound,),
)
async def show_remains(call: OperatorCall, account: str) -> Remaining:
    """List which tables have rows about an account, and how many. It reads whole tables."""
    user_id = await call.homeserver.directory.find(account)
    found = await call.homeserver.directory.remains(user_id)
    return Remaining([RemainView(one.table_name, one.count) for one in found])


ENDPOINTS: Final = (
    create_account,
    lock_account,
    unlock_account,
    deactivate_account,
    reactivate_account,
    export_account,
    show_remains,
)
