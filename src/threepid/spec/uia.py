"""User-Interactive Authentication: the data that clients send, flows, and the body of the 401 answer.

https://spec.matrix.org/latest/client-server-api/#user-interactive-authentication-api
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType, field

from threepid.spec.errors import MatrixError

DUMMY: Final = "m.login.dummy"
PASSWORD: Final = "m.login.password"  # noqa: S105 - the name of a stage
EMAIL_IDENTITY: Final = "m.login.email.identity"
MSISDN: Final = "m.login.msisdn"
TERMS: Final = "m.login.terms"
REGISTRATION_TOKEN: Final = "m.login.registration_token"  # noqa: S105 - the name of a stage
RECAPTCHA: Final = "m.login.recaptcha"
APPLICATION_SERVICE: Final = "m.login.application_service"
"""No stage, but the type by which application services register and log in."""

Stage = str
Flow = tuple[Stage, ...]


class Operation(StrEnum):
    """An operation that requires User-Interactive Authentication. Open sessions store the values, so they never change."""

    REGISTER = "register"
    CHANGE_PASSWORD = "change_password"  # noqa: S105 - the name of an operation
    DEACTIVATE = "deactivate"
    ADD_THREEPID = "add_threepid"
    DELETE_DEVICE = "delete_device"
    DELETE_DEVICES = "delete_devices"
    GET_LOGIN_TOKEN = "get_login_token"  # noqa: S105 - the name of an operation


def leaves_body_out(members: Iterable[str], operation: Operation) -> bool:
    """Does a body with these members leave its content to the session's first body?

    Element continues a registration on the page that the mail leads to, with its name for the device and nothing else.
    """
    more = set(members) - {"auth"}
    return not more or (operation is Operation.REGISTER and more == {"initial_device_display_name"})


class Identifier(Struct, frozen=True):
    """A user identifier: `m.id.user`, `m.id.thirdparty` or `m.id.phone`. https://spec.matrix.org/latest/client-server-api/#identifier-types."""

    type: str
    user: str | UnsetType = UNSET
    medium: str | UnsetType = UNSET
    address: str | UnsetType = UNSET
    country: str | UnsetType = UNSET
    phone: str | UnsetType = UNSET
    number: str | UnsetType = UNSET


class AuthData(Struct, frozen=True):
    """The `auth` of a request. The checker of each stage decides which members are required."""

    type: str | UnsetType = UNSET
    session: str | UnsetType = UNSET
    identifier: Identifier | UnsetType = UNSET
    user: str | UnsetType = UNSET
    medium: str | UnsetType = UNSET
    address: str | UnsetType = UNSET
    password: str | UnsetType = UNSET
    token: str | UnsetType = UNSET
    response: str | UnsetType = UNSET
    threepid_creds: Any = UNSET
    legacy_threepid_creds: Any = field(name="threepidCreds", default=UNSET)


class AuthenticationRequiredError(MatrixError):
    """More authentication is required."""

    errcode = "M_FORBIDDEN"
    status = 401

    def __init__(
        self,
        *,
        session: str,
        flows: tuple[Flow, ...],
        completed: tuple[Stage, ...],
        params: dict[str, Any],
        failure: MatrixError | None = None,
    ) -> None:
        """The possible flows, the completed stages, and the error of the last attempt, if it failed."""
        super().__init__(failure.text if failure else None)
        self.failure = failure
        self.session = session
        self.answer: dict[str, Any] = {
            "session": session,
            "flows": [{"stages": list(stages)} for stages in flows],
            "params": params,
        }
        if completed or failure:
            self.answer["completed"] = list(completed)

    def body(self) -> dict[str, Any]:
        """The 401 body; `errcode` and `error` only after a failed attempt."""
        if self.failure is None:
            return self.answer
        return {"errcode": self.failure.errcode, "error": str(self.failure.text), **self.answer}
