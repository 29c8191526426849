"""Publishing addresses. https://spec.matrix.org/latest/identity-service-api/#establishing-associations."""

from typing import Any

from msgspec import Struct

from threepid.api.call import IdentityCall
from threepid.spec import errors
from threepid.spec.endpoint import Auth, endpoint, identity
from threepid.spec.types import ClientSecret, SessionId, UserId


class Bind(Struct, frozen=True):
    """A validated session, and the user whose address it is to be."""

    sid: SessionId
    client_secret: ClientSecret
    mxid: UserId


@endpoint(
    "POST",
    identity("/3pid/bind"),
    auth=Auth.IDENTITY_TOKEN,
    errors=(errors.MxidNotYours, errors.NoValidSession, errors.SessionExpired, errors.SessionNotValidated),
)
async def bind(call: IdentityCall, body: Bind) -> dict[str, Any]:
    """Publish the address of a session as one's own. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv23pidbind."""
    return await call.associations.bind(body.sid, body.client_secret, body.mxid, caller=call.user_id)


ENDPOINTS = (bind,)
