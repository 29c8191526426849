"""A sync that is always empty: this server has no rooms. https://spec.matrix.org/latest/client-server-api/#syncing."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType, field

from threepid.api.call import UserCall
from threepid.spec.endpoint import Auth, Beside, client, endpoint
from threepid.spec.types import MAX_INTEGER

_NEXT_BATCH: Final = "empty"


class SyncQuery(Struct, frozen=True):
    """The client's position, and how long it waits; the other parameters have no effect here."""

    since: str | UnsetType = UNSET
    """The `next_batch` of the answer before."""
    timeout: Annotated[int, Meta(ge=0, le=MAX_INTEGER)] = 0
    """Maximum time to wait for something new, in milliseconds."""
    full_state: bool = False
    """Whether to answer at once."""
    filter: str | UnsetType = UNSET
    """Changes nothing."""
    set_presence: str | UnsetType = UNSET
    """Changes nothing."""
    use_state_after: str | UnsetType = UNSET
    """Changes nothing."""


class Events(Struct, frozen=True):
    """No events."""

    events: tuple[()] = ()


class DeviceLists(Struct, frozen=True):
    """No changed device lists."""

    changed: tuple[()] = ()
    left: tuple[()] = ()


class Rooms(Struct, frozen=True):
    """No rooms."""

    join: dict[str, None] = {}
    invite: dict[str, None] = {}
    knock: dict[str, None] = {}
    leave: dict[str, None] = {}


class Sync(Struct, frozen=True):
    """An empty sync, and the position to continue from."""

    next_batch: str
    account_data: Events = Events()
    presence: Events = Events()
    to_device: Events = Events()
    device_lists: DeviceLists = DeviceLists()
    device_one_time_keys_count: dict[str, int] = field(default_factory=dict)
    rooms: Rooms = field(default_factory=Rooms)


@endpoint("GET", client("/sync", "r0", "v3", "unstable"), auth=Auth.ACCESS_TOKEN, beside=Beside.HOMESERVER)
async def sync(call: UserCall, query: SyncQuery) -> Sync:
    """Return an empty sync. A waiting client learns when its access token is revoked. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3sync."""
    if query.since is not UNSET and query.timeout and not query.full_state:
        await call.homeserver.waiting.wait(call.user_id, call.token, query.timeout)
    return Sync(_NEXT_BATCH)


ENDPOINTS = (sync,)
