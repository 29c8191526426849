"""Capabilities of this homeserver. https://spec.matrix.org/latest/client-server-api/#capabilities-negotiation."""

from msgspec import Struct, field

from threepid.api.call import UserCall
from threepid.domain.accounts.profiles import FIELDS
from threepid.spec.endpoint import Auth, Beside, client, endpoint


class Enabled(Struct, frozen=True):
    """Is the capability enabled?"""

    enabled: bool


class ProfileFields(Struct, frozen=True):
    """The profile fields that users can set."""

    enabled: bool
    allowed: tuple[str, ...]


class RoomVersions(Struct, frozen=True):
    """Room versions. This server has no rooms, so these are the specification's defaults."""

    default: str
    available: dict[str, str]


class KnownCapabilities(Struct, frozen=True):
    """The capabilities, under the specification's names."""

    change_password: Enabled = field(name="m.change_password")
    threepid_changes: Enabled = field(name="m.3pid_changes")
    set_displayname: Enabled = field(name="m.set_displayname")
    set_avatar_url: Enabled = field(name="m.set_avatar_url")
    get_login_token: Enabled = field(name="m.get_login_token")
    profile_fields: ProfileFields = field(name="m.profile_fields")
    room_versions: RoomVersions = field(name="m.room_versions")


class Capabilities(Struct, frozen=True):
    """The answer: all capabilities."""

    capabilities: KnownCapabilities


@endpoint("GET", client("/capabilities", "r0", "v3", "unstable"), auth=Auth.ACCESS_TOKEN, beside=Beside.HOMESERVER)
async def capabilities(call: UserCall) -> Capabilities:
    """Get the capabilities of the server. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3capabilities."""
    yes = Enabled(enabled=True)
    # For apps of the OAuth 2.0 API, the account pages do what User-Interactive Authentication does for the old login.
    uia = Enabled(enabled=call.requester.client_id is None)
    return Capabilities(
        KnownCapabilities(
            change_password=uia,
            threepid_changes=Enabled(enabled=uia.enabled and call.config.policy.changes_allowed),
            set_displayname=yes,
            set_avatar_url=yes,
            get_login_token=uia,
            profile_fields=ProfileFields(enabled=True, allowed=FIELDS),
            room_versions=RoomVersions("1", {"1": "stable"}),
        )
    )


ENDPOINTS = (capabilities,)
