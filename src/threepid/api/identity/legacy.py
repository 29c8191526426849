"""The Identity Service API v1: no access tokens; JSON, urlencoded bodies and query strings.

https://spec.matrix.org/historical/identity_service/r0.3.0.html
The settings `identity.v1` enable its parts, all of them off by default. Homeservers still call `validate`.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from threepid.api.call import Call, SignedCall
from threepid.api.client.tokens import EmailTokenRequest, MsisdnTokenRequest, Sid, Success, TextSent
from threepid.api.identity.associations import UNBIND_ERRORS, SignedAssociation, Unbind, perform_unbind
from threepid.api.identity.invitation import (
    INVITE_ERRORS,
    SignedInvite,
    SignInvite,
    Stored,
    StoreInvite,
    public_keys,
    sign_invite_for,
    store_invite_for,
)
from threepid.api.identity.validation import SessionQuery, ValidatedThreepid, open_session
from threepid.domain.policy import check_v1_caller
from threepid.spec import errors
from threepid.spec.endpoint import Accepts, Auth, endpoint, identity_v1
from threepid.spec.types import ClientSecret, SessionId, UserId

_Text = Annotated[str, Meta(max_length=512)]


class BindV1(Struct, frozen=True):
    """A validated session, and any user ID to bind its address to."""

    sid: SessionId
    client_secret: ClientSecret
    mxid: UserId


class LookupQuery(Struct, frozen=True):
    """One unhashed address."""

    medium: _Text
    address: _Text


class BulkLookup(Struct, frozen=True):
    """Pairs of medium and address."""

    threepids: list[tuple[_Text, _Text]]


class BulkFound(Struct, frozen=True):
    """Triples of medium, address (as requested) and user ID of each association found."""

    threepids: list[tuple[str, str, str]]


class SubmitAnyToken(Struct, frozen=True):
    """The session, and any text as its token: a malformed token counts as a wrong one."""

    sid: SessionId
    client_secret: ClientSecret
    token: str


async def _submit(call: Call, body: SubmitAnyToken) -> Success:
    """Answer `success: false` for a rejected code: homeservers pass it on, but replace an error with one of their own."""
    check_v1_caller(call.config, call.client)
    try:
        await call.services.validation.submit_token(body.sid, body.client_secret, body.token)
    except (errors.SessionExpired, errors.TokenIncorrect):
        return Success(success=False)
    return Success(success=True)


@endpoint(
    "POST",
    identity_v1("/validate/email/requestToken"),
    auth=Auth.NONE,
    accepts=Accepts.ANY,
    switch="v1.validate",
    errors=(
        errors.Forbidden,
        errors.InvalidEmail,
        errors.SessionExpired,
        errors.ThreepidDenied,
        errors.ThreepidMediumNotSupported,
    ),
)
async def request_email_token_v1(call: Call, body: EmailTokenRequest) -> Sid:
    """Send a link and a code to an email address. https://spec.matrix.org/historical/identity_service/r0.3.0.html#post-matrix-identity-api-v1-validate-email-requesttoken."""
    check_v1_caller(call.config, call.client)
    return await open_session(call, body, body.send_attempt, owner="")


@endpoint(
    "POST",
    identity_v1("/validate/msisdn/requestToken"),
    auth=Auth.NONE,
    accepts=Accepts.ANY,
    switch="v1.validate",
    errors=(
        errors.DestinationRejected,
        errors.Forbidden,
        errors.InvalidAddress,
        errors.SessionExpired,
        errors.ThreepidMediumNotSupported,
    ),
)
async def request_msisdn_token_v1(call: Call, body: MsisdnTokenRequest) -> TextSent:
    """Send a code to a phone number. https://spec.matrix.org/historical/identity_service/r0.3.0.html#post-matrix-identity-api-v1-validate-msisdn-requesttoken."""
    check_v1_caller(call.config, call.client)
    session = await open_session(call, body, body.send_attempt, owner="")
    return TextSent(session.sid, body.parsed().canonical)


@endpoint(
    "POST",
    identity_v1("/validate/email/submitToken"),
    auth=Auth.NONE,
    accepts=Accepts.ANY,
    switch="v1.validate",
    errors=(errors.Forbidden, errors.NoValidSession),
)
async def submit_email_token_v1(call: Call, body: SubmitAnyToken) -> Success:
    """Submit the token of a mail. https://spec.matrix.org/historical/identity_service/r0.3.0.html#post-matrix-identity-api-v1-validate-email-submittoken."""
    return await _submit(call, body)


@endpoint(
    "POST",
    identity_v1("/validate/msisdn/submitToken"),
    auth=Auth.NONE,
    accepts=Accepts.ANY,
    switch="v1.validate",
    errors=(errors.Forbidden, errors.NoValidSession),
)
async def submit_msisdn_token_v1(call: Call, body: SubmitAnyToken) -> Success:
    """Submit the code of an SMS. https://spec.matrix.org/historical/identity_service/r0.3.0.html#post-matrix-identity-api-v1-validate-msisdn-submittoken."""
    return await _submit(call, body)


@endpoint(
    "GET",
    identity_v1("/3pid/getValidated3pid"),
    auth=Auth.NONE,
    switch="v1.validate",
    errors=(errors.Forbidden, errors.NoValidSession, errors.SessionExpired, errors.SessionNotValidated),
)
async def get_validated_threepid_v1(call: Call, query: SessionQuery) -> ValidatedThreepid:
    """Get the address that a validation session proves. https://spec.matrix.org/historical/identity_service/r0.3.0.html#get-matrix-identity-api-v1-3pid-getvalidated3pid."""
    check_v1_caller(call.config, call.client)
    session = await call.services.validation.validated(query.sid, query.client_secret)
    return ValidatedThreepid(session.medium, session.canonical, session.validated_at or 0)


@endpoint(
    "POST",
    identity_v1("/3pid/bind"),
    auth=Auth.NONE,
    accepts=Accepts.ANY,
    switch="v1.bind",
    errors=(errors.NoValidSession, errors.SessionExpired, errors.SessionNotValidated),
)
async def bind_v1(call: Call, body: BindV1) -> SignedAssociation:
    """Bind the address of a validation session to any user ID. https://spec.matrix.org/historical/identity_service/r0.3.0.html#post-matrix-identity-api-v1-3pid-bind."""
    signed = await call.identity.associations.bind(body.sid, body.client_secret, body.mxid, caller=None)
    return msgspec.convert(signed, SignedAssociation)


@endpoint(
    "POST",
    identity_v1("/3pid/unbind"),
    auth=Auth.OPTIONAL_SIGNATURE,
    switch="v1.bind",
    errors=UNBIND_ERRORS,
)
async def unbind_v1(call: SignedCall, body: Unbind) -> None:
    """Unbind an address, with a validation session or by the user's homeserver. https://spec.matrix.org/historical/identity_service/r0.3.0.html#post-matrix-identity-api-v1-3pid-unbind."""
    await perform_unbind(call, body)


class MaybeAssociation(Struct, frozen=True):
    """The signed association as `bind` answers it, or no member if the address is not bound."""

    address: str | UnsetType = UNSET
    medium: str | UnsetType = UNSET
    mxid: str | UnsetType = UNSET
    not_before: int | UnsetType = UNSET
    not_after: int | UnsetType = UNSET
    ts: int | UnsetType = UNSET
    signatures: dict[str, dict[str, str]] | UnsetType = UNSET


@endpoint("GET", identity_v1("/lookup"), auth=Auth.NONE, switch="v1.lookup")
async def lookup_v1(call: Call, query: LookupQuery) -> Annotated[dict[str, Any], MaybeAssociation]:
    """Look up the user ID of one address; `{}` if there is none. https://spec.matrix.org/historical/identity_service/r0.3.0.html#get-matrix-identity-api-v1-lookup."""
    found = await call.identity.lookup.lookup_plain([(query.medium, query.address)], client=call.client)
    return call.identity.associations.signed(found[0]) if found else {}


@endpoint(
    "POST",
    identity_v1("/bulk_lookup"),
    auth=Auth.NONE,
    max_body=1_048_576,
    switch="v1.lookup",
    errors=(errors.TooManyAddresses,),
)
async def bulk_lookup_v1(call: Call, body: BulkLookup) -> BulkFound:
    """Look up the user IDs of addresses. https://spec.matrix.org/historical/identity_service/r0.3.0.html#post-matrix-identity-api-v1-bulk-lookup."""
    found = await call.identity.lookup.lookup_pairs(body.threepids, client=call.client)
    return BulkFound([(medium, address, association.mxid) for (medium, address), association in found])


class StoredV1(Stored, frozen=True):
    """The stored invitation, with the server's key also outside the list, where older homeservers expect it."""

    public_key: str


@endpoint(
    "POST",
    identity_v1("/store-invite"),
    auth=Auth.NONE,
    accepts=Accepts.ANY,
    switch="v1.bind",
    errors=INVITE_ERRORS,
)
async def store_invite_v1(call: Call, body: StoreInvite) -> StoredV1:
    """Store an invitation by any sender, and send it to the address. https://spec.matrix.org/historical/identity_service/r0.3.0.html#post-matrix-identity-api-v1-store-invite."""
    stored = await store_invite_for(call, body, caller=None)
    return StoredV1(stored.token, public_keys(call, stored), stored.display_name, stored.server_key)


@endpoint("POST", identity_v1("/sign-ed25519"), auth=Auth.NONE, accepts=Accepts.ANY, switch="v1.bind")
async def sign_ed25519_v1(call: Call, body: SignInvite) -> SignedInvite:
    """Sign the acceptance of an invitation by any user ID with the invitation's key. https://spec.matrix.org/historical/identity_service/r0.3.0.html#post-matrix-identity-api-v1-sign-ed25519."""
    return await sign_invite_for(call, body, caller=None)


ENDPOINTS = (
    request_email_token_v1,
    request_msisdn_token_v1,
    submit_email_token_v1,
    submit_msisdn_token_v1,
    get_validated_threepid_v1,
    bind_v1,
    unbind_v1,
    lookup_v1,
    bulk_lookup_v1,
    store_invite_v1,
    sign_ed25519_v1,
)
