"""Profiles: display names and avatars of accounts. https://spec.matrix.org/latest/client-server-api/#profiles."""

from typing import Final

from threepid.domain.accounts.accounts import require_active
from threepid.domain.context import Context
from threepid.i18n import Text
from threepid.spec.errors import NotFound
from threepid.storage import profiles
from threepid.storage.engine.database import Tx
from threepid.storage.profiles import Profile

_SETTERS: Final = {"displayname": profiles.set_displayname, "avatar_url": profiles.set_avatar_url}
FIELDS: Final = tuple(_SETTERS)
"""The profile fields that this server stores."""


class Profiles:
    """The profiles of this server's accounts. Other servers are not asked for theirs."""

    def __init__(self, context: Context) -> None:
        """Manage the profiles in the database of `context`."""
        self._context = context

    async def get(self, user_id: str) -> Profile:
        """The account's profile, which may be empty. Raises NotFound if there is no such active account."""
        profile = await self._context.database.read(lambda tx: profiles.get(tx, user_id))
        if profile is None:
            raise NotFound(Text("This account does not exist on this server."))
        return profile

    async def set(self, user_id: str, field: str, value: str | None) -> None:
        """Set one of `FIELDS`, or remove it if `value` is None. Raises Forbidden if the account is deactivated."""
        setter = _SETTERS[field]

        def step(tx: Tx) -> None:
            require_active(tx, user_id)
            setter(tx, user_id, value)

        await self._context.database.write(step)

    @staticmethod
    def erase(tx: Tx, user_id: str) -> None:
        """Delete the profile of an account that is being deactivated."""
        profiles.erase(tx, user_id)
