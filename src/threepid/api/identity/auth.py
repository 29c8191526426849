"""Accounts of the identity server. https://spec.matrix.org/latest/identity-service-api/#authentication."""

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import Call, IdentityCall
from threepid.spec import errors
from threepid.spec.endpoint import Auth, endpoint, identity
from threepid.spec.types import ServerName, Token


class RegisterByOpenId(Struct, frozen=True):
    """The answer of the homeserver's `openid/request_token`; old clients leave out the optional members."""

    access_token: Token
    matrix_server_name: ServerName
    token_type: str | UnsetType = UNSET
    expires_in: int | float | UnsetType = UNSET


class IdentityToken(Struct, frozen=True):
    """An access token of this identity server, under its names in the specification and in the drafts."""

    token: str
    access_token: str


class Account(Struct, frozen=True):
    """The owner of the access token."""

    user_id: str


@endpoint(
    "POST",
    identity("/account/register"),
    auth=Auth.NONE,
    errors=(errors.Forbidden, errors.Unauthorized, errors.UpstreamFailed),
)
async def register_account(call: Call, body: RegisterByOpenId) -> IdentityToken:
    """Exchange an OpenID token of a homeserver for an access token of this identity server. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv2accountregister."""
    token = await call.identity.associations.register(body.matrix_server_name, body.access_token, client=call.client)
    return IdentityToken(token, token)


@endpoint("GET", identity("/account"), auth=Auth.IDENTITY_TOKEN)
async def get_account(call: IdentityCall) -> Account:
    """Get the user ID of the access token. https://spec.matrix.org/latest/identity-service-api/#get_matrixidentityv2account."""
    return Account(call.user_id)


@endpoint("POST", identity("/account/logout"), auth=Auth.IDENTITY_TOKEN, before_terms=True)
async def logout_account(call: IdentityCall) -> None:
    """Revoke the access token. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv2accountlogout."""
    await call.identity.associations.log_out(call.token)


ENDPOINTS = (register_account, get_account, logout_account)
