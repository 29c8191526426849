"""Validating addresses. https://spec.matrix.org/latest/identity-service-api/#establishing-associations."""

from typing import Annotated

from msgspec import Meta, Struct

from threepid.api.call import Call, IdentityCall
from threepid.api.client import tokens
from threepid.api.client.tokens import EmailRequest, MsisdnRequest, Sid, SubmitToken, Success
from threepid.domain.origin import Origin, of_caller
from threepid.domain.policy import is_homeserver
from threepid.domain.validation.sessions import Purpose
from threepid.spec import errors
from threepid.spec.endpoint import Accepts, Auth, endpoint, identity
from threepid.spec.types import ClientSecret, SendAttempt, SessionId

_Attempt = SendAttempt | Annotated[str, Meta(pattern=r"\A[0-9]{1,15}\Z")]
"""Clients built on matrix-js-sdk send the number of their try to identity servers as text."""


class IdentityEmailTokenRequest(EmailRequest, frozen=True, kw_only=True):
    """An e-mail address to be validated."""

    send_attempt: _Attempt


class IdentityMsisdnTokenRequest(MsisdnRequest, frozen=True, kw_only=True):
    """A phone number to be validated."""

    send_attempt: _Attempt


class SessionQuery(Struct, frozen=True):
    """A session and its secret."""

    sid: SessionId
    client_secret: ClientSecret


class ValidatedThreepid(Struct, frozen=True):
    """What the session proves; `address` in its canonical form, the time in milliseconds."""

    medium: str
    address: str
    validated_at: int


async def open_session(call: Call, body: EmailRequest | MsisdnRequest, send_attempt: int | str, *, owner: str) -> Sid:
    """Open a session of the identity server's for the address in `body`, in either version of the API."""
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
            raise errors.DestinationRejected(error.message) from error
        raise
    return Sid(sid)


def _origin(call: Call, owner: str) -> Origin:
    """Who asks: a homeserver for its people, a user of one, or a client of our own user."""
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
    """Send a link and a code to an address. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv2validateemailrequesttoken."""
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
    """Hand in what came by mail. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv2validateemailsubmittoken."""
    return await _submit(call, body)


@endpoint(
    "POST",
    identity("/validate/msisdn/submitToken"),
    auth=Auth.IDENTITY_TOKEN,
    accepts=Accepts.FORM,
    errors=(errors.NoValidSession, errors.SessionExpired, errors.TokenIncorrect),
)
async def submit_msisdn_token(call: IdentityCall, body: SubmitToken) -> Success:
    """Hand in what came by text. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv2validatemsisdnsubmittoken."""
    return await _submit(call, body)


@endpoint(
    "GET",
    identity("/3pid/getValidated3pid"),
    auth=Auth.IDENTITY_TOKEN,
    errors=(errors.NoValidSession, errors.SessionExpired, errors.SessionNotValidated),
)
async def get_validated_threepid(call: IdentityCall, query: SessionQuery) -> ValidatedThreepid:
    """What a session proves. https://spec.matrix.org/latest/identity-service-api/#get_matrixidentityv23pidgetvalidated3pid."""
    session = await call.services.validation.validated(query.sid, query.client_secret)
    return ValidatedThreepid(session.medium, session.canonical, session.validated_at or 0)


ENDPOINTS = (
    request_email_token,
    request_msisdn_token,
    submit_email_token,
    submit_msisdn_token,
    get_validated_threepid,
)
