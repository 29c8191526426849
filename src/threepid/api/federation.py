"""What other servers ask of the homeserver's side. https://spec.matrix.org/latest/server-server-api/#openid."""

from msgspec import Struct

from threepid import __version__
from threepid.api.call import Call
from threepid.spec import errors
from threepid.spec.endpoint import Auth, endpoint, other
from threepid.spec.types import Token


class UserinfoQuery(Struct, frozen=True):
    """The OpenID token."""

    access_token: Token


class Userinfo(Struct, frozen=True):
    """The user ID whose token it is."""

    sub: str


class Implementation(Struct, frozen=True):
    """Name and version of the software."""

    name: str
    version: str


class ServerVersion(Struct, frozen=True):
    """Who answers here."""

    server: Implementation


@endpoint("GET", other("/_matrix/federation/v1/openid/userinfo"), auth=Auth.NONE, errors=(errors.UnknownToken,))
async def openid_userinfo(call: Call, query: UserinfoQuery) -> Userinfo:
    """Whose OpenID token this is. https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1openiduserinfo."""
    user_id = await call.services.devices.openid_user(query.access_token)
    if user_id is None:
        raise errors.UnknownToken
    return Userinfo(user_id)


@endpoint("GET", other("/_matrix/federation/v1/version"), auth=Auth.NONE)
async def federation_version(call: Call) -> ServerVersion:  # noqa: ARG001 - the same for everybody
    """What runs here. https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1version."""
    return ServerVersion(Implementation("threepid", __version__))


ENDPOINTS = (openid_userinfo, federation_version)
