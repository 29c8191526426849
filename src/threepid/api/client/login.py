"""Login. https://spec.matrix.org/latest/client-server-api/#login."""

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import Call
from threepid.domain.accounts import Device
from threepid.spec import errors
from threepid.spec.endpoint import Auth, client, endpoint
from threepid.spec.types import DeviceId, DisplayName, Password
from threepid.spec.uia import PASSWORD, Identifier


class LoginFlow(Struct, frozen=True):
    """One way to log in."""

    type: str


class LoginFlows(Struct, frozen=True):
    """The ways to log in here."""

    flows: list[LoginFlow]


class LoginRequest(Struct, frozen=True):
    """Who logs in: by `identifier`, or by `user` or `medium` and `address` as clients of 2016 do."""

    type: str
    identifier: Identifier | UnsetType = UNSET
    user: str | UnsetType = UNSET
    medium: str | UnsetType = UNSET
    address: str | UnsetType = UNSET
    password: Password | UnsetType = UNSET
    device_id: DeviceId | UnsetType = UNSET
    initial_device_display_name: DisplayName | UnsetType = UNSET


class LoggedIn(Struct, frozen=True):
    """The new session. `home_server` is for clients of 2016."""

    user_id: str
    access_token: str
    device_id: str
    home_server: str


@endpoint("GET", client("/login", "r0", "v3", "unstable"), auth=Auth.NONE)
async def get_login(call: Call) -> LoginFlows:  # noqa: ARG001 - the flows are the same for everybody
    """How one can log in here. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3login."""
    return LoginFlows([LoginFlow(PASSWORD)])


@endpoint(
    "POST",
    client("/login", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    errors=(errors.Forbidden, errors.UnknownLoginType),
)
async def post_login(call: Call, body: LoginRequest) -> LoggedIn:
    """Log in. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3login."""
    if body.type != PASSWORD:
        raise errors.UnknownLoginType
    if body.password is UNSET:
        raise errors.MissingParam("'password' is missing.")
    if body.identifier is UNSET and body.user is UNSET and body.address is UNSET:
        raise errors.MissingParam("'identifier' is missing.")
    accounts = call.services.accounts
    account = await accounts.find(body.identifier, user=body.user, medium=body.medium, address=body.address)
    device = Device(body.device_id or None, body.initial_device_display_name or None)
    login = await accounts.log_in(account, body.password, device)
    return LoggedIn(login.user_id, login.access_token, login.device_id, call.config.server.name)


ENDPOINTS = (get_login, post_login)
