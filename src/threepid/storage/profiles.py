"""Display names and avatars of accounts."""

from msgspec import Struct

from threepid.storage.engine.database import AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("profiles")


class Profile(Struct, frozen=True):
    """A profile; None stands for a field that is not set."""

    displayname: str | None
    avatar_url: str | None


def get(tx: Tx, user_id: str) -> Profile | None:
    """The profile of an active account, or None if there is no such account."""
    return tx.row(_sql.get, Profile, user_id=user_id)


def set_displayname(tx: Tx, user_id: str, displayname: str | None) -> bool:
    """Set or remove the display name; False if the account is not active."""
    return tx.run(_sql.set_displayname, AT_MOST_ONE, user_id=user_id, displayname=displayname) == 1


def set_avatar_url(tx: Tx, user_id: str, avatar_url: str | None) -> bool:
    """Set or remove the avatar; False if the account is not active."""
    return tx.run(_sql.set_avatar_url, AT_MOST_ONE, user_id=user_id, avatar_url=avatar_url) == 1


def erase(tx: Tx, user_id: str) -> None:
    """Delete the profile."""
    tx.run(_sql.erase, AT_MOST_ONE, user_id=user_id)
