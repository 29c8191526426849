"""The server's metadata. https://spec.matrix.org/latest/client-server-api/#server-metadata-discovery."""

from typing import Final

from threepid.api.call import Call
from threepid.spec.endpoint import Auth, Beside, client, endpoint, other
from threepid.spec.oauth.accounts import actions
from threepid.spec.oauth.server import ServerMetadata, server_metadata

_FRESH_SECONDS: Final = 600


@endpoint(
    "GET",
    (
        *other("/.well-known/openid-configuration", beside=Beside.HERE),
        *client("/auth_metadata", "v1"),
        *client("/org.matrix.msc2965/auth_metadata", "unstable"),
    ),
    auth=Auth.NONE,
    beside=Beside.HOMESERVER,
    fresh_seconds=_FRESH_SECONDS,
)
async def get_auth_metadata(call: Call) -> ServerMetadata:
    """Get the addresses of the OAuth 2.0 API and what it supports. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1auth_metadata."""
    return server_metadata(
        call.config.server.public_base_url,
        actions=actions(has_homeserver=call.config.homeserver is not None),
        may_register=call.homeserver.settings.registration != "closed",
    )


ENDPOINTS = (get_auth_metadata,)
