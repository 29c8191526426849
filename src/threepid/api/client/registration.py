"""Registration. https://spec.matrix.org/latest/client-server-api/#account-registration-and-management."""

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import Call
from threepid.api.client.tokens import (
    REQUEST_ERRORS,
    EmailTokenRequest,
    MsisdnTokenRequest,
    Sid,
    TextSent,
    request_email_token,
    request_msisdn_token,
)
from threepid.domain.lifecycle.registration import NewAccount
from threepid.domain.validation.purposes import Purpose
from threepid.i18n import Text
from threepid.spec import errors
from threepid.spec.endpoint import Auth, Forwards, client, endpoint
from threepid.spec.types import DeviceId, DisplayName, Password
from threepid.spec.uia import AuthData, Operation


class Register(Struct, frozen=True):
    """The requested properties of the new account."""

    auth: AuthData | UnsetType = UNSET
    username: str | UnsetType = UNSET
    password: Password | UnsetType = UNSET
    device_id: DeviceId | UnsetType = UNSET
    initial_device_display_name: DisplayName | UnsetType = UNSET
    inhibit_login: bool = False
    refresh_token: bool = False


class RegisterQuery(Struct, frozen=True):
    """The kind of account."""

    kind: str = "user"
    """`user`; this server has no guests."""


class Registered(Struct, frozen=True, omit_defaults=True):
    """The new account, and its first device unless the client inhibited the login."""

    user_id: str
    home_server: str
    access_token: str | UnsetType = UNSET
    device_id: str | UnsetType = UNSET
    refresh_token: str | UnsetType = UNSET
    expires_in_ms: int | UnsetType = UNSET


class AvailableQuery(Struct, frozen=True):
    """The username to check."""

    username: str


class Available(Struct, frozen=True):
    """Always true: an unavailable username is an error."""

    available: bool


@endpoint(
    "POST",
    client("/register", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    uia=Operation.REGISTER,
    forwards=Forwards.APPLICATION_SERVICE_BODY,
    errors=(
        errors.Exclusive,
        errors.Forbidden,
        errors.GuestAccessForbidden,
        errors.InvalidUsername,
        errors.ThreepidInUse,
        errors.UpstreamFailed,
        errors.UserInUse,
        errors.UserLocked,
        errors.WeakPassword,
    ),
)
async def register(call: Call, body: Register, query: RegisterQuery) -> Registered:
    """Register an account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3register."""
    if query.kind == "guest":
        raise errors.GuestAccessForbidden
    if query.kind != "user":
        raise errors.InvalidParam(Text("'kind' must be 'user' or 'guest'."))
    wish = NewAccount(
        username=None if body.username is UNSET else body.username,
        password=None if body.password is UNSET else body.password,
        device=call.device(body.device_id, body.initial_device_display_name, refreshes=body.refresh_token),
        logs_in=not body.inhibit_login,
        languages=call.languages,
    )
    registered = await call.homeserver.registration.register(wish, call.authentication(body.auth), client=call.client)
    login = registered.login
    if login is None:
        return Registered(registered.user_id, call.config.server.name)
    return Registered(
        login.user_id,
        call.config.server.name,
        login.access_token,
        login.device_id,
        login.refresh_token or UNSET,
        login.expires_in_ms or UNSET,
    )


@endpoint(
    "GET",
    client("/register/available", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    errors=(errors.Exclusive, errors.InvalidUsername, errors.UserInUse),
)
async def available(call: Call, query: AvailableQuery) -> Available:
    """Is this username free? https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3registeravailable."""
    await call.homeserver.registration.check_username(query.username)
    return Available(available=True)


@endpoint(
    "POST",
    client("/register/email/requestToken", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    errors=REQUEST_ERRORS,
)
async def request_register_email_token(call: Call, body: EmailTokenRequest) -> Sid:
    """Send a code and link to an email address for a new account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3registeremailrequesttoken."""
    call.homeserver.registration.check_open()
    return await request_email_token(call, Purpose.REGISTER, body)


@endpoint(
    "POST",
    client("/register/msisdn/requestToken", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    errors=REQUEST_ERRORS,
)
async def request_register_msisdn_token(call: Call, body: MsisdnTokenRequest) -> TextSent:
    """Send a code to a phone number for a new account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3registermsisdnrequesttoken."""
    call.homeserver.registration.check_open()
    return await request_msisdn_token(call, Purpose.REGISTER, body)


ENDPOINTS = (register, available, request_register_email_token, request_register_msisdn_token)
