"""Refreshing access tokens. https://spec.matrix.org/latest/client-server-api/#refreshing-access-tokens."""

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import Call
from threepid.domain.accounts.devices import Login
from threepid.spec import errors
from threepid.spec.endpoint import Auth, client, endpoint


class Refresh(Struct, frozen=True):
    """A refresh token from a login or from an earlier refresh."""

    refresh_token: str


class Refreshed(Struct, frozen=True, omit_defaults=True):
    """The new tokens; the first use of either revokes the old ones."""

    access_token: str
    refresh_token: str
    expires_in_ms: int | UnsetType = UNSET


async def _refresh(call: Call, body: Refresh) -> Login:
    return await call.homeserver.devices.refresh(body.refresh_token, client=call.client, user_agent=call.user_agent)


@endpoint(
    "POST",
    client("/refresh", "r0", "v3", "unstable", "v1"),
    auth=Auth.NONE,
    errors=(errors.UnknownToken, errors.UserLocked),
)
async def refresh(call: Call, body: Refresh) -> Refreshed:
    """Exchange a refresh token. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3refresh."""
    login = await _refresh(call, body)
    return Refreshed(login.access_token, login.refresh_token or "", login.expires_in_ms or UNSET)


@endpoint(
    "POST",
    client("/tokenrefresh", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    errors=(errors.Forbidden, errors.UserLocked),
)
async def token_refresh(call: Call, body: Refresh) -> Refreshed:
    """Exchange a refresh token, as clients of 2016 do. The access token is not looked at, so it may have expired.

    https://spec.matrix.org/historical/client_server/r0.1.0.html#post-matrix-client-r0-tokenrefresh
    """
    try:
        login = await _refresh(call, body)
    except errors.UnknownToken as error:
        raise errors.Forbidden(error.text) from error
    return Refreshed(login.access_token, login.refresh_token or "")


ENDPOINTS = (refresh, token_refresh)
