"""Registration of apps. https://spec.matrix.org/latest/client-server-api/#client-registration."""

from http import HTTPStatus
from typing import Any

from threepid.api.call import Call
from threepid.clock import SECOND
from threepid.spec.endpoint import Auth, endpoint, oauth
from threepid.spec.oauth.errors import InvalidClientMetadata, InvalidRedirectUri
from threepid.spec.oauth.server import REGISTRATION


@endpoint(
    "POST",
    oauth(REGISTRATION),
    auth=Auth.NONE,
    errors=(InvalidClientMetadata, InvalidRedirectUri),
    status=HTTPStatus.CREATED,
)
async def register_client(call: Call) -> dict[str, Any]:
    """Register an app; equal metadata is answered with the same `client_id`. https://www.rfc-editor.org/rfc/rfc7591#section-3."""
    client = await call.services.require_oauth().clients.register(call.raw, client=call.client)
    return {
        "client_id": client.client_id,
        "client_id_issued_at": client.created_at // SECOND,
        **client.metadata,
    }


ENDPOINTS = (register_client,)
