"""Registration of apps. https://spec.matrix.org/latest/client-server-api/#client-registration."""

from http import HTTPStatus
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct

from threepid.api.call import Call
from threepid.clock import SECOND
from threepid.spec.endpoint import Auth, endpoint, oauth
from threepid.spec.oauth.errors import InvalidClientMetadata, InvalidRedirectUri
from threepid.spec.oauth.server import REGISTRATION

_Strings = Annotated[Any, Meta(extra_json_schema={"type": "array", "items": {"type": "string"}})]
_Uri = Annotated[Any, Meta(extra_json_schema={"type": "string", "format": "uri"})]


class ClientMetadata(Struct, frozen=True):
    """What an app says about itself. Name and links may also be given by language, as in `client_name#de`."""

    # The domain checks the types: it answers with the errors of RFC 7591.
    client_uri: _Uri = UNSET
    """https URL of the app; its other URLs are on the same host or below it."""
    client_name: Annotated[Any, Meta(extra_json_schema={"type": "string"})] = UNSET
    """Name of the app, as people read it."""
    application_type: Annotated[Any, Meta(extra_json_schema={"enum": ["web", "native"]})] = UNSET
    grant_types: _Strings = UNSET
    response_types: _Strings = UNSET
    redirect_uris: _Strings = UNSET
    """Where the browser may return with a code."""
    token_endpoint_auth_method: Annotated[Any, Meta(extra_json_schema={"const": "none"})] = UNSET
    logo_uri: _Uri = UNSET
    tos_uri: _Uri = UNSET
    policy_uri: _Uri = UNSET


class RegisteredClient(ClientMetadata, frozen=True, kw_only=True):
    """The metadata that the server keeps, and the ID that stands for it."""

    client_id: str
    client_id_issued_at: int
    """When the app was first registered, in seconds since 1970."""


@endpoint(
    "POST",
    oauth(REGISTRATION),
    auth=Auth.NONE,
    errors=(InvalidClientMetadata, InvalidRedirectUri),
    status=HTTPStatus.CREATED,
    reads=ClientMetadata,
)
async def register_client(call: Call) -> Annotated[dict[str, Any], RegisteredClient]:
    """Register an app; equal metadata is answered with the same `client_id`. https://www.rfc-editor.org/rfc/rfc7591#section-3."""
    client = await call.services.require_oauth().clients.register(call.raw, client=call.client)
    return {
        "client_id": client.client_id,
        "client_id_issued_at": client.created_at // SECOND,
        **client.metadata,
    }


ENDPOINTS = (register_client,)
