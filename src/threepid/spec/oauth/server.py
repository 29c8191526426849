"""The metadata of the server. https://spec.matrix.org/latest/client-server-api/#server-metadata-discovery."""

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from threepid.spec.oauth.clients import AUTHORIZATION_CODE, DEVICE_CODE, REFRESH_TOKEN
from threepid.spec.oauth.pkce import METHOD
from threepid.spec.oauth.scopes import BOTH_APIS

AUTHORIZE: Final = "/oauth2/authorize"
TOKEN: Final = "/oauth2/token"  # noqa: S105 - a path
REVOKE: Final = "/oauth2/revoke"
REGISTRATION: Final = "/oauth2/clients/register"
DEVICE: Final = "/oauth2/device"
INTROSPECT: Final = "/oauth2/introspect"
MANAGE: Final = "/account/"
LINK: Final = "/account/link"
"""The page on which people enter the code of a device."""


class ServerMetadata(Struct, frozen=True, omit_defaults=True):
    """Where the endpoints are, and what they support."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    registration_endpoint: str
    device_authorization_endpoint: str
    response_types_supported: list[str]
    response_modes_supported: list[str]
    grant_types_supported: list[str]
    code_challenge_methods_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    """Left out, it would mean `client_secret_basic`. https://www.rfc-editor.org/rfc/rfc8414#section-2."""
    scopes_supported: list[str]
    """Those that every app asks for; the scope of a device has its ID."""
    authorization_response_iss_parameter_supported: bool
    account_management_uri: str
    account_management_actions_supported: list[str]
    prompt_values_supported: list[str] | UnsetType = UNSET


def issuer(base: str) -> str:
    """The issuer of a server with this base URL."""
    return f"{base.rstrip('/')}/"


def server_metadata(base: str, *, actions: tuple[str, ...], may_register: bool) -> ServerMetadata:
    """The metadata of a server at the URL `base`, whose account pages know `actions`."""
    here = base.rstrip("/")
    return ServerMetadata(
        issuer=issuer(base),
        authorization_endpoint=f"{here}{AUTHORIZE}",
        token_endpoint=f"{here}{TOKEN}",
        revocation_endpoint=f"{here}{REVOKE}",
        registration_endpoint=f"{here}{REGISTRATION}",
        device_authorization_endpoint=f"{here}{DEVICE}",
        response_types_supported=["code"],
        response_modes_supported=["query", "fragment"],
        grant_types_supported=[AUTHORIZATION_CODE, REFRESH_TOKEN, DEVICE_CODE],
        code_challenge_methods_supported=[METHOD],
        token_endpoint_auth_methods_supported=["none"],
        revocation_endpoint_auth_methods_supported=["none"],
        scopes_supported=BOTH_APIS.split(),
        authorization_response_iss_parameter_supported=True,
        account_management_uri=f"{here}{MANAGE}",
        account_management_actions_supported=list(actions),
        prompt_values_supported=["create"] if may_register else UNSET,
    )
