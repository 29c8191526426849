"""Sessions of browsers that are signed in to an account."""

from msgspec import Struct

from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("web_sessions")


class WebSession(Struct, frozen=True):
    """A browser that is signed in. Times in milliseconds."""

    session_id: str
    """The name of the session in lists: it opens nothing."""
    user_id: str
    created_at: int
    seen_at: int
    confirmed_at: int
    """When the person last proved to be the owner of the account."""
    seen_from: str
    user_agent: str


def insert(
    tx: Tx, *, token_hash: bytes, session_id: str, user_id: str, now: int, seen_from: str, user_agent: str, at_most: int
) -> None:
    """Insert a session, and keep those of the account's sessions that were seen last."""
    tx.insert(
        _sql.insert,
        token_hash=token_hash,
        session_id=session_id,
        user_id=user_id,
        now=now,
        seen_from=seen_from,
        user_agent=user_agent,
    )
    tx.run(_sql.delete_surplus, ANY, user_id=user_id, at_most=at_most)


def get(tx: Tx, token_hash: bytes) -> WebSession | None:
    """The session of a token, even an expired one."""
    return tx.row(_sql.get, WebSession, token_hash=token_hash)


def hold(tx: Tx, token_hash: bytes) -> WebSession | None:
    """The session of a token, locked until `tx` ends."""
    return get(tx, token_hash) if tx.run(_sql.hold, AT_MOST_ONE, token_hash=token_hash) else None


def seen(tx: Tx, token_hash: bytes, *, now: int, seen_from: str, user_agent: str) -> None:
    """Update when, from where and by which user agent a session was last seen."""
    tx.run(_sql.seen, AT_MOST_ONE, token_hash=token_hash, now=now, seen_from=seen_from, user_agent=user_agent)


def confirm(tx: Tx, token_hash: bytes, *, new_hash: bytes, now: int) -> bool:
    """Replace the token of a session whose owner has confirmed it; False if the session has ended."""
    return tx.run(_sql.confirm, AT_MOST_ONE, token_hash=token_hash, new_hash=new_hash, now=now) == 1


def of_user(tx: Tx, user_id: str) -> list[WebSession]:
    """The sessions of an account, oldest first."""
    return tx.rows(_sql.of_user, WebSession, user_id=user_id)


def delete(tx: Tx, user_id: str, session_id: str) -> bool:
    """Delete one session of an account; False if there is no such session."""
    return tx.run(_sql.delete, AT_MOST_ONE, user_id=user_id, session_id=session_id) == 1


def delete_of_user(tx: Tx, user_id: str, *, but: str = "") -> int:
    """Delete the sessions of an account, except the one with the ID `but`; returns how many."""
    return tx.run(_sql.delete_of_user, ANY, user_id=user_id, but=but)


def delete_expired(tx: Tx, *, created_before: int, seen_before: int, latest: int, at_most: int) -> int:
    """Delete at most `at_most` sessions that have ended by their age, or that a clock that was ahead made."""
    return tx.run(
        _sql.delete_expired,
        ANY,
        created_before=created_before,
        seen_before=seen_before,
        latest=latest,
        at_most=at_most,
    )
