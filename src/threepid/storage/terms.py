"""Accepted terms: which user accepted which version of which document."""

from msgspec import Struct

from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("terms")


class Acceptance(Struct, frozen=True):
    """A version of a document that a user accepted; the time is in milliseconds."""

    document: str
    version: str
    accepted_at: int


def accept(tx: Tx, user_id: str, *, document: str, version: str, now: int) -> None:
    """Record that a user accepted a version of a document; the first time counts."""
    tx.run(_sql.accept, AT_MOST_ONE, user_id=user_id, document=document, version=version, now=now)


def accepted(tx: Tx, user_id: str) -> list[Acceptance]:
    """The versions of documents that a user accepted, oldest first."""
    return tx.rows(_sql.accepted, Acceptance, user_id=user_id)


def erase(tx: Tx, user_id: str) -> None:
    """Delete what a user accepted."""
    tx.run(_sql.erase, ANY, user_id=user_id)
