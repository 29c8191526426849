"""The errors that an endpoint may answer with: dispatch accepts no others, and the description lists them."""

from typing import Final

from threepid.spec import errors
from threepid.spec.endpoint import Auth, Endpoint
from threepid.spec.errors import MatrixError
from threepid.spec.oauth.errors import InvalidClient
from threepid.spec.uia import AuthenticationRequiredError

EVERYWHERE: Final = (
    errors.BadJson,
    errors.InvalidParam,
    errors.LimitExceeded,
    errors.MissingParam,
    errors.NotJson,
    errors.RequestTimeout,
    errors.TooLarge,
    errors.Unavailable,
    errors.Unknown,
    errors.Unrecognized,
)
"""Errors that every endpoint may return, besides those of its authentication."""
_OF_AUTHENTICATION: Final[dict[Auth, tuple[type[MatrixError], ...]]] = {
    Auth.NONE: (),
    Auth.ACCESS_TOKEN: (errors.MissingToken, errors.UnknownToken, errors.UserLocked),
    Auth.OPTIONAL_ACCESS_TOKEN: (errors.UnknownToken, errors.UserLocked),
    Auth.IDENTITY_TOKEN: (errors.Unauthorized, errors.TermsNotSigned),
    Auth.OPTIONAL_SIGNATURE: (errors.Unauthorized,),
    Auth.BOUNCE_SECRET: (errors.Unauthorized,),
    Auth.HOMESERVER: (InvalidClient,),
    Auth.OPERATOR_TOKEN: (errors.MissingToken, errors.UnknownToken, errors.Forbidden),
}


def expected(endpoint: Endpoint) -> tuple[type[MatrixError], ...]:
    """All errors that `endpoint` may answer with."""
    of_uia = (AuthenticationRequiredError,) if endpoint.uia is not None else ()
    of_apps = () if endpoint.for_apps else (errors.Forbidden,)
    return (*EVERYWHERE, *_OF_AUTHENTICATION[endpoint.auth], *of_uia, *of_apps, *endpoint.errors)
