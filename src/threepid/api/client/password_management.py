"""Changing and recovering the password. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountpassword."""

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import Call, MaybeUserCall
from threepid.api.client.tokens import EmailTokenRequest, Sid, request_email_token
from threepid.domain.uia import Grant
from threepid.domain.validation import Consumer, Purpose
from threepid.spec import errors
from threepid.spec.endpoint import Auth, client, endpoint
from threepid.spec.types import Password
from threepid.spec.uia import EMAIL_IDENTITY, PASSWORD, AuthData


class NewPassword(Struct, frozen=True):
    """The new password, and whether the other devices are to be logged out."""

    new_password: Password
    auth: AuthData | UnsetType = UNSET
    logout_devices: bool = True


async def authenticate_owner(call: MaybeUserCall, auth: AuthData | UnsetType) -> tuple[str, Grant]:
    """The account that the caller owns, and the permission: by its password with a token, else by one of its contacts."""
    flows = ((EMAIL_IDENTITY,),) if call.requester is None else ((PASSWORD,), (EMAIL_IDENTITY,))
    grant = await call.authenticate(auth, flows, consumer=Consumer.RESET_STAGE)
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
    accounts = call.services.accounts
    accounts.check_new_password(body.new_password)
    user_id, grant = await authenticate_owner(call, body.auth)
    await accounts.change_password(
        user_id,
        body.new_password,
        grant,
        log_out_devices=body.logout_devices,
        device_id=call.requester.device_id if call.requester else None,
    )


@endpoint(
    "POST",
    client("/account/password/email/requestToken", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    errors=(
        errors.SessionExpired,
        errors.ThreepidDenied,
        errors.ThreepidMediumNotSupported,
        errors.ThreepidNotFound,
    ),
)
async def request_reset_email_token(call: Call, body: EmailTokenRequest) -> Sid:
    """Prove a contact to recover the account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountpasswordemailrequesttoken."""
    return await request_email_token(call, Purpose.RESET, body)


ENDPOINTS = (change_password, request_reset_email_token)
