"""Requests for a validation message: the parts that they share. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3registeremailrequesttoken."""

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import Call
from threepid.domain.addresses import Address, AmbiguousNumber, InvalidAddress, Phone, parse_email, parse_phone
from threepid.domain.origin import Origin
from threepid.domain.validation.purposes import Purpose
from threepid.i18n import Text
from threepid.spec import errors
from threepid.spec.endpoint import Auth, endpoint, other
from threepid.spec.errors import MatrixError
from threepid.spec.types import ClientSecret, Country, NextLink, PhoneNumber, SendAttempt, SessionId, Token

REQUEST_ERRORS: Final = (
    errors.Forbidden,
    errors.SessionExpired,
    errors.ThreepidDenied,
    errors.ThreepidInUse,
    errors.ThreepidMediumNotSupported,
)
"""The errors of a request for an address that an account is to have."""


class _Request(Struct, frozen=True, kw_only=True):
    """The members of every request for a message.

    `id_server` and `id_access_token`, from the time when clients could choose an identity server, are ignored.
    """

    client_secret: ClientSecret
    next_link: NextLink | UnsetType = UNSET
    id_server: str | UnsetType = UNSET
    id_access_token: str | UnsetType = UNSET


class EmailRequest(_Request, frozen=True, kw_only=True):
    """An email address to validate."""

    email: str


class MsisdnRequest(_Request, frozen=True, kw_only=True):
    """A phone number to validate: as dialled in `country`, or international."""

    country: Country | None
    phone_number: PhoneNumber

    def parsed(self) -> Phone:
        """The phone number. Raises InvalidAddress or AmbiguousNumber."""
        return parse_phone(self.phone_number, (self.country or "").upper() or None)


class EmailTokenRequest(EmailRequest, frozen=True, kw_only=True):
    """An email address to validate, and the number of the client's attempt."""

    send_attempt: SendAttempt


class MsisdnTokenRequest(MsisdnRequest, frozen=True, kw_only=True):
    """A phone number to validate, and the number of the client's attempt."""

    country: Country
    send_attempt: SendAttempt


class Sid(Struct, frozen=True, omit_defaults=True):
    """The validation session, and the URL to which the client submits the code."""

    sid: str
    submit_url: str | UnsetType = UNSET


class TextSent(Struct, frozen=True, omit_defaults=True):
    """The validation session, the canonical phone number, and the URL to which the client submits the code.

    No specification has `msisdn`, but Synapse and Sydent answer it, and clients on matrix-js-sdk show this number to the user.
    """

    sid: str
    msisdn: str
    submit_url: str | UnsetType = UNSET


class SubmitToken(Struct, frozen=True):
    """The code from a mail or an SMS, and its validation session."""

    sid: SessionId
    client_secret: ClientSecret
    token: Token


class Success(Struct, frozen=True):
    """Was the code accepted? Only the Identity Service API v1 answers false; elsewhere a rejected code is an error."""

    success: bool


SUBMIT_PATH: Final = "/_threepid/client/v1/submit_token"


@endpoint(
    "POST",
    other(SUBMIT_PATH),
    auth=Auth.NONE,
    errors=(errors.NoValidSession, errors.SessionExpired, errors.TokenIncorrect),
)
async def submit_token(call: Call, body: SubmitToken) -> Success:
    """Submit a code without an access token: the `submit_url` of the homeserver's validation sessions.

    https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3registeremailrequesttoken
    """
    await call.services.validation.submit_token(body.sid, body.client_secret, body.token, caller=None)
    return Success(success=True)


async def request_email_token(call: Call, purpose: Purpose, body: EmailTokenRequest, *, owner: str = "") -> Sid:
    """Open a validation session of the homeserver for an email address."""
    return Sid(await open_session(call, purpose, body, body.send_attempt, owner=owner), _submit_url(call))


async def request_msisdn_token(call: Call, purpose: Purpose, body: MsisdnTokenRequest, *, owner: str = "") -> TextSent:
    """Open a validation session of the homeserver for a phone number."""
    sid = await open_session(call, purpose, body, body.send_attempt, owner=owner)
    return TextSent(sid, body.parsed().canonical, _submit_url(call))


def _submit_url(call: Call) -> str:
    return f"{call.config.server.public_base_url.rstrip('/')}{SUBMIT_PATH}"


async def open_session(
    call: Call,
    purpose: Purpose,
    body: EmailRequest | MsisdnRequest,
    send_attempt: int,
    *,
    owner: str,
    origin: Origin | None = None,
    invalid_email: type[MatrixError] = errors.InvalidParam,
    invalid_phone: type[MatrixError] = errors.InvalidParam,
) -> str:
    """Open a validation session for the address in `body` and return its sid.

    Raises `invalid_email` or `invalid_phone` for an invalid address. The message names `origin`, by default the caller's, as
    the source of the request.
    """
    return await call.services.validation.request_token(
        purpose,
        _address_of(body, invalid_email, invalid_phone),
        owner=owner,
        client=call.client,
        client_secret=body.client_secret,
        send_attempt=send_attempt,
        next_link=body.next_link or None,
        origin=origin or call.origin,
        languages=call.languages,
    )


def _address_of(
    body: EmailRequest | MsisdnRequest, invalid_email: type[MatrixError], invalid_phone: type[MatrixError]
) -> Address:
    try:
        if isinstance(body, EmailRequest):
            return parse_email(body.email)
        return body.parsed()
    except AmbiguousNumber as error:
        raise invalid_phone(error.text) from None
    except InvalidAddress:
        if isinstance(body, EmailRequest):
            raise invalid_email(Text("This is not a valid email address.")) from None
        raise invalid_phone(Text("This is not a valid phone number.")) from None


ENDPOINTS = (submit_token,)
