"""Profiles. https://spec.matrix.org/latest/client-server-api/#profiles."""

import re
from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from threepid.api.call import Call, UserCall
from threepid.domain.accounts.profiles import FIELDS
from threepid.spec import errors
from threepid.spec.endpoint import Auth, client, endpoint
from threepid.spec.types import DisplayName

AvatarUrl = Annotated[str, Meta(max_length=1000, pattern=r"\A(?:mxc://[^\x00-\x20\x7f/?#]+/[^\x00-\x20\x7f/?#]+)?\Z")]
"""A picture in some media repository, or nothing. https://spec.matrix.org/latest/client-server-api/#matrix-content-mxc-uris"""
_KEY: Final = re.compile(r"avatar_url|displayname|[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+")
_MAX_KEY: Final = 255


class Profile(Struct, frozen=True, omit_defaults=True):
    """What is set."""

    displayname: str | UnsetType = UNSET
    avatar_url: str | UnsetType = UNSET


class NewField(Struct, frozen=True):
    """The member that the path names, and its new value; '' removes it."""

    displayname: DisplayName | UnsetType = UNSET
    avatar_url: AvatarUrl | UnsetType = UNSET


@endpoint(
    "GET",
    client("/profile/{user_id}", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    errors=(errors.NotFound,),
)
async def get_profile(call: Call, user_id: str) -> Profile:
    """The profile of an account. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3profileuserid."""
    found = await call.homeserver.profiles.get(user_id)
    return Profile(found.displayname or UNSET, found.avatar_url or UNSET)


@endpoint(
    "GET",
    client("/profile/{user_id}/{key_name}", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    errors=(errors.NotFound,),
)
async def get_profile_field(call: Call, user_id: str, key_name: str) -> Profile:
    """One member of a profile. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3profileuseridkeyname."""
    profile = await get_profile.handler(call, user_id)
    value = getattr(profile, key_name) if key_name in FIELDS else UNSET
    if value is UNSET:
        raise errors.NotFound("The profile has no such member.")
    return Profile(**{key_name: value})


@endpoint(
    "PUT",
    client("/profile/{user_id}/{key_name}", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    errors=(errors.Forbidden, errors.KeyTooLarge),
)
async def set_profile_field(call: UserCall, body: NewField, user_id: str, key_name: str) -> None:
    """Set one member of one's own profile. https://spec.matrix.org/latest/client-server-api/#put_matrixclientv3profileuseridkeyname."""
    _check_own(call, user_id, key_name)
    value = getattr(body, key_name)
    if value is UNSET:
        raise errors.MissingParam(f"'{key_name}' is missing.")
    await call.homeserver.profiles.set(user_id, key_name, value or None)


@endpoint(
    "DELETE",
    client("/profile/{user_id}/{key_name}", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    errors=(errors.Forbidden, errors.KeyTooLarge),
)
async def delete_profile_field(call: UserCall, user_id: str, key_name: str) -> None:
    """Remove one member of one's own profile. https://spec.matrix.org/latest/client-server-api/#delete_matrixclientv3profileuseridkeyname."""
    _check_own(call, user_id, key_name)
    await call.homeserver.profiles.set(user_id, key_name, None)


def _check_own(call: UserCall, user_id: str, key_name: str) -> None:
    if user_id != call.user_id:
        raise errors.Forbidden("You can only change your own profile.")
    if len(key_name.encode()) > _MAX_KEY:
        raise errors.KeyTooLarge
    if not _KEY.fullmatch(key_name):
        raise errors.InvalidParam("The members of a profile have other names.")
    if key_name not in FIELDS:
        raise errors.Forbidden(f"A profile here has these members: {', '.join(FIELDS)}.")


ENDPOINTS = (get_profile, get_profile_field, set_profile_field, delete_profile_field)
