"""Changing and recovering the password. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountpassword."""

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import Call, MaybeUserCall
from threepid.api.client.tokens import (
    EmailTokenRequest,
    MsisdnTokenRequest,
    Sid,
    TextSent,
    request_email_token,
    request_msisdn_token,
)
from threepid.domain.validation.purposes import Purpose
from threepid.spec import errors
from threepid.spec.endpoint import Auth, client, endpoint
from threepid.spec.types import Password
from threepid.spec.uia import AuthData, Operation


class NewPassword(Struct, frozen=True):
    """The new password. `logout_devices` logs out all other devices."""

    new_password: Password
    auth: AuthData | UnsetType = UNSET
    logout_devices: bool = True


@endpoint(
    "POST",
    client("/account/password", "r0", "v3", "unstable"),
    auth=Auth.OPTIONAL_ACCESS_TOKEN,
    uia=Operation.CHANGE_PASSWORD,
    errors=(errors.Forbidden, errors.WeakPassword),
)
async def change_password(call: MaybeUserCall, body: NewPassword) -> None:
    """Set a new password, with the old one or a contact. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountpassword."""
    await call.homeserver.recovery.change_password(
        body.new_password, call.authentication(body.auth), log_out_devices=body.logout_devices
    )


_REQUEST_ERRORS: Final = (
    errors.SessionExpired,
    errors.ThreepidDenied,
    errors.ThreepidMediumNotSupported,
    errors.ThreepidNotFound,
)


@endpoint(
    "POST",
    client("/account/password/email/requestToken", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    errors=_REQUEST_ERRORS,
)
async def request_reset_email_token(call: Call, body: EmailTokenRequest) -> Sid:
    """Send a code and link to an email address to recover the account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountpasswordemailrequesttoken."""
    return await request_email_token(call, Purpose.RESET, body)


@endpoint(
    "POST",
    client("/account/password/msisdn/requestToken", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    errors=_REQUEST_ERRORS,
)
async def request_reset_msisdn_token(call: Call, body: MsisdnTokenRequest) -> TextSent:
    """Send a code to a phone number to recover the account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountpasswordmsisdnrequesttoken."""
    return await request_msisdn_token(call, Purpose.RESET, body)


ENDPOINTS = (change_password, request_reset_email_token, request_reset_msisdn_token)
