"""Scopes: the client API, one device, the administration of a Synapse, and our own admin API.

https://spec.matrix.org/latest/client-server-api/#scope
"""

import re
from typing import Final

from msgspec import Struct

from threepid.spec.oauth.errors import InvalidScope

ADMIN: Final = "urn:synapse:admin:*"
OPERATOR: Final = "urn:threepid:admin:*"
"""Our own admin API. It is no part of the other one, nor the other one of it."""
_STABLE: Final = "urn:matrix:client:"
_UNSTABLE: Final = "urn:matrix:org.matrix.msc2967.client:"
_API: Final = "api:*"
_DEVICE: Final = "device:"
_DEVICE_ID: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/-]{10,255}")
"""Ten characters or more, so that no two clients choose the same; the most that a homeserver's database holds."""
BOTH_APIS: Final = f"{_STABLE}{_API} {_UNSTABLE}{_API}"
"""The client API in both forms, as a homeserver is told."""


class Scope(Struct, frozen=True):
    """What a client may do: use the client API as one device, and perhaps administer the homeserver or help its people."""

    device_id: str
    is_admin: bool = False
    is_unstable: bool = False
    """Did the client write it in the form of the drafts?"""
    is_operator: bool = False
    """Does it include our own admin API?"""

    @property
    def needs_admin(self) -> bool:
        """Can only an account that may administer the server allow it?"""
        return self.is_admin or self.is_operator

    def without_admin(self) -> "Scope":
        """What is left of it for an ordinary account."""
        return Scope(self.device_id, is_unstable=self.is_unstable)

    def __str__(self) -> str:
        """The scope as the client is told."""
        prefix = _UNSTABLE if self.is_unstable else _STABLE
        parts = [f"{prefix}{_API}", f"{prefix}{_DEVICE}{self.device_id}", *([ADMIN] if self.is_admin else [])]
        return " ".join([*parts, *([OPERATOR] if self.is_operator else [])])

    def for_homeserver(self) -> str:
        """The scope as a homeserver is told: in both forms, whichever of them it knows. Our admin API is none of its business."""
        devices = f"{_STABLE}{_DEVICE}{self.device_id} {_UNSTABLE}{_DEVICE}{self.device_id}"
        return f"{BOTH_APIS} {devices}{f' {ADMIN}' if self.is_admin else ''}"


def parse_scope(text: str) -> Scope:
    """The scope in `text`; unknown parts are left out. Raises InvalidScope."""
    parts = set(text.split(" "))
    forms = {prefix for prefix in (_STABLE, _UNSTABLE) for part in parts if part.startswith(prefix)}
    if len(forms) > 1:
        raise InvalidScope("The scope mixes urn:matrix:client and urn:matrix:org.matrix.msc2967.client.")
    prefix = forms.pop() if forms else _STABLE
    if f"{prefix}{_API}" not in parts:
        raise InvalidScope("The scope must have urn:matrix:client:api:*.")
    devices = [part for part in parts if part.startswith(f"{prefix}{_DEVICE}")]
    if len(devices) != 1:
        raise InvalidScope("The scope must have exactly one urn:matrix:client:device:ID.")
    device_id = devices[0].removeprefix(f"{prefix}{_DEVICE}")
    if not _DEVICE_ID.fullmatch(device_id):
        raise InvalidScope("A device ID has 10 to 255 characters of a URI.")
    return Scope(device_id, ADMIN in parts, prefix == _UNSTABLE, OPERATOR in parts)
