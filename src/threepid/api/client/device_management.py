"""Devices of the account. https://spec.matrix.org/latest/client-server-api/#device-management."""

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import UserCall
from threepid.domain.accounts.devices import KnownDevice
from threepid.i18n import Text
from threepid.spec import errors
from threepid.spec.endpoint import Auth, Beside, Forwards, client, endpoint
from threepid.spec.types import DeviceId, DisplayName
from threepid.spec.uia import PASSWORD, AuthData, Operation


class Device(Struct, frozen=True):
    """One device with its last seen address and time (ms). No member is optional, because some clients require all."""

    device_id: str
    display_name: str
    last_seen_ip: str
    last_seen_ts: int


class Devices(Struct, frozen=True):
    """The devices of the account, oldest first."""

    devices: list[Device]


class Rename(Struct, frozen=True):
    """The device's new name; if absent, the name stays."""

    display_name: DisplayName | UnsetType = UNSET


class DeleteDevice(Struct, frozen=True):
    """The authentication data."""

    auth: AuthData | UnsetType = UNSET


class DeleteDevices(Struct, frozen=True):
    """The devices to log out."""

    devices: list[DeviceId]
    auth: AuthData | UnsetType = UNSET


def _shown(device: KnownDevice) -> Device:
    return Device(
        device.device_id, device.display_name or "", device.seen_from or "", device.seen_at or device.created_at
    )


@endpoint("GET", client("/devices", "r0", "v3", "unstable"), auth=Auth.ACCESS_TOKEN, beside=Beside.HOMESERVER)
async def get_devices(call: UserCall) -> Devices:
    """List the devices of the account. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3devices."""
    return Devices(
        [_shown(device) for device in await call.homeserver.devices.of(call.user_id, own=call.requester.device_id)]
    )


@endpoint(
    "GET",
    client("/devices/{device_id}", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    errors=(errors.NotFound,),
    beside=Beside.HOMESERVER,
)
async def get_device(call: UserCall, device_id: str) -> Device:
    """Get one device. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3devicesdeviceid."""
    device = await call.homeserver.devices.get(call.user_id, device_id)
    if device is None:
        raise errors.NotFound(Text("This device does not exist."))
    return _shown(device)


@endpoint(
    "PUT",
    client("/devices/{device_id}", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    errors=(errors.NotFound,),
    beside=Beside.HOMESERVER,
)
async def rename_device(call: UserCall, body: Rename, device_id: str) -> None:
    """Rename a device. https://spec.matrix.org/latest/client-server-api/#put_matrixclientv3devicesdeviceid."""
    if body.display_name is UNSET:
        await get_device.handler(call, device_id)
    elif not await call.homeserver.devices.rename(call.user_id, device_id, body.display_name):
        raise errors.NotFound(Text("This device does not exist."))


@endpoint(
    "DELETE",
    client("/devices/{device_id}", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    uia=Operation.DELETE_DEVICE,
    forwards=Forwards.UNKNOWN_TOKEN,
    errors=(errors.Forbidden,),
)
async def delete_device(call: UserCall, body: DeleteDevice, device_id: str) -> None:
    """Delete a device. https://spec.matrix.org/latest/client-server-api/#delete_matrixclientv3devicesdeviceid."""
    grant = await call.authenticate(body.auth, ((PASSWORD,),), about=device_id)
    await call.homeserver.devices.delete(call.user_id, [device_id], grant)


@endpoint(
    "POST",
    client("/delete_devices", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    uia=Operation.DELETE_DEVICES,
    errors=(errors.Forbidden,),
)
async def delete_devices(call: UserCall, body: DeleteDevices) -> None:
    """Delete several devices. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3delete_devices."""
    grant = await call.authenticate(body.auth, ((PASSWORD,),))
    await call.homeserver.devices.delete(call.user_id, body.devices, grant)


ENDPOINTS = (get_devices, get_device, rename_device, delete_device, delete_devices)
