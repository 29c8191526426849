"""Changing and recovering the password. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountpassword."""

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import Call, MaybeUserCall
from threepid.api.client.tokens import EmailTokenRequest, MsisdnTokenRequest, Sid, request_token
from threepid.domain.authentication import flows
from threepid.domain.authentication.uia import Grant
from threepid.domain.validation.sessions import Consumer, Purpose
from threepid.spec import errors
from threepid.spec.endpoint import Auth, client, endpoint
from threepid.spec.types import Password
from threepid.spec.uia import AuthData
from threepid.storage.engine.database import Tx


class NewPassword(Struct, frozen=True):
    """The new password, and whether the other devices are to be logged out."""

    new_password: Password
    auth: AuthData | UnsetType = UNSET
    logout_devices: bool = True


async def authenticate_owner(call: MaybeUserCall, auth: AuthData | UnsetType) -> tuple[str, Grant]:
    """The account that the caller owns, and the permission: by its password with a token, else by one of its contacts."""
    offered = flows.of_owner(call.config, has_token=call.requester is not None)
    if not offered:
        raise errors.Forbidden("An account cannot be recovered on this server.")
    grant = await call.authenticate(auth, offered, consumer=Consumer.RESET_STAGE)
    if not grant.proofs:
        return call.user_id, grant
    owner = await call.services.accounts.owner_of(grant.proofs[0])
    if call.user_id not in ("", owner):
        raise errors.Forbidden("This address belongs to another account.")
    return owner, grant


@endpoint(
    "POST",
    client("/account/password", "r0", "v3", "unstable"),
    auth=Auth.OPTIONAL_ACCESS_TOKEN,
    uia=True,
    errors=(errors.Forbidden, errors.WeakPassword),
)
async def change_password(call: MaybeUserCall, body: NewPassword) -> None:
    """Set a new password, by the old one or by a contact. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountpassword."""
    services = call.services
    services.accounts.check_new_password(body.new_password, call.user_id)
    user_id, grant = await authenticate_owner(call, body.auth)

    def also(tx: Tx) -> None:
        if services.associations is not None:
            services.associations.forget(tx, user_id)

    await services.accounts.change_password(
        user_id,
        body.new_password,
        grant,
        log_out_devices=body.logout_devices,
        device_id=call.requester.device_id if call.requester else None,
        also=also,
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
    """Prove an e-mail address to recover the account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountpasswordemailrequesttoken."""
    return await request_token(call, Purpose.RESET, body)


@endpoint(
    "POST",
    client("/account/password/msisdn/requestToken", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    errors=_REQUEST_ERRORS,
)
async def request_reset_msisdn_token(call: Call, body: MsisdnTokenRequest) -> Sid:
    """Prove a phone number to recover the account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountpasswordmsisdnrequesttoken."""
    return await request_token(call, Purpose.RESET, body)


ENDPOINTS = (change_password, request_reset_email_token, request_reset_msisdn_token)
