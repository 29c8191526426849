"""What all requests for a validation message share. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3registeremailrequesttoken."""

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import Call
from threepid.domain.addresses import Email, InvalidAddress, parse_email
from threepid.domain.validation import Purpose
from threepid.spec import errors
from threepid.spec.endpoint import Auth, endpoint, other
from threepid.spec.errors import MatrixError
from threepid.spec.types import ClientSecret, IdServer, NextLink, SendAttempt, SessionId, Token


class EmailTokenRequest(Struct, frozen=True):
    """An address to be validated."""

    client_secret: ClientSecret
    email: str
    send_attempt: SendAttempt
    next_link: NextLink | UnsetType = UNSET
    id_server: IdServer | UnsetType = UNSET
    id_access_token: Token | UnsetType = UNSET


class Sid(Struct, frozen=True, omit_defaults=True):
    """The session, and where the client hands in the code that the person got."""

    sid: str
    submit_url: str | UnsetType = UNSET


class SubmitToken(Struct, frozen=True):
    """What the person got by mail, and the session that it belongs to."""

    sid: SessionId
    client_secret: ClientSecret
    token: Token


class Success(Struct, frozen=True):
    """Always true: what is not a success is an error."""

    success: bool


SUBMIT_PATH: Final = "/_threepid/client/v1/submit_token"


@endpoint(
    "POST",
    other(SUBMIT_PATH),
    auth=Auth.NONE,
    errors=(errors.NoValidSession, errors.SessionExpired, errors.TokenIncorrect),
)
async def submit_token(call: Call, body: SubmitToken) -> Success:
    """Hand in what came by mail, without an access token: the `submit_url` of the homeserver's sessions.

    https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3registeremailrequesttoken
    """
    await call.services.validation.submit_token(body.sid, body.client_secret, body.token, caller=None)
    return Success(success=True)


async def request_email_token(call: Call, purpose: Purpose, body: EmailTokenRequest, *, owner: str = "") -> Sid:
    """Open a session of the homeserver's for the address in `body`."""
    sid = await call.services.validation.request_email_token(
        purpose,
        email_of(body),
        owner=owner,
        client=call.client,
        client_secret=body.client_secret,
        send_attempt=body.send_attempt,
        next_link=body.next_link or None,
    )
    return Sid(sid, f"{call.config.server.public_base_url.rstrip('/')}{SUBMIT_PATH}")


def email_of(body: EmailTokenRequest, refusal: type[MatrixError] = errors.InvalidParam) -> Email:
    """The address of the request; `refusal` if it is none."""
    try:
        return parse_email(body.email)
    except InvalidAddress:
        raise refusal("This is not a valid e-mail address.") from None


ENDPOINTS = (submit_token,)
