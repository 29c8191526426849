"""What the owners of accounts chose: language and notices."""

from collections.abc import Iterable

from msgspec import Struct

from threepid.storage.engine.database import AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("preferences")


class Preferences(Struct, frozen=True):
    """The choices of an account. `language` is a tag, or '' for none."""

    language: str = ""
    muted: frozenset[str] = frozenset()
    """The names of the notices that are switched off."""


class _Row(Struct, frozen=True):
    language: str
    muted: str


def get(tx: Tx, user_id: str) -> Preferences:
    """The choices of an account; the defaults if it has chosen nothing."""
    row = tx.row(_sql.get, _Row, user_id=user_id)
    return Preferences() if row is None else Preferences(row.language, frozenset(row.muted.split()))


def set_language(tx: Tx, user_id: str, language: str) -> None:
    """Store the language of an account; '' for none."""
    tx.run(_sql.set_language, user_id=user_id, language=language)


def set_muted(tx: Tx, user_id: str, muted: Iterable[str]) -> None:
    """Store the names of the notices that an account has switched off."""
    tx.run(_sql.set_muted, user_id=user_id, muted=" ".join(sorted(muted)))


def erase(tx: Tx, user_id: str) -> None:
    """Delete the choices of an account."""
    tx.run(_sql.erase, AT_MOST_ONE, user_id=user_id)
