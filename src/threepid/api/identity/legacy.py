"""The Identity Service API v1 behind its switches: no tokens; JSON, urlencoded bodies and query strings.

https://spec.matrix.org/historical/identity_service/r0.3.0.html
Homeservers still call `validate`; the rest is off unless an operator wants it.
"""

from ipaddress import ip_address, ip_network
from typing import Annotated, Any

from msgspec import Meta, Struct

from threepid.api.call import Call
from threepid.api.client.tokens import EmailTokenRequest, Sid, SubmitToken, Success
from threepid.api.identity.validation import SessionQuery, ValidatedThreepid, open_session
from threepid.spec import errors
from threepid.spec.endpoint import Accepts, Auth, endpoint, identity_v1
from threepid.spec.types import ClientSecret, SessionId, UserId

_Text = Annotated[str, Meta(max_length=512)]


class BindV1(Struct, frozen=True):
    """A validated session, and any user ID."""

    sid: SessionId
    client_secret: ClientSecret
    mxid: UserId


class LookupQuery(Struct, frozen=True):
    """One address in the clear."""

    medium: _Text
    address: _Text


class BulkLookup(Struct, frozen=True):
    """Pairs of medium and address."""

    threepids: list[tuple[_Text, _Text]]


class BulkFound(Struct, frozen=True):
    """Triples of medium, address and user ID for those that were found."""

    threepids: list[tuple[str, str, str]]


def _check_caller(call: Call) -> None:
    """Only the homeservers that the operator listed may validate without a token."""
    networks = call.associations.settings.v1.validate_from
    if networks and not any(ip_address(call.client) in ip_network(network) for network in networks):
        raise errors.Forbidden("This address may not use the old API.")


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
    """Send a link and a code to an address. https://spec.matrix.org/historical/identity_service/r0.3.0.html#post-matrix-identity-api-v1-validate-email-requesttoken."""
    _check_caller(call)
    return await open_session(call, body, body.send_attempt, owner="")


@endpoint(
    "POST",
    identity_v1("/validate/email/submitToken"),
    auth=Auth.NONE,
    accepts=Accepts.ANY,
    switch="v1.validate",
    errors=(errors.Forbidden, errors.NoValidSession, errors.SessionExpired, errors.TokenIncorrect),
)
async def submit_email_token_v1(call: Call, body: SubmitToken) -> Success:
    """Hand in what came by mail. https://spec.matrix.org/historical/identity_service/r0.3.0.html#post-matrix-identity-api-v1-validate-email-submittoken."""
    _check_caller(call)
    await call.services.validation.submit_token(body.sid, body.client_secret, body.token)
    return Success(success=True)


@endpoint(
    "GET",
    identity_v1("/3pid/getValidated3pid"),
    auth=Auth.NONE,
    switch="v1.validate",
    errors=(errors.Forbidden, errors.NoValidSession, errors.SessionExpired, errors.SessionNotValidated),
)
async def get_validated_threepid_v1(call: Call, query: SessionQuery) -> ValidatedThreepid:
    """What a session proves. https://spec.matrix.org/historical/identity_service/r0.3.0.html#get-matrix-identity-api-v1-3pid-getvalidated3pid."""
    _check_caller(call)
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
async def bind_v1(call: Call, body: BindV1) -> dict[str, Any]:
    """Publish the address of a session for any user ID. https://spec.matrix.org/historical/identity_service/r0.3.0.html#post-matrix-identity-api-v1-3pid-bind."""
    return await call.associations.bind(body.sid, body.client_secret, body.mxid, caller=None)


@endpoint("GET", identity_v1("/lookup"), auth=Auth.NONE, switch="v1.lookup")
async def lookup_v1(call: Call, query: LookupQuery) -> dict[str, Any]:
    """Find one user by an address, `{}` if there is none. https://spec.matrix.org/historical/identity_service/r0.3.0.html#get-matrix-identity-api-v1-lookup."""
    found = await call.lookup.lookup_plain([(query.medium, query.address)], client=call.client)
    return call.associations.signed(found[0]) if found else {}


@endpoint(
    "POST",
    identity_v1("/bulk_lookup"),
    auth=Auth.NONE,
    max_body=1_048_576,
    switch="v1.lookup",
    errors=(errors.TooManyAddresses,),
)
async def bulk_lookup_v1(call: Call, body: BulkLookup) -> BulkFound:
    """Find users by their addresses. https://spec.matrix.org/historical/identity_service/r0.3.0.html#post-matrix-identity-api-v1-bulk-lookup."""
    found = await call.lookup.lookup_plain(body.threepids, client=call.client)
    return BulkFound([(one.medium, one.canonical, one.mxid) for one in found])


ENDPOINTS = (
    request_email_token_v1,
    submit_email_token_v1,
    get_validated_threepid_v1,
    bind_v1,
    lookup_v1,
    bulk_lookup_v1,
)
