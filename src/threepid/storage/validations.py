"""Validation sessions and the tokens of their messages."""

from typing import Any

from msgspec import Struct

from threepid.clock import SKEW
from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("validations")


class Key(Struct, frozen=True):
    """What a session is for: at most one is open for each key. `owner` is a user ID or ''."""

    purpose: str
    owner: str
    medium: str
    canonical: str
    secret_hash: bytes

    def parameters(self) -> dict[str, Any]:
        """As parameters of a query."""
        return {
            "purpose": self.purpose,
            "owner": self.owner,
            "medium": self.medium,
            "canonical": self.canonical,
            "secret_hash": self.secret_hash,
        }


class Session(Struct, frozen=True):
    """One validation session; times in milliseconds."""

    sid: str
    purpose: str
    owner: str
    medium: str
    canonical: str
    address: str
    secret_hash: bytes
    send_attempt: int
    wrong_attempts: int
    next_link: str | None
    created_at: int
    expires_at: int
    validated_at: int | None
    consumed_at: int | None


class Tokens(Struct, frozen=True):
    """The link and the code of one message, as hashes."""

    link_hash: bytes
    link_expires_at: int
    code_hash: bytes
    code_expires_at: int


def open_session(
    tx: Tx, key: Key, *, sid: str, address: str, send_attempt: int, next_link: str | None, now: int, expires_at: int
) -> tuple[Session, bool]:
    """The open session for `key`, a new one if there is none or the last has expired; and whether it is new."""
    while True:
        opened = tx.rows(
            _sql.insert,
            Session,
            **key.parameters(),
            sid=sid,
            address=address,
            send_attempt=send_attempt,
            next_link=next_link,
            created_at=now,
            expires_at=expires_at,
        )
        if opened:
            return opened[0], True
        session = tx.row(_sql.open_session, Session, **key.parameters())
        if session is not None and not is_over(session, now):
            return session, False
        # It expired, or somebody else closed it between the two statements.
        tx.run(_sql.close_over, ANY, **key.parameters(), now=now, ahead=now + SKEW)


def is_over(session: Session, now: int) -> bool:
    """Has the session expired? One that was opened or validated by a clock that was ahead has: it would live for too long."""
    return session.expires_at <= now or max(session.created_at, session.validated_at or 0) > now + SKEW


def by_sid(tx: Tx, sid: str) -> Session | None:
    """The session called `sid`."""
    return tx.row(_sql.by_sid, Session, sid=sid)


def by_link(tx: Tx, link_hash: bytes) -> Session | None:
    """The session that a mailed link belongs to."""
    return tx.row(_sql.by_link, Session, link_hash=link_hash)


def raise_send_attempt(tx: Tx, sid: str, send_attempt: int) -> bool:
    """Take a higher `send_attempt`; False if one as high was taken already."""
    return tx.run(_sql.raise_send_attempt, AT_MOST_ONE, sid=sid, send_attempt=send_attempt) == 1


def insert_tokens(tx: Tx, sid: str, send_attempt: int, tokens: Tokens, *, origin: str) -> None:
    """Keep the hashes of one message's link and code, and who asked for it."""
    tx.run(
        _sql.insert_token,
        sid=sid,
        send_attempt=send_attempt,
        link_hash=tokens.link_hash,
        link_expires_at=tokens.link_expires_at,
        code_hash=tokens.code_hash,
        code_expires_at=tokens.code_expires_at,
        origin=origin,
    )


def origin_of_link(tx: Tx, link_hash: bytes) -> str:
    """Who asked for the message of a link, as it was stored."""
    return str(tx.value(_sql.origin_of_link, link_hash=link_hash) or "")


def tokens_of(tx: Tx, sid: str) -> list[Tokens]:
    """The links and codes of a session's messages."""
    return tx.rows(_sql.tokens, Tokens, sid=sid)


def spend_attempt(tx: Tx, sid: str, attempts: int) -> bool:
    """Count a try as wrong before looking at it; False if the session's budget of `attempts` is spent."""
    return tx.run(_sql.spend_attempt, AT_MOST_ONE, sid=sid, attempts=attempts) == 1


def validate(tx: Tx, sid: str, *, now: int, expires_at: int) -> None:
    """The right token came: give the try back, note the time, and let the session live until `expires_at`."""
    tx.run(_sql.validate, sid=sid, now=now, expires_at=expires_at)


def validate_by_link(tx: Tx, sid: str, *, now: int, expires_at: int, attempts: int) -> bool:
    """The mailed link was confirmed; False if the session is finished, dead or expired."""
    return tx.run(_sql.validate_by_link, AT_MOST_ONE, sid=sid, now=now, expires_at=expires_at, attempts=attempts) == 1


def wrong_attempts_at(tx: Tx, medium: str, canonical: str, since: int, now: int) -> int:
    """Wrong tries in all sessions of an address that were opened after `since`."""
    return int(tx.value(_sql.wrong_attempts_at, medium=medium, canonical=canonical, since=since, ahead=now + SKEW))


def consume(tx: Tx, sid: str, now: int) -> bool:
    """Use a validated session up; False if it was used, has expired or is not validated."""
    return tx.run(_sql.consume, AT_MOST_ONE, sid=sid, now=now, ahead=now + SKEW) == 1


def close_of_address(tx: Tx, *, medium: str, canonical: str, purpose: str, now: int) -> int:
    """End the open sessions of an address and purpose."""
    return tx.run(_sql.close_of_address, ANY, medium=medium, canonical=canonical, purpose=purpose, now=now)


def close_additions(tx: Tx, *, medium: str, canonical: str, owner: str, now: int) -> int:
    """End the open sessions by which `owner`, or nobody in particular, would add an address; returns how many."""
    return tx.run(_sql.close_additions, ANY, medium=medium, canonical=canonical, owner=owner, now=now)


def close_of_owner(tx: Tx, owner: str, now: int) -> int:
    """End the open sessions that an account opened."""
    return tx.run(_sql.close_of_owner, ANY, owner=owner, now=now)


def delete_before(tx: Tx, then: int, *, limit: int) -> int:
    """Forget up to `limit` sessions that expired before `then`."""
    return tx.run(_sql.delete_before, ANY, then=then, limit=limit)


def use_remote(
    tx: Tx, *, id_server: str, sid_hash: bytes, user_id: str, medium: str, canonical: str, used_at: int
) -> bool:
    """Remember a session of another identity server as used; False if it was used before."""
    return (
        tx.run(
            _sql.use_remote,
            AT_MOST_ONE,
            id_server=id_server,
            sid_hash=sid_hash,
            user_id=user_id,
            medium=medium,
            canonical=canonical,
            used_at=used_at,
        )
        == 1
    )
