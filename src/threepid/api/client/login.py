"""Login. https://spec.matrix.org/latest/client-server-api/#login."""

from msgspec import UNSET, Struct, UnsetType, field

from threepid.api.call import Call, UserCall
from threepid.domain.accounts.devices import Login
from threepid.spec import errors
from threepid.spec.endpoint import Auth, client, endpoint
from threepid.spec.types import DeviceId, DisplayName, Password
from threepid.spec.uia import APPLICATION_SERVICE, PASSWORD, AuthData, Identifier, Operation

LOGIN_TOKEN = "m.login.token"  # noqa: S105 - the name of a login type
SSO = "m.login.sso"


class LoginFlow(Struct, frozen=True, omit_defaults=True):
    """One way to log in. The last two say the same: apps that know OAuth 2.0 should use it instead."""

    type: str
    get_login_token: bool | UnsetType = UNSET
    oauth_aware_preferred: bool | UnsetType = UNSET
    delegated_oidc: bool | UnsetType = field(default=UNSET, name="org.matrix.msc3824.delegated_oidc_compatibility")


class LoginFlows(Struct, frozen=True):
    """The supported ways to log in."""

    flows: list[LoginFlow]


class LoginRequest(Struct, frozen=True):
    """A login. Clients of 2016 send `user`, or `medium` and `address`, in place of `identifier`."""

    type: str
    identifier: Identifier | UnsetType = UNSET
    user: str | UnsetType = UNSET
    medium: str | UnsetType = UNSET
    address: str | UnsetType = UNSET
    password: Password | UnsetType = UNSET
    token: str | UnsetType = UNSET
    device_id: DeviceId | UnsetType = UNSET
    initial_device_display_name: DisplayName | UnsetType = UNSET
    refresh_token: bool = False


class LoggedIn(Struct, frozen=True, omit_defaults=True):
    """The new login. `home_server` is for clients of 2016."""

    user_id: str
    access_token: str
    device_id: str
    home_server: str
    refresh_token: str | UnsetType = UNSET
    expires_in_ms: int | UnsetType = UNSET


class GetToken(Struct, frozen=True):
    """The authentication data."""

    auth: AuthData | UnsetType = UNSET


class LoginToken(Struct, frozen=True):
    """A token for a single login, and its lifetime in milliseconds."""

    login_token: str
    expires_in_ms: int


@endpoint("GET", client("/login", "r0", "v3", "unstable"), auth=Auth.NONE)
async def get_login(call: Call) -> LoginFlows:
    """Get the login types. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3login."""
    flows = [LoginFlow(PASSWORD), LoginFlow(LOGIN_TOKEN, get_login_token=True)]
    if call.homeserver.oauth is not None:
        flows.append(LoginFlow(SSO, oauth_aware_preferred=True, delegated_oidc=True))
    return LoginFlows(flows)


@endpoint(
    "POST",
    client("/login", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    errors=(
        errors.AppserviceLoginUnsupported,
        errors.Forbidden,
        errors.UnknownIdentifierType,
        errors.UnknownLoginType,
        errors.UserLocked,
    ),
)
async def post_login(call: Call, body: LoginRequest) -> LoggedIn:
    """Log in. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3login."""
    login = await _login(call, body)
    return LoggedIn(
        login.user_id,
        login.access_token,
        login.device_id,
        call.config.server.name,
        login.refresh_token or UNSET,
        login.expires_in_ms or UNSET,
    )


async def _login(call: Call, body: LoginRequest) -> Login:
    logins = call.homeserver.logins
    device = call.device(body.device_id, body.initial_device_display_name, refreshes=body.refresh_token)
    if body.type == LOGIN_TOKEN:
        if body.token is UNSET:
            raise errors.MissingParam.named("token")
        return await logins.log_in_by_token(body.token, device)
    if body.type == APPLICATION_SERVICE:
        raise errors.AppserviceLoginUnsupported
    if body.type != PASSWORD:
        raise errors.UnknownLoginType
    if body.password is UNSET:
        raise errors.MissingParam.named("password")
    if body.identifier is UNSET and body.user is UNSET and body.address is UNSET:
        raise errors.MissingParam.named("identifier")
    named = await call.homeserver.accounts.find(
        body.identifier, user=body.user, medium=body.medium, address=body.address
    )
    return await logins.log_in(named, body.password, device)


@endpoint("POST", client("/login/get_token", "v1"), auth=Auth.ACCESS_TOKEN, uia=Operation.GET_LOGIN_TOKEN)
async def get_login_token(call: UserCall, body: GetToken) -> LoginToken:
    """Get a login token for another device. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv1loginget_token."""
    grant = await call.authenticate(body.auth, ((PASSWORD,),))
    return LoginToken(*await call.homeserver.login_tokens.issue(call.user_id, grant))


ENDPOINTS = (get_login, post_login, get_login_token)
