"""Binding and unbinding addresses. https://spec.matrix.org/latest/identity-service-api/#establishing-associations."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from threepid.api.call import IdentityCall, SignedCall
from threepid.i18n import Text
from threepid.spec import errors
from threepid.spec.endpoint import Accepts, Auth, endpoint, identity
from threepid.spec.types import ClientSecret, SessionId, UserId


class Bind(Struct, frozen=True):
    """A validated session, and the user ID to bind its address to."""

    sid: SessionId
    client_secret: ClientSecret
    mxid: UserId


class SignedAssociation(Struct, frozen=True):
    """An address that is bound to a user ID, signed by the identity server. Times are in milliseconds."""

    address: str
    medium: str
    mxid: str
    not_before: int
    not_after: int
    ts: int
    """When it was bound."""
    signatures: dict[str, dict[str, str]]


@endpoint(
    "POST",
    identity("/3pid/bind"),
    auth=Auth.IDENTITY_TOKEN,
    accepts=Accepts.FORM,
    errors=(errors.MxidNotYours, errors.NoValidSession, errors.SessionExpired, errors.SessionNotValidated),
)
async def bind(call: IdentityCall, body: Bind) -> SignedAssociation:
    """Bind the address of a validation session to your user ID. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv23pidbind."""
    signed = await call.identity.associations.bind(body.sid, body.client_secret, body.mxid, caller=call.user_id)
    return msgspec.convert(signed, SignedAssociation)


class BoundThreepid(Struct, frozen=True):
    """A bound address."""

    medium: Annotated[str, Meta(max_length=32)]
    address: Annotated[str, Meta(max_length=500)]


class Unbind(Struct, frozen=True):
    """The association to unbind, and a validated session of the address unless the user's homeserver signed the request."""

    mxid: UserId
    threepid: BoundThreepid
    sid: SessionId | UnsetType = UNSET
    client_secret: ClientSecret | UnsetType = UNSET


UNBIND_ERRORS = (
    errors.Forbidden,
    errors.NoValidSession,
    errors.SessionExpired,
    errors.SessionNotValidated,
    errors.UpstreamFailed,
)


async def perform_unbind(call: SignedCall, body: Unbind) -> None:
    """Unbind an address, for either version of the API. Raises UNBIND_ERRORS, and MissingParam for half a session."""
    threepid = body.threepid
    if body.sid is UNSET and body.client_secret is UNSET:
        await call.identity.associations.unbind_signed(
            body.mxid, threepid.medium, threepid.address, call.authorization, call.signed, client=call.client
        )
        return
    if body.sid is UNSET or body.client_secret is UNSET:
        raise errors.MissingParam(Text("'sid' and 'client_secret' must be given together."))
    await call.identity.associations.unbind_proven(
        body.mxid, threepid.medium, threepid.address, body.sid, body.client_secret
    )


@endpoint("POST", identity("/3pid/unbind"), auth=Auth.OPTIONAL_SIGNATURE, errors=UNBIND_ERRORS)
async def unbind(call: SignedCall, body: Unbind) -> None:
    """Unbind an address, with a validation session or by the user's homeserver. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv23pidunbind."""
    await perform_unbind(call, body)


ENDPOINTS = (bind, unbind)
