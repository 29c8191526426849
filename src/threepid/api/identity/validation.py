"""Validating addresses. https://spec.matrix.org/latest/identity-service-api/#establishing-associations."""

from typing import Annotated

from msgspec import Meta, Struct

from threepid.api.call import Call, IdentityCall
from threepid.api.client import tokens
from threepid.api.client.tokens import EmailRequest, MsisdnRequest, Sid, SubmitToken, Success
from threepid.domain.origin import Origin, of_caller
from threepid.domain.policy import is_homeserver
from threepid.domain.validation.purposes import Purpose
from threepid.spec import errors
from threepid.spec.endpoint import Accepts, Auth, endpoint, identity
from threepid.spec.types import ClientSecret, SendAttempt, SessionId

_Attempt = SendAttempt | Annotated[str, Meta(pattern=r"\A[0-9]{1,15}\Z")]
"""Clients built on matrix-js-sdk send this number to identity servers as a string."""


class IdentityEmailTokenRequest(EmailRequest, frozen=True, kw_only=True):
    """An email address to validate."""

    send_attempt: _Attempt


class IdentityMsisdnTokenRequest(MsisdnRequest, frozen=True, kw_only=True):
    """A phone number to validate. Element Web sends a null `country` with the international number of a contact to publish."""

    send_attempt: _Attempt


class SessionQuery(Struct, frozen=True):
    """A validation session and its client secret."""

    sid: SessionId
    client_secret: ClientSecret


class ValidatedThreepid(Struct, frozen=True):
    """The address that the session proves. `address` is canonical; the time is in milliseconds."""

    medium: str
    address: str
    validated_at: int


async def open_session(call: Call, body: EmailRequest | MsisdnRequest, send_attempt: int | str, *, owner: str) -> Sid:
    """Open a validation session of the identity server for the address in `body`, for either version of the API."""
    try:
        sid = await tokens.open_session(
            call,
            Purpose.IDENTITY,
            body,
            int(send_attempt),
            owner=owner,
            origin=_origin(call, owner),
            invalid_email=errors.InvalidEmail,
            invalid_phone=errors.InvalidAddress,
        )
    except errors.ThreepidDenied as error:
        if isinstance(body, MsisdnRequest):
            raise errors.DestinationRejected(error.text) from error
        raise
    return Sid(sid)


def _origin(call: Call, owner: str) -> Origin:
    """The origin of the request: a homeserver on behalf of its user, a user of another homeserver, or one of ours."""
    server_name = owner.partition(":")[2]
    return of_caller(
        call.services.context.clock.now(),
        call.client,
        call.user_agent,
        by_homeserver=is_homeserver(call.config, call.client),
        homeserver="" if server_name == call.config.server.name else server_name,
    )


async def _submit(call: IdentityCall, body: SubmitToken) -> Success:
    await call.services.validation.submit_token(body.sid, body.client_secret, body.token, caller=call.user_id)
    return Success(success=True)


@endpoint(
    "POST",
    identity("/validate/email/requestToken"),
    auth=Auth.IDENTITY_TOKEN,
    accepts=Accepts.FORM,
    errors=(
        errors.InvalidEmail,
        errors.SessionExpired,
        errors.ThreepidDenied,
        errors.ThreepidMediumNotSupported,
    ),
)
async def request_email_token(call: IdentityCall, body: IdentityEmailTokenRequest) -> Sid:
    """Send a link and a code to an email address. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv2validateemailrequesttoken."""
    return await open_session(call, body, body.send_attempt, owner=call.user_id)


@endpoint(
    "POST",
    identity("/validate/msisdn/requestToken"),
    auth=Auth.IDENTITY_TOKEN,
    accepts=Accepts.FORM,
    errors=(
        errors.DestinationRejected,
        errors.InvalidAddress,
        errors.SessionExpired,
        errors.ThreepidMediumNotSupported,
    ),
)
async def request_msisdn_token(call: IdentityCall, body: IdentityMsisdnTokenRequest) -> Sid:
    """Send a code to a phone number. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv2validatemsisdnrequesttoken."""
    return await open_session(call, body, body.send_attempt, owner=call.user_id)


@endpoint(
    "POST",
    identity("/validate/email/submitToken"),
    auth=Auth.IDENTITY_TOKEN,
    accepts=Accepts.FORM,
    errors=(errors.NoValidSession, errors.SessionExpired, errors.TokenIncorrect),
)
async def submit_email_token(call: IdentityCall, body: SubmitToken) -> Success:
    """Submit the token of a mail. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv2validateemailsubmittoken."""
    return await _submit(call, body)


@endpoint(
    "POST",
    identity("/validate/msisdn/submitToken"),
    auth=Auth.IDENTITY_TOKEN,
    accepts=Accepts.FORM,
    errors=(errors.NoValidSession, errors.SessionExpired, errors.TokenIncorrect),
)
async def submit_msisdn_token(call: IdentityCall, body: SubmitToken) -> Success:
    """Submit the code of an SMS. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv2validatemsisdnsubmittoken."""
    return await _submit(call, body)


@endpoint(
    "GET",
    identity("/3pid/getValidated3pid"),
    auth=Auth.IDENTITY_TOKEN,
    errors=(errors.NoValidSession, errors.SessionExpired, errors.SessionNotValidated),
)
async def get_validated_threepid(call: IdentityCall, query: SessionQuery) -> ValidatedThreepid:
    """Get the address that a validation session proves. https://spec.matrix.org/latest/identity-service-api/#get_matrixidentityv23pidgetvalidated3pid."""
    session = await call.services.validation.validated(query.sid, query.client_secret)
    return ValidatedThreepid(session.medium, session.canonical, session.validated_at or 0)


ENDPOINTS = (
    request_email_token,
    request_msisdn_token,
    submit_email_token,
    submit_msisdn_token,
    get_validated_threepid,
)
