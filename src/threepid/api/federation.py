"""The Server-Server API of the homeserver role. https://spec.matrix.org/latest/server-server-api/."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from threepid import __version__
from threepid.api.call import Call
from threepid.domain.accounts.openid import openid_user
from threepid.spec import errors
from threepid.spec.endpoint import Auth, Beside, endpoint, other
from threepid.spec.types import UserId

_Text = Annotated[str, Meta(min_length=1, max_length=1024)]
_ON_BIND: Final = "/_matrix/federation/v1/3pid/onbind"
_MAX_INVITATIONS: Final = 262_144


class UserinfoQuery(Struct, frozen=True):
    """The OpenID token; any malformed value counts as an unknown token."""

    access_token: str = ""


class Userinfo(Struct, frozen=True):
    """The user ID of the token's owner."""

    sub: str


class Implementation(Struct, frozen=True):
    """Name and version of this software."""

    name: str
    version: str


class ServerVersion(Struct, frozen=True):
    """The server software behind this API."""

    server: Implementation


@endpoint(
    "GET",
    other("/_matrix/federation/v1/openid/userinfo"),
    auth=Auth.NONE,
    errors=(errors.MissingToken, errors.UnknownToken),
    beside=Beside.HOMESERVER,
)
async def openid_userinfo(call: Call, query: UserinfoQuery) -> Userinfo:
    """Get the user ID of an OpenID token. https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1openiduserinfo."""
    if not query.access_token:
        raise errors.MissingToken
    user_id = await openid_user(call.services.context, query.access_token)
    if user_id is None:
        raise errors.UnknownToken
    return Userinfo(user_id)


@endpoint("GET", other("/_matrix/federation/v1/version"), auth=Auth.NONE, beside=Beside.HOMESERVER)
async def federation_version(call: Call) -> ServerVersion:  # noqa: ARG001 - the same for everybody
    """Get the name and version of the server. https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1version."""
    return ServerVersion(Implementation("threepid", __version__))


class VerifyKey(Struct, frozen=True):
    """A key that signs requests, in unpadded Base64."""

    key: str


class OldVerifyKey(Struct, frozen=True):
    """A key that signed requests until `expired_ts`, in milliseconds."""

    key: str
    expired_ts: int


class ServerKeys(Struct, frozen=True):
    """The signed keys of this server, by ID."""

    server_name: str
    verify_keys: dict[str, VerifyKey]
    old_verify_keys: dict[str, OldVerifyKey]
    valid_until_ts: int
    signatures: dict[str, dict[str, str]]


def _server_keys(call: Call) -> ServerKeys:
    context = call.services.context
    published = call.services.keyring.published(context.server_name, context.clock.now())
    return msgspec.convert(published, ServerKeys)


# Sydent and its forks request the path with a trailing slash and no key ID.
@endpoint("GET", other("/_matrix/key/v2/server", "/_matrix/key/v2/server/"), auth=Auth.NONE, beside=Beside.HOMESERVER)
async def get_server_keys(call: Call) -> ServerKeys:
    """Get the keys that sign this server's requests. https://spec.matrix.org/latest/server-server-api/#get_matrixkeyv2server."""
    return _server_keys(call)


@endpoint("GET", other("/_matrix/key/v2/server/{key_id}"), auth=Auth.NONE, deprecated=True, beside=Beside.HOMESERVER)
async def get_server_key(call: Call, key_id: _Text) -> ServerKeys:  # noqa: ARG001 - all of them are the answer
    """Get one key that signs this server's requests. https://spec.matrix.org/v1.5/server-server-api/#get_matrixkeyv2serverkeyid."""
    return _server_keys(call)


class InvitationSignature(Struct, frozen=True):
    """The user ID and the invitation's token, signed by the identity server."""

    mxid: UserId
    token: _Text
    signatures: dict[str, dict[str, str]]


class PendingInvitation(Struct, frozen=True):
    """An invitation to an address that was not yet bound."""

    medium: _Text
    address: _Text
    mxid: UserId
    room_id: _Text
    sender: _Text
    signed: InvitationSignature


class OnBind(Struct, frozen=True):
    """An address that was bound to a user of this server, and the invitations that waited for it."""

    medium: _Text
    address: _Text
    mxid: UserId
    invites: list[PendingInvitation]


@endpoint("PUT", other(_ON_BIND), auth=Auth.NONE, max_body=_MAX_INVITATIONS, beside=Beside.HOMESERVER)
async def put_on_bind(call: Call, body: OnBind) -> None:
    """Accept the notification of a bound address. This server has no rooms to join. https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv13pidonbind."""


@endpoint("POST", other(_ON_BIND), auth=Auth.NONE, max_body=_MAX_INVITATIONS, beside=Beside.HOMESERVER)
async def post_on_bind(call: Call, body: OnBind) -> None:
    """Accept the notification at the path that Sydent calls. https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv13pidonbind."""


ENDPOINTS = (
    openid_userinfo,
    federation_version,
    get_server_keys,
    get_server_key,
    put_on_bind,
    post_on_bind,
)
