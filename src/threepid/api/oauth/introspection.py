"""Introspection, for a homeserver that trusts our tokens. https://www.rfc-editor.org/rfc/rfc7662."""

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import HomeserverCall
from threepid.spec.endpoint import Accepts, Auth, Beside, endpoint, oauth
from threepid.spec.oauth.server import INTROSPECT


class IntrospectionRequest(Struct, frozen=True):
    """The token that a client sent to the homeserver."""

    token: str
    token_type_hint: str | UnsetType = UNSET


class Introspected(Struct, frozen=True, omit_defaults=True):
    """What the token is good for. Only `active` if it is not a valid access token. `expires_in` is in seconds."""

    active: bool
    username: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    sub: str | UnsetType = UNSET
    client_id: str | UnsetType = UNSET
    token_type: str | UnsetType = UNSET
    expires_in: int | UnsetType = UNSET
    device_id: str | UnsetType = UNSET


@endpoint("POST", oauth(INTROSPECT), auth=Auth.HOMESERVER, accepts=Accepts.LENIENT_FORM, beside=Beside.HIDDEN)
async def introspect(call: HomeserverCall, body: IntrospectionRequest) -> Introspected:
    """Tell a homeserver whose access token this is, and whether it is valid. https://www.rfc-editor.org/rfc/rfc7662#section-2."""
    found = await call.services.require_oauth().introspection.of(body.token)
    if found is None:
        return Introspected(active=False)
    return Introspected(
        active=True,
        username=found.username,
        scope=found.scope,
        sub=found.user_id,
        client_id=found.client_id,
        token_type="access_token",  # noqa: S106 - the name of a kind of token
        expires_in=UNSET if found.expires_in is None else found.expires_in,
        # The scope of an app names its device. Homeservers that read no scope for it ask for the device.
        device_id=found.device_id if call.takes_device_id and not found.names_device else UNSET,
    )


ENDPOINTS = (introspect,)
