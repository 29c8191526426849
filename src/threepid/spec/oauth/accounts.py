"""What people may want to do on the account pages. https://spec.matrix.org/latest/client-server-api/#account-management-url-actions."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from threepid.spec.oauth.server import MANAGE

SESSIONS: Final = "/account/sessions"
CLOSE: Final = "/account/close"
KEYS: Final = "/account/keys"
_PREFIX: Final = "org.matrix."
"""The first drafts had none, and apps of that time still name actions without it."""


class Action(StrEnum):
    """An action of the account management URL; the last three are of the drafts."""

    PROFILE = "org.matrix.profile"
    DEVICES_LIST = "org.matrix.devices_list"
    DEVICE_VIEW = "org.matrix.device_view"
    DEVICE_DELETE = "org.matrix.device_delete"
    ACCOUNT_DEACTIVATE = "org.matrix.account_deactivate"
    CROSS_SIGNING_RESET = "org.matrix.cross_signing_reset"
    SESSIONS_LIST = "org.matrix.sessions_list"
    SESSION_VIEW = "org.matrix.session_view"
    SESSION_END = "org.matrix.session_end"


class Place(Struct, frozen=True):
    """The page of an action."""

    path: str
    has_device: bool = False
    """Does the action name a device?"""
    needs_homeserver: bool = False
    """Does only a homeserver beside us have what the page is about?"""


PLACES: Final[Mapping[Action, Place]] = {
    Action.PROFILE: Place(MANAGE),
    Action.DEVICES_LIST: Place(SESSIONS),
    Action.DEVICE_VIEW: Place(SESSIONS, has_device=True),
    Action.DEVICE_DELETE: Place(SESSIONS, has_device=True),
    Action.ACCOUNT_DEACTIVATE: Place(CLOSE),
    Action.CROSS_SIGNING_RESET: Place(KEYS, needs_homeserver=True),
    Action.SESSIONS_LIST: Place(SESSIONS),
    Action.SESSION_VIEW: Place(SESSIONS, has_device=True),
    Action.SESSION_END: Place(SESSIONS, has_device=True),
}
"""The page of each action. What is advertised and what the pages do both follow from it."""


def actions(*, has_homeserver: bool) -> tuple[Action, ...]:
    """The actions that the account pages can do, with a homeserver beside us or without."""
    return tuple(action for action, place in PLACES.items() if has_homeserver or not place.needs_homeserver)


def place_of(action: str, *, has_homeserver: bool) -> Place:
    """The page of an action; for an unknown or impossible one the start page, which has the account with its contacts."""
    name = action if action.startswith(_PREFIX) else f"{_PREFIX}{action}"
    possible = actions(has_homeserver=has_homeserver)
    return PLACES[Action(name)] if name in possible else PLACES[Action.PROFILE]
