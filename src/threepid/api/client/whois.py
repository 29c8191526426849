"""From where an account was used. https://spec.matrix.org/latest/client-server-api/#server-administration."""

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import UserCall
from threepid.domain.accounts.devices import KnownDevice
from threepid.spec import errors
from threepid.spec.endpoint import Auth, client, endpoint


class Connection(Struct, frozen=True, omit_defaults=True):
    """From where and with what a device was heard of last; the time in milliseconds."""

    last_seen: int
    ip: str | UnsetType = UNSET
    user_agent: str | UnsetType = UNSET


class Session(Struct, frozen=True):
    """What was done with the token of one login; only the last of it is kept."""

    connections: list[Connection]


class Device(Struct, frozen=True):
    """One device: it has one session."""

    sessions: list[Session]


class Whois(Struct, frozen=True):
    """The account's devices by their IDs."""

    user_id: str
    devices: dict[str, Device]


@endpoint(
    "GET",
    client("/admin/whois/{user_id}", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    errors=(errors.Forbidden,),
)
async def whois(call: UserCall, user_id: str) -> Whois:
    """From where one's own account was used. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3adminwhoisuserid."""
    if user_id != call.user_id:
        raise errors.Forbidden("You can only ask about yourself.")
    found = await call.homeserver.devices.of(user_id, own=call.requester.device_id)
    return Whois(user_id, {device.device_id: Device([Session(_connections(device))]) for device in found})


def _connections(device: KnownDevice) -> list[Connection]:
    if device.seen_at is None:
        return []
    return [Connection(device.seen_at, device.seen_from or UNSET, device.user_agent or UNSET)]


ENDPOINTS = (whois,)
