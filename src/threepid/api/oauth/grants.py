"""Tokens of apps. https://spec.matrix.org/latest/client-server-api/#oauth-20-api."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from threepid.api.call import Call
from threepid.clock import SECOND
from threepid.domain.accounts.devices import Login
from threepid.domain.oauth.tokens import Caller
from threepid.domain.services import OAuth
from threepid.spec.endpoint import Accepts, Auth, endpoint, oauth
from threepid.spec.oauth import errors
from threepid.spec.oauth.clients import AUTHORIZATION_CODE, DEVICE_CODE, REFRESH_TOKEN
from threepid.spec.oauth.server import DEVICE, LINK, REVOKE, TOKEN

_Text = Annotated[str, Meta(max_length=4096)]


class TokenRequest(Struct, frozen=True):
    """What an app exchanges for tokens: a code, a refresh token or a device code."""

    grant_type: _Text
    client_id: _Text
    code: _Text | UnsetType = UNSET
    redirect_uri: _Text | UnsetType = UNSET
    code_verifier: _Text | UnsetType = UNSET
    refresh_token: _Text | UnsetType = UNSET
    device_code: _Text | UnsetType = UNSET


class Tokens(Struct, frozen=True):
    """The tokens of an app, and the lifetime of the access token in seconds."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    scope: str


class RevocationRequest(Struct, frozen=True):
    """The access or refresh token whose session ends. Hint and client change nothing."""

    token: str
    token_type_hint: str | UnsetType = UNSET
    client_id: str | UnsetType = UNSET


class DeviceRequest(Struct, frozen=True):
    """The app, and what it wants to be allowed."""

    client_id: _Text
    scope: _Text = ""


class DeviceCode(Struct, frozen=True):
    """The secret of a device, the code for its owner and the page to enter it. Times in seconds."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


_TOKEN_ERRORS: Final = (
    errors.AccessDenied,
    errors.AuthorizationPending,
    errors.ExpiredToken,
    errors.InvalidClient,
    errors.InvalidGrant,
    errors.InvalidRequest,
    errors.SlowDown,
    errors.UnsupportedGrantType,
)


@endpoint("POST", oauth(TOKEN), auth=Auth.NONE, accepts=Accepts.ONLY_FORM, errors=_TOKEN_ERRORS)
async def issue_token(call: Call, body: TokenRequest) -> Tokens:
    """Exchange a code, a refresh token or a device code for tokens. https://www.rfc-editor.org/rfc/rfc6749#section-3.2."""
    service = call.services.require_oauth()
    try:
        login = await _exchange(call, service, body)
    except errors.InvalidGrant:
        if await service.clients.get(body.client_id) is None:
            raise errors.InvalidClient("The client is not registered.") from None
        raise
    return Tokens(
        login.access_token,
        "Bearer",
        (login.expires_in_ms or 0) // SECOND,
        login.refresh_token or "",
        login.scope,
    )


async def _exchange(call: Call, service: OAuth, body: TokenRequest) -> Login:
    caller = Caller(call.client, call.user_agent)
    if body.grant_type == AUTHORIZATION_CODE:
        return await service.tokens.exchange(
            _required(body.code, "code"),
            client_id=body.client_id,
            redirect_uri=_required(body.redirect_uri, "redirect_uri"),
            verifier=_required(body.code_verifier, "code_verifier"),
            caller=caller,
        )
    if body.grant_type == REFRESH_TOKEN:
        token = _required(body.refresh_token, "refresh_token")
        return await service.tokens.refresh(token, client_id=body.client_id, caller=caller)
    if body.grant_type == DEVICE_CODE:
        device_code = _required(body.device_code, "device_code")
        return await service.device_grants.tokens(device_code, client_id=body.client_id, caller=caller)
    raise errors.UnsupportedGrantType


def _required(value: str | UnsetType, name: str) -> str:
    if value is UNSET:
        raise errors.InvalidRequest(f"{name} is missing.")
    return value


@endpoint("POST", oauth(REVOKE), auth=Auth.NONE, accepts=Accepts.LENIENT_FORM)
async def revoke_token(call: Call, body: RevocationRequest) -> None:
    """End the session of a token: this is how an app logs out. https://www.rfc-editor.org/rfc/rfc7009."""
    await call.services.require_oauth().tokens.revoke(body.token, call.origin)


@endpoint(
    "POST",
    oauth(DEVICE),
    auth=Auth.NONE,
    accepts=Accepts.ONLY_FORM,
    errors=(errors.InvalidClient, errors.InvalidScope, errors.UnauthorizedClient),
)
async def authorize_device(call: Call, body: DeviceRequest) -> DeviceCode:
    """Get a code that the owner of a device without a browser enters on another one. https://www.rfc-editor.org/rfc/rfc8628#section-3.1."""
    caller = Caller(call.client, call.user_agent)
    begun = await call.services.require_oauth().device_grants.begin(body.client_id, body.scope, caller)
    page = f"{call.config.server.public_base_url.rstrip('/')}{LINK}"
    return DeviceCode(
        begun.device_code, begun.user_code, page, f"{page}?code={begun.user_code}", begun.expires_in, begun.interval
    )


ENDPOINTS = (issue_token, revoke_token, authorize_device)
