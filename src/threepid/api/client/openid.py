"""OpenID tokens. https://spec.matrix.org/latest/client-server-api/#openid."""

from msgspec import Struct

from threepid.api.call import UserCall
from threepid.domain.accounts.openid import issue_openid_token
from threepid.i18n import Text
from threepid.spec import errors
from threepid.spec.endpoint import Auth, Beside, client, endpoint


class RequestToken(Struct, frozen=True):
    """An empty object."""


class OpenIdToken(Struct, frozen=True):
    """A token that proves the user's ID to third parties; `expires_in` is in seconds."""

    access_token: str
    token_type: str
    matrix_server_name: str
    expires_in: int


@endpoint(
    "POST",
    client("/user/{user_id}/openid/request_token", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    errors=(errors.Forbidden,),
    beside=Beside.HOMESERVER,
)
async def request_openid_token(call: UserCall, body: RequestToken, user_id: str) -> OpenIdToken:  # noqa: ARG001 - its object is empty
    """Get an OpenID token for yourself. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3useruseridopenidrequest_token."""
    if user_id != call.user_id:
        raise errors.Forbidden(Text("You can request a token only for yourself."))
    token, seconds = await issue_openid_token(call.services.context, call.requester)
    return OpenIdToken(token, "Bearer", call.config.server.name, seconds)


ENDPOINTS = (request_openid_token,)
