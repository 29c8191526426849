"""The owner of an access token. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3accountwhoami."""

from msgspec import Struct

from threepid.api.call import UserCall
from threepid.spec.endpoint import Auth, Beside, client, endpoint


class Whoami(Struct, frozen=True):
    """The owner of the access token."""

    user_id: str
    device_id: str
    is_guest: bool = False


@endpoint("GET", client("/account/whoami", "r0", "v3", "unstable"), auth=Auth.ACCESS_TOKEN, beside=Beside.HOMESERVER)
async def whoami(call: UserCall) -> Whoami:
    """Get the user ID and device of the access token. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3accountwhoami."""
    return Whoami(call.user_id, call.requester.device_id)


ENDPOINTS = (whoami,)
