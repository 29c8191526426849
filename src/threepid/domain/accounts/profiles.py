"""Profiles: what people call an account, and its picture. https://spec.matrix.org/latest/client-server-api/#profiles."""

from typing import Final

from threepid.domain.accounts.accounts import require_active
from threepid.domain.context import Context
from threepid.spec.errors import NotFound
from threepid.storage import profiles
from threepid.storage.engine.database import Tx
from threepid.storage.profiles import Profile

_SETTERS: Final = {"displayname": profiles.set_displayname, "avatar_url": profiles.set_avatar_url}
FIELDS: Final = tuple(_SETTERS)
"""What a profile can have here."""


class Profiles:
    """The profiles of this server's accounts; those of other servers are not asked for."""

    def __init__(self, context: Context) -> None:
        """Nothing is set until `set`."""
        self._context = context

    async def get(self, user_id: str) -> Profile:
        """The profile, which may be empty. Raises NotFound if no active account is called so."""
        profile = await self._context.database.read(lambda tx: profiles.get(tx, user_id))
        if profile is None:
            raise NotFound("There is no such account here.")
        return profile

    async def set(self, user_id: str, field: str, value: str | None) -> None:
        """Set one of `FIELDS`, or remove it. Raises Forbidden if the account has ended."""
        setter = _SETTERS[field]

        def step(tx: Tx) -> None:
            require_active(tx, user_id)
            setter(tx, user_id, value)

        await self._context.database.write(step)

    @staticmethod
    def erase(tx: Tx, user_id: str) -> None:
        """Forget the profile of an account that ends."""
        profiles.erase(tx, user_id)
