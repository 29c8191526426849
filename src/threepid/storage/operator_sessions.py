"""Sessions of browsers that are signed in to the console of operators."""

from msgspec import Struct

from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("operator_sessions")


class OperatorSession(Struct, frozen=True):
    """A session, with the operator token or the account that opened it. Times in milliseconds."""

    session_id: str
    created_at: int
    seen_at: int
    token: str | None
    """The name of the operator token; None for a session that an administrator's account opened."""
    scopes: str | None
    token_created_at: int | None
    token_expires_at: int | None
    user_id: str | None
    """The administrator's account; None for a session of a token."""
    web_created_at: int | None
    web_seen_at: int | None
    admin_at: int | None
    """Since when the account may administer the server; None if it may not, or is locked or deactivated."""


def insert(
    tx: Tx,
    *,
    secret_hash: bytes,
    session_id: str,
    token_hash: bytes | None = None,
    web_session_id: str | None = None,
    now: int,
    at_most: int,
) -> None:
    """Insert a session of an operator token or of a browser session, and keep those of the token that were seen last."""
    opened_by = {"token_hash": token_hash, "web_session_id": web_session_id}
    tx.insert(_sql.insert, secret_hash=secret_hash, session_id=session_id, **opened_by, now=now)
    if token_hash is not None:
        tx.run(_sql.delete_surplus, ANY, token_hash=token_hash, at_most=at_most)


def get(tx: Tx, secret_hash: bytes) -> OperatorSession | None:
    """The session of a secret, even an expired one."""
    return tx.row(_sql.get, OperatorSession, secret_hash=secret_hash)


def seen(tx: Tx, secret_hash: bytes, now: int) -> None:
    """Update when a session was last seen."""
    tx.run(_sql.seen, AT_MOST_ONE, secret_hash=secret_hash, now=now)


def delete(tx: Tx, secret_hash: bytes) -> bool:
    """Delete a session; False if there is none."""
    return tx.run(_sql.delete, AT_MOST_ONE, secret_hash=secret_hash) == 1


def delete_expired(tx: Tx, *, created_before: int, seen_before: int, latest: int, at_most: int) -> int:
    """Delete at most `at_most` sessions that have ended by their age, or that a clock that was ahead made."""
    times = {"created_before": created_before, "seen_before": seen_before, "latest": latest}
    return tx.run(_sql.delete_expired, ANY, **times, at_most=at_most)
