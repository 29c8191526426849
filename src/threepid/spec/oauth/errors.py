"""The errors of the OAuth 2.0 API: a code and a description for developers, which is not translated.

https://www.rfc-editor.org/rfc/rfc6749#section-5.2
"""

from typing import Any, Final

from threepid.i18n import Verbatim
from threepid.spec.errors import LimitExceeded, MatrixError, RequestTimeout, TooLarge, Unrecognized

_SERVER_ERROR: Final = 500


class OAuthError(MatrixError):
    """An error of the OAuth 2.0 API."""

    def __init__(self, description: str = "", *, cause: str | None = None) -> None:
        """`description` is ASCII without quotes and backslashes."""
        super().__init__(Verbatim(description), cause=cause)

    def body(self) -> dict[str, Any]:
        """The JSON object of the error."""
        described = {"error_description": str(self.text)} if str(self.text) else {}
        return {"error": self.errcode, **described}


class InvalidRequest(OAuthError):
    """A parameter is missing, given twice or malformed."""

    errcode = "invalid_request"


class InvalidClient(OAuthError):
    """The client is not registered, or has not proved who it is."""

    errcode = "invalid_client"
    status = 401

    def headers(self) -> dict[str, str]:
        """The scheme that would be accepted. https://www.rfc-editor.org/rfc/rfc6749#section-5.2."""
        return {"WWW-Authenticate": "Bearer"}


class InvalidGrant(OAuthError):
    """A code or token is unknown, expired, used, or of another client."""

    errcode = "invalid_grant"


class UnauthorizedClient(OAuthError):
    """The client did not register for this grant."""

    errcode = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    """The token endpoint does not know this grant."""

    errcode = "unsupported_grant_type"


class UnsupportedResponseType(OAuthError):
    """The authorization endpoint answers with codes only."""

    errcode = "unsupported_response_type"


class InvalidScope(OAuthError):
    """The scope does not name one device and the client API."""

    errcode = "invalid_scope"


class AccessDenied(OAuthError):
    """The person did not allow it."""

    errcode = "access_denied"


class InvalidRedirectUri(OAuthError):
    """A redirect URI breaks the rules. https://www.rfc-editor.org/rfc/rfc7591#section-3.2.2."""

    errcode = "invalid_redirect_uri"


class InvalidClientMetadata(OAuthError):
    """The metadata of a client breaks the rules. https://www.rfc-editor.org/rfc/rfc7591#section-3.2.2."""

    errcode = "invalid_client_metadata"


class AuthorizationPending(OAuthError):
    """The person has not decided yet. https://www.rfc-editor.org/rfc/rfc8628#section-3.5."""

    errcode = "authorization_pending"


class SlowDown(OAuthError):
    """The device asks too often. https://www.rfc-editor.org/rfc/rfc8628#section-3.5."""

    errcode = "slow_down"


class ExpiredToken(OAuthError):
    """The device code has expired. https://www.rfc-editor.org/rfc/rfc8628#section-3.5."""

    errcode = "expired_token"


def in_oauth(error: MatrixError) -> tuple[int, dict[str, Any]]:
    """Status and JSON object of any error, as the OAuth 2.0 endpoints answer it.

    What passes by itself has no code: those of RFC 6749 say what the client did wrong, and apps log out when a refresh gets one.
    https://spec.matrix.org/latest/client-server-api/#refresh-token-grant
    """
    if isinstance(error, OAuthError | Unrecognized):
        return error.status, error.body()
    # The description of RFC 6749 has no quotes, backslashes and letters beyond ASCII.
    described = "".join(letter for letter in str(error.text) if " " <= letter <= "~" and letter not in '"\\')
    if isinstance(error, LimitExceeded | RequestTimeout) or error.status >= _SERVER_ERROR:
        return error.status, {"error_description": described}
    status = error.status if isinstance(error, TooLarge) else 400
    return status, {"error": "invalid_request", "error_description": described}
