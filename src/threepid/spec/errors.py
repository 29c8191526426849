"""The Matrix errors: one class for each code, in alphabetical order.

The first line of a class's docstring is the message that people see when the raiser gives none.
https://spec.matrix.org/latest/client-server-api/#standard-error-response
https://spec.matrix.org/latest/identity-service-api/#standard-error-response
"""

from typing import Any


class MatrixError(Exception):
    """An error that the caller is told: an HTTP status, an errcode, a sentence.

    `cause` is for the log only: many causes there, one answer to the world.
    """

    errcode: str = ""
    status: int = 400

    def __init__(self, message: str | None = None, *, cause: str | None = None, **fields: Any) -> None:
        """Use `message` (default: the class's sentence) and add `fields` to the JSON body."""
        self.message = message or (type(self).__doc__ or "").partition("\n")[0]
        self.cause = cause
        self.fields = fields
        super().__init__(self.message)

    def body(self) -> dict[str, Any]:
        """The JSON object of the specification's standard error response."""
        return {"errcode": self.errcode, "error": self.message, **self.fields}

    def headers(self) -> dict[str, str]:
        """Further HTTP headers of the answer."""
        return {}


class BadJson(MatrixError):
    """The request body is valid JSON but not what this endpoint takes."""

    errcode = "M_BAD_JSON"


class DestinationRejected(MatrixError):
    """No text messages go to this country or kind of number."""

    errcode = "M_DESTINATION_REJECTED"


class Exclusive(MatrixError):
    """This user ID is reserved by an application service."""

    errcode = "M_EXCLUSIVE"


class Forbidden(MatrixError):
    """You are not allowed to do this."""

    errcode = "M_FORBIDDEN"
    status = 403


class GuestAccessForbidden(MatrixError):
    """This server has no guest accounts."""

    errcode = "M_GUEST_ACCESS_FORBIDDEN"
    status = 403


class InvalidAddress(MatrixError):
    """This is not a valid third-party address."""

    errcode = "M_INVALID_ADDRESS"


class InvalidEmail(MatrixError):
    """This is not a valid e-mail address."""

    errcode = "M_INVALID_EMAIL"


class InvalidParam(MatrixError):
    """A parameter has a value that is not allowed."""

    errcode = "M_INVALID_PARAM"


class InvalidPepper(MatrixError):
    """The pepper is not the current one: use the one in this answer."""

    errcode = "M_INVALID_PEPPER"


class InvalidUsername(MatrixError):
    """A username has 1 to 255 of the characters a-z, 0-9, '.', '_', '=', '-', '/' and '+'."""

    errcode = "M_INVALID_USERNAME"


class KeyTooLarge(MatrixError):
    """This name is too long."""

    errcode = "M_KEY_TOO_LARGE"


def in_words(milliseconds: int) -> str:
    """A time to wait as people say it, never too short: "40 seconds", "15 minutes", "1 hour"."""
    seconds = max(1, -(-milliseconds // 1000))
    minutes, hours, days = (-(-seconds // size) for size in (60, 3600, 86_400))
    for count, most, unit in ((seconds, 59, "second"), (minutes, 59, "minute"), (hours, 23, "hour")):
        if count <= most:
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return "1 day" if days == 1 else f"{days} days"


class LimitExceeded(MatrixError):
    """Too many requests: please wait {wait}."""

    errcode = "M_LIMIT_EXCEEDED"
    status = 429

    def __init__(self, retry_after_ms: int, message: str | None = None, *, cause: str | None = None) -> None:
        """Tell the caller to come back in `retry_after_ms` milliseconds; `{wait}` in the message is that in words."""
        said = message or (type(self).__doc__ or "").partition("\n")[0]
        super().__init__(said.replace("{wait}", in_words(retry_after_ms)), cause=cause, retry_after_ms=retry_after_ms)
        self.retry_after_ms = retry_after_ms

    def headers(self) -> dict[str, str]:
        """`Retry-After` in whole seconds, rounded up."""
        return {"Retry-After": str(-(-self.retry_after_ms // 1000))}


class MissingParam(MatrixError):
    """A required parameter is missing."""

    errcode = "M_MISSING_PARAM"


class MissingParams(MissingParam):
    """A required parameter is missing: as the Identity Service API calls it."""

    errcode = "M_MISSING_PARAMS"


class MissingToken(MatrixError):
    """An access token is required."""

    errcode = "M_MISSING_TOKEN"
    status = 401


class NoValidSession(MatrixError):
    """No valid session was found for this sid and client secret."""

    errcode = "M_NO_VALID_SESSION"
    status = 404


class NotFound(MatrixError):
    """There is no such thing here."""

    errcode = "M_NOT_FOUND"
    status = 404


class NotJson(MatrixError):
    """The request body is not valid JSON."""

    errcode = "M_NOT_JSON"


class ServerNotTrusted(MatrixError):
    """This server does not trust the given identity server."""

    errcode = "M_SERVER_NOT_TRUSTED"


class SessionExpired(MatrixError):
    """This validation session has expired: please start again."""

    errcode = "M_SESSION_EXPIRED"


class SessionNotValidated(MatrixError):
    """This validation session has not been completed yet."""

    errcode = "M_SESSION_NOT_VALIDATED"


class TermsNotSigned(MatrixError):
    """Please accept the terms of service first."""

    errcode = "M_TERMS_NOT_SIGNED"
    status = 403


class ThreepidAuthFailed(MatrixError):
    """The third-party credentials could not be verified by the identity server."""

    errcode = "M_THREEPID_AUTH_FAILED"
    status = 403


class ThreepidDenied(MatrixError):
    """This third-party identifier is not allowed here."""

    errcode = "M_THREEPID_DENIED"
    status = 403


class ThreepidInUse(MatrixError):
    """This third-party identifier is already in use."""

    errcode = "M_THREEPID_IN_USE"


class ThreepidMediumNotSupported(MatrixError):
    """This kind of third-party identifier is not supported here."""

    errcode = "M_THREEPID_MEDIUM_NOT_SUPPORTED"


class ThreepidNotFound(MatrixError):
    """No account here has this third-party identifier."""

    errcode = "M_THREEPID_NOT_FOUND"


class TokenIncorrect(MatrixError):
    """This code is not correct."""

    errcode = "M_TOKEN_INCORRECT"


class TooLarge(MatrixError):
    """The request is too large."""

    errcode = "M_TOO_LARGE"
    status = 413


class TooManyAddresses(TooLarge):
    """Too many addresses in one lookup."""

    status = 400


class Unauthorized(MatrixError):
    """A valid access token is required."""

    errcode = "M_UNAUTHORIZED"
    status = 401


class Unavailable(MatrixError):
    """The server cannot do this right now: please try again in a moment."""

    errcode = "M_UNKNOWN"
    status = 503

    def __init__(self, message: str | None = None, *, cause: str | None = None, retry_after: int = 2) -> None:
        """Tell the caller to come back in `retry_after` seconds."""
        super().__init__(message, cause=cause)
        self.retry_after = retry_after

    def headers(self) -> dict[str, str]:
        """`Retry-After` in seconds."""
        return {"Retry-After": str(self.retry_after)}


class Unknown(MatrixError):
    """Something went wrong on the server."""

    errcode = "M_UNKNOWN"
    status = 500


class UnknownToken(MatrixError):
    """The access token is not known here or has expired."""

    errcode = "M_UNKNOWN_TOKEN"
    status = 401


class Unrecognized(MatrixError):
    """There is no such endpoint."""

    errcode = "M_UNRECOGNIZED"
    status = 404


class UnrecognizedMedium(Unrecognized):
    """Addresses of this kind cannot be invited here."""

    status = 400


class RequestTimeout(MatrixError):
    """The request took too long to arrive."""

    errcode = "M_UNKNOWN"
    status = 408


class MethodNotAllowed(Unrecognized):
    """This endpoint does not take this method."""

    status = 405


class UnknownIdentifierType(MatrixError):
    """This type of identifier is not known here."""

    errcode = "M_UNKNOWN"


class UnknownLoginType(MatrixError):
    """This login type is not known here."""

    errcode = "M_UNKNOWN"


class UpstreamFailed(MatrixError):
    """The other server could not be reached or did not answer sensibly."""

    errcode = "M_UNKNOWN"
    status = 502


class PassedOn(MatrixError):
    """The other server refused this."""

    errcode = "M_UNKNOWN"

    def __init__(self, errcode: str, message: str | None, *, status: int, cause: str | None = None) -> None:
        """Tell the caller what the other server said: its `errcode` and sentence."""
        super().__init__(message, cause=cause)
        self.errcode = errcode
        self.status = status


class MxidNotYours(Unauthorized):
    """You can only publish addresses for your own user ID."""

    status = 403


class UserDeactivated(MatrixError):
    """This account has been deactivated."""

    errcode = "M_USER_DEACTIVATED"
    status = 403


class UserInUse(MatrixError):
    """This user ID is already taken."""

    errcode = "M_USER_IN_USE"


class WeakPassword(MatrixError):
    """This password is too weak."""

    errcode = "M_WEAK_PASSWORD"
