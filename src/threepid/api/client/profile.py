"""Profiles. https://spec.matrix.org/latest/client-server-api/#profiles."""

import re
from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from threepid.api.call import Call, UserCall
from threepid.domain.accounts.profiles import FIELDS
from threepid.i18n import Text
from threepid.spec import errors
from threepid.spec.endpoint import Auth, Beside, client, endpoint
from threepid.spec.types import DisplayName

AvatarUrl = Annotated[str, Meta(max_length=1000, pattern=r"\A(?:mxc://[^\x00-\x20\x7f/?#]+/[^\x00-\x20\x7f/?#]+)?\Z")]
"""A picture in a media repository, or '' for none. https://spec.matrix.org/latest/client-server-api/#matrix-content-mxc-uris"""
_KEY: Final = re.compile(r"avatar_url|displayname|[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+")
_MAX_KEY: Final = 255


class Profile(Struct, frozen=True, omit_defaults=True):
    """The fields of the profile that are set."""

    displayname: str | UnsetType = UNSET
    avatar_url: str | UnsetType = UNSET


class NewField(Struct, frozen=True):
    """The field that the path names, with its new value; '' removes the field."""

    displayname: DisplayName | UnsetType = UNSET
    avatar_url: AvatarUrl | UnsetType = UNSET


@endpoint(
    "GET",
    client("/profile/{user_id}", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    errors=(errors.NotFound,),
    beside=Beside.HOMESERVER,
)
async def get_profile(call: Call, user_id: str) -> Profile:
    """Get the profile of an account. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3profileuserid."""
    found = await call.homeserver.profiles.get(user_id)
    return Profile(found.displayname or UNSET, found.avatar_url or UNSET)


@endpoint(
    "GET",
    client("/profile/{user_id}/{key_name}", "r0", "v3", "unstable"),
    auth=Auth.NONE,
    errors=(errors.NotFound,),
    beside=Beside.HOMESERVER,
)
async def get_profile_field(call: Call, user_id: str, key_name: str) -> Profile:
    """Get one field of a profile. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3profileuseridkeyname."""
    profile = await get_profile.handler(call, user_id)
    value = getattr(profile, key_name) if key_name in FIELDS else UNSET
    if value is UNSET:
        raise errors.NotFound(Text("The profile has no such field."))
    return Profile(**{key_name: value})


@endpoint(
    "PUT",
    client("/profile/{user_id}/{key_name}", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    errors=(errors.Forbidden, errors.KeyTooLarge),
    beside=Beside.HOMESERVER,
)
async def set_profile_field(call: UserCall, body: NewField, user_id: str, key_name: str) -> None:
    """Set one field of your own profile. https://spec.matrix.org/latest/client-server-api/#put_matrixclientv3profileuseridkeyname."""
    _check_own(call, user_id, key_name)
    value = getattr(body, key_name)
    if value is UNSET:
        raise errors.MissingParam.named(key_name)
    await call.homeserver.profiles.set(user_id, key_name, value or None)


@endpoint(
    "DELETE",
    client("/profile/{user_id}/{key_name}", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    errors=(errors.Forbidden, errors.KeyTooLarge),
    beside=Beside.HOMESERVER,
)
async def delete_profile_field(call: UserCall, user_id: str, key_name: str) -> None:
    """Delete one field of your own profile. https://spec.matrix.org/latest/client-server-api/#delete_matrixclientv3profileuseridkeyname."""
    _check_own(call, user_id, key_name)
    await call.homeserver.profiles.set(user_id, key_name, None)


def _check_own(call: UserCall, user_id: str, key_name: str) -> None:
    if user_id != call.user_id:
        raise errors.Forbidden(Text("You can change only your own profile."))
    if len(key_name.encode()) > _MAX_KEY:
        raise errors.KeyTooLarge
    if not _KEY.fullmatch(key_name):
        raise errors.InvalidParam(Text("This is not a valid name of a profile field."))
    if key_name not in FIELDS:
        raise errors.Forbidden(Text("A profile on this server has these fields: %(names)s.", names=", ".join(FIELDS)))


ENDPOINTS = (get_profile, get_profile_field, set_profile_field, delete_profile_field)
