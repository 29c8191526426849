"""Addresses that used an account. https://spec.matrix.org/latest/client-server-api/#server-administration."""

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import UserCall
from threepid.domain.accounts.devices import KnownDevice
from threepid.i18n import Text
from threepid.spec import errors
from threepid.spec.endpoint import Auth, Beside, client, endpoint


class Connection(Struct, frozen=True, omit_defaults=True):
    """Last seen time (in milliseconds), address and user agent of a device."""

    last_seen: int
    ip: str | UnsetType = UNSET
    user_agent: str | UnsetType = UNSET


class Session(Struct, frozen=True):
    """The connections of one login; only the latest is kept."""

    connections: list[Connection]


class Device(Struct, frozen=True):
    """One device, which has a single session."""

    sessions: list[Session]


class Whois(Struct, frozen=True):
    """The account's devices by ID."""

    user_id: str
    devices: dict[str, Device]


@endpoint(
    "GET",
    client("/admin/whois/{user_id}", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    errors=(errors.Forbidden,),
    beside=Beside.HOMESERVER,
)
async def whois(call: UserCall, user_id: str) -> Whois:
    """Get the connections of your own account. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3adminwhoisuserid."""
    if user_id != call.user_id:
        raise errors.Forbidden(Text("You can request this only for yourself."))
    found = await call.homeserver.devices.of(user_id, own=call.requester.device_id)
    return Whois(user_id, {device.device_id: Device([Session(_connections(device))]) for device in found})


def _connections(device: KnownDevice) -> list[Connection]:
    if device.seen_at is None:
        return []
    return [Connection(device.seen_at, device.seen_from or UNSET, device.user_agent or UNSET)]


ENDPOINTS = (whois,)
