"""The Matrix errors: a class for each cause that callers can tell apart, in alphabetical order, special cases below their base.

The first line of a class's docstring is the default message, which people see.
https://spec.matrix.org/latest/client-server-api/#standard-error-response
https://spec.matrix.org/latest/identity-service-api/#standard-error-response
"""

from typing import Any, ClassVar, Self

from threepid.i18n import Duration, Text


class MatrixError(Exception):
    """An error that the caller gets: an HTTP status, an errcode, a sentence.

    `cause` is only logged: the answer must not tell the causes apart.
    """

    errcode: str = ""
    status: int = 400
    sentence: ClassVar[Text]
    """The first line of the class's docstring: the default message."""

    def __init_subclass__(cls) -> None:
        """Set the sentence of the class to the first line of its docstring."""
        cls.sentence = Text((cls.__doc__ or "").partition("\n")[0])

    def __init__(self, text: Text | None = None, *, cause: str | None = None, **fields: Any) -> None:
        """`text` is the message (default: the class's sentence); `fields` are added to the JSON body."""
        self.text = text or self.sentence
        self.cause = cause
        self.fields = fields
        super().__init__(self.text)

    def body(self) -> dict[str, Any]:
        """The JSON object of the standard error response. Its sentence is English; apps translate by errcode."""
        return {"errcode": self.errcode, "error": str(self.text), **self.fields}

    def headers(self) -> dict[str, str]:
        """Further HTTP headers of the answer."""
        return {}


class BadJson(MatrixError):
    """The request body is valid JSON but not what this endpoint takes."""

    errcode = "M_BAD_JSON"


class DestinationRejected(MatrixError):
    """This server sends no SMS to this country or kind of number."""

    errcode = "M_DESTINATION_REJECTED"


class Exclusive(MatrixError):
    """This user ID is reserved by an application service."""

    errcode = "M_EXCLUSIVE"


class Forbidden(MatrixError):
    """You are not allowed to do this."""

    errcode = "M_FORBIDDEN"
    status = 403


class CaptchaInvalid(Forbidden):
    """The captcha was not solved."""

    errcode = "M_CAPTCHA_INVALID"


class GuestAccessForbidden(MatrixError):
    """This server does not offer guest accounts."""

    errcode = "M_GUEST_ACCESS_FORBIDDEN"
    status = 403


class InvalidAddress(MatrixError):
    """This is not a valid third-party address."""

    errcode = "M_INVALID_ADDRESS"


class InvalidEmail(MatrixError):
    """This is not a valid email address."""

    errcode = "M_INVALID_EMAIL"


class InvalidParam(MatrixError):
    """A parameter has an invalid value."""

    errcode = "M_INVALID_PARAM"


class InvalidPepper(MatrixError):
    """This is not the current pepper. Use the one in this response."""

    errcode = "M_INVALID_PEPPER"


class InvalidUsername(MatrixError):
    """A username must have 1 to 255 of the characters a-z, 0-9, '.', '_', '=', '-', '/' and '+'."""

    errcode = "M_INVALID_USERNAME"


class KeyTooLarge(MatrixError):
    """This name is too long."""

    errcode = "M_KEY_TOO_LARGE"


class LimitExceeded(MatrixError):
    """Too many requests. Please wait %(wait)s."""

    errcode = "M_LIMIT_EXCEEDED"
    status = 429

    def __init__(
        self, retry_after_ms: int, text: Text | None = None, *, cause: str | None = None, limit: str = ""
    ) -> None:
        """The caller may retry after `retry_after_ms` milliseconds; `%(wait)s` in the text is this time in words.

        `limit` is the kind of the limit, for metrics.
        """
        said = (text or self.sentence).having(wait=Duration(retry_after_ms))
        super().__init__(said, cause=cause, retry_after_ms=retry_after_ms)
        self.retry_after_ms = retry_after_ms
        self.limit = limit

    def headers(self) -> dict[str, str]:
        """`Retry-After` in whole seconds, rounded up."""
        return {"Retry-After": str(-(-self.retry_after_ms // 1000))}


class MissingParam(MatrixError):
    """A required parameter is missing."""

    errcode = "M_MISSING_PARAM"

    @classmethod
    def named(cls, name: str) -> Self:
        """The error for the parameter `name`."""
        return cls(Text("'%(name)s' is missing.", name=name))


class CaptchaNeeded(MissingParam):
    """Solve the captcha first."""

    errcode = "M_CAPTCHA_NEEDED"


class MissingParams(MissingParam):
    """A required parameter is missing.

    This is the Identity Service API's errcode for it.
    """

    errcode = "M_MISSING_PARAMS"


class MissingToken(MatrixError):
    """An access token is required."""

    errcode = "M_MISSING_TOKEN"
    status = 401


class NoValidSession(MatrixError):
    """There is no valid session for this sid and client secret."""

    errcode = "M_NO_VALID_SESSION"
    status = 404


class NotFound(MatrixError):
    """Not found."""

    errcode = "M_NOT_FOUND"
    status = 404


class NotJson(MatrixError):
    """The request body is not valid JSON."""

    errcode = "M_NOT_JSON"


class PassedOn(MatrixError):
    """The other server rejected this request."""

    errcode = "M_UNKNOWN"

    def __init__(self, errcode: str, text: Text | None, *, status: int, cause: str | None = None) -> None:
        """Pass on the other server's `errcode` and sentence."""
        super().__init__(text, cause=cause)
        self.errcode = errcode
        self.status = status


class RequestTimeout(MatrixError):
    """The request took too long to arrive."""

    errcode = "M_UNKNOWN"
    status = 408


class ServerNotTrusted(MatrixError):
    """This server does not trust the given identity server."""

    errcode = "M_SERVER_NOT_TRUSTED"


class SessionExpired(MatrixError):
    """This validation session has expired. Please start again."""

    errcode = "M_SESSION_EXPIRED"


class SessionNotValidated(MatrixError):
    """This validation session has not been validated yet."""

    errcode = "M_SESSION_NOT_VALIDATED"


class TermsNotSigned(MatrixError):
    """Accept the terms of service first."""

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
    """This code is wrong."""

    errcode = "M_TOKEN_INCORRECT"


class TooLarge(MatrixError):
    """The request is too large."""

    errcode = "M_TOO_LARGE"
    status = 413


class TooManyAddresses(TooLarge):
    """The lookup has too many addresses."""

    status = 400


class Unauthorized(MatrixError):
    """A valid access token is required."""

    errcode = "M_UNAUTHORIZED"
    status = 401


class MxidNotYours(Unauthorized):
    """You can bind addresses only to your own user ID."""

    status = 403


class Unavailable(MatrixError):
    """The server cannot do this right now. Please try again in a moment."""

    errcode = "M_UNKNOWN"
    status = 503

    def __init__(self, text: Text | None = None, *, cause: str | None = None, retry_after: int = 2) -> None:
        """The caller may retry after `retry_after` seconds."""
        super().__init__(text, cause=cause)
        self.retry_after = retry_after

    def headers(self) -> dict[str, str]:
        """`Retry-After` in seconds."""
        return {"Retry-After": str(self.retry_after)}


class Unknown(MatrixError):
    """Something went wrong on the server."""

    errcode = "M_UNKNOWN"
    status = 500


class UnknownIdentifierType(MatrixError):
    """Unknown identifier type."""

    errcode = "M_UNKNOWN"


class UnknownLoginType(MatrixError):
    """Unknown login type."""

    errcode = "M_UNKNOWN"


class AppserviceLoginUnsupported(UnknownLoginType):
    """Unknown login type."""

    errcode = "M_APPSERVICE_LOGIN_UNSUPPORTED"


class UnknownToken(MatrixError):
    """The access token is unknown or has expired."""

    errcode = "M_UNKNOWN_TOKEN"
    status = 401


class Unrecognized(MatrixError):
    """There is no such endpoint."""

    errcode = "M_UNRECOGNIZED"
    status = 404


class MethodNotAllowed(Unrecognized):
    """This endpoint does not accept this method."""

    status = 405


class UnrecognizedMedium(Unrecognized):
    """This server cannot invite addresses of this medium."""

    status = 400


class UpstreamFailed(MatrixError):
    """The other server is unreachable or gave an invalid response."""

    errcode = "M_UNKNOWN"
    status = 502


class UserInUse(MatrixError):
    """This user ID is already taken."""

    errcode = "M_USER_IN_USE"


class UserLocked(MatrixError):
    """This account has been locked."""

    errcode = "M_USER_LOCKED"
    status = 401

    def __init__(self, text: Text | None = None, *, cause: str | None = None) -> None:
        """Tell the client to keep its keys. https://spec.matrix.org/latest/client-server-api/#account-locking."""
        super().__init__(text, cause=cause, soft_logout=True)


class WeakPassword(MatrixError):
    """This password is too weak."""

    errcode = "M_WEAK_PASSWORD"
