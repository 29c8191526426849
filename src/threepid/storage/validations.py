"""Validation sessions and the tokens of their messages."""

from typing import Any

from msgspec import Struct

from threepid.clock import SKEW
from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("validations")


class Key(Struct, frozen=True):
    """What a session is for. At most one session is open for each key; `owner` is a user ID or ''."""

    purpose: str
    owner: str
    medium: str
    canonical: str
    secret_hash: bytes

    def parameters(self) -> dict[str, Any]:
        """The key as query parameters."""
        return {
            "purpose": self.purpose,
            "owner": self.owner,
            "medium": self.medium,
            "canonical": self.canonical,
            "secret_hash": self.secret_hash,
        }


class Session(Struct, frozen=True):
    """A validation session; times in milliseconds."""

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


class RemoteProof(Struct, frozen=True):
    """A used session of another identity server, and the address that it proved; time in milliseconds."""

    id_server: str
    medium: str
    canonical: str
    used_at: int


class Tokens(Struct, frozen=True):
    """The link and the code of one message, as hashes."""

    link_hash: bytes
    link_expires_at: int
    code_hash: bytes
    code_expires_at: int


def open_session(
    tx: Tx,
    key: Key,
    *,
    sid: str,
    address: str,
    send_attempt: int,
    next_link: str | None,
    tokens: Tokens,
    origin: str,
    now: int,
    expires_at: int,
) -> tuple[Session, bool]:
    """The open session for `key`, or a new one if there is none or it has expired; and whether it is new.

    A new one has the `tokens` of its first message, and the `origin` of the request for it.
    """
    new = Session(
        sid=sid,
        purpose=key.purpose,
        owner=key.owner,
        medium=key.medium,
        canonical=key.canonical,
        address=address,
        secret_hash=key.secret_hash,
        send_attempt=send_attempt,
        wrong_attempts=0,
        next_link=next_link,
        created_at=now,
        expires_at=expires_at,
        validated_at=None,
        consumed_at=None,
    )
    while True:
        if tx.run(
            _sql.insert,
            AT_MOST_ONE,
            **key.parameters(),
            sid=sid,
            address=address,
            send_attempt=send_attempt,
            next_link=next_link,
            created_at=now,
            expires_at=expires_at,
            link_hash=tokens.link_hash,
            link_expires_at=tokens.link_expires_at,
            code_hash=tokens.code_hash,
            code_expires_at=tokens.code_expires_at,
            origin=origin,
        ):
            return new, True
        session = tx.row(_sql.open_session, Session, **key.parameters())
        if session is not None and not is_over(session, now):
            return session, False
        # It has expired, or another transaction closed it between the two statements.
        tx.run(_sql.close_over, ANY, **key.parameters(), now=now, ahead=now + SKEW)


def is_over(session: Session, now: int) -> bool:
    """Has the session expired? So has a session that a clock that was ahead opened or validated: it would live too long."""
    return session.expires_at <= now or max(session.created_at, session.validated_at or 0) > now + SKEW


def by_sid(tx: Tx, sid: str) -> Session | None:
    """The session with this `sid`."""
    return tx.row(_sql.by_sid, Session, sid=sid)


def by_link(tx: Tx, link_hash: bytes) -> Session | None:
    """The session of a mailed link."""
    return tx.row(_sql.by_link, Session, link_hash=link_hash)


def raise_send_attempt(tx: Tx, sid: str, send_attempt: int) -> bool:
    """Raise `send_attempt`; False if it is as high already."""
    return tx.run(_sql.raise_send_attempt, AT_MOST_ONE, sid=sid, send_attempt=send_attempt) == 1


def insert_tokens(tx: Tx, sid: str, send_attempt: int, tokens: Tokens, *, origin: str) -> None:
    """Store the hashes of a later message's link and code, and the origin of the request for it."""
    tx.insert(
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
    """The stored origin of the request for a link's message; '' if there is none."""
    return str(tx.value(_sql.origin_of_link, link_hash=link_hash) or "")


def tokens_of(tx: Tx, sid: str) -> list[Tokens]:
    """The hashes of the links and codes of a session's messages."""
    return tx.rows(_sql.tokens, Tokens, sid=sid)


def spend_attempt(tx: Tx, sid: str, attempts: int) -> bool:
    """Count an attempt as wrong before checking it; False if the session is closed, validated or out of `attempts`."""
    return tx.run(_sql.spend_attempt, AT_MOST_ONE, sid=sid, attempts=attempts) == 1


def validate(tx: Tx, sid: str, *, now: int, expires_at: int) -> None:
    """Validate the session after a right token, take the attempt off the count, and let the session live until `expires_at`."""
    tx.run(_sql.validate, sid=sid, now=now, expires_at=expires_at)


def validate_by_link(tx: Tx, sid: str, *, now: int, expires_at: int, attempts: int) -> bool:
    """Validate the session by its mailed link; False if it is closed, validated, expired or out of `attempts`."""
    return tx.run(_sql.validate_by_link, AT_MOST_ONE, sid=sid, now=now, expires_at=expires_at, attempts=attempts) == 1


def wrong_attempts_at(tx: Tx, medium: str, canonical: str, since: int, now: int) -> int:
    """Number of wrong attempts in all sessions of an address that were opened after `since`."""
    return int(tx.value(_sql.wrong_attempts_at, medium=medium, canonical=canonical, since=since, ahead=now + SKEW))


def was_validated(tx: Tx, medium: str, canonical: str, since: int) -> bool:
    """Was the address validated after `since`? Sessions are deleted a day after they expire, and count no more then."""
    return tx.value(_sql.validated_after, medium=medium, canonical=canonical, since=since) is not None


def consume(tx: Tx, sid: str, now: int) -> bool:
    """Use up a validated session; False if it was used, has expired or is not validated."""
    return tx.run(_sql.consume, AT_MOST_ONE, sid=sid, now=now, ahead=now + SKEW) == 1


def consume_by_link(tx: Tx, sid: str, *, now: int, attempts: int) -> bool:
    """Use up a session, validated or not, by its mailed link; False if it was used, has expired or is out of `attempts`."""
    return tx.run(_sql.consume_by_link, AT_MOST_ONE, sid=sid, now=now, ahead=now + SKEW, attempts=attempts) == 1


def close_of_address(tx: Tx, *, medium: str, canonical: str, purpose: str, now: int) -> int:
    """Close the open sessions of an address and purpose; returns how many."""
    return tx.run(_sql.close_of_address, ANY, medium=medium, canonical=canonical, purpose=purpose, now=now)


def close_additions(tx: Tx, *, medium: str, canonical: str, owner: str, now: int) -> int:
    """Close the open sessions of `owner`, and those without an owner, that would add an address; returns how many."""
    return tx.run(_sql.close_additions, ANY, medium=medium, canonical=canonical, owner=owner, now=now)


def close_of_owner(tx: Tx, owner: str, now: int) -> int:
    """Close the open sessions of an account; returns how many."""
    return tx.run(_sql.close_of_owner, ANY, owner=owner, now=now)


def delete_before(tx: Tx, then: int, *, limit: int) -> int:
    """Delete up to `limit` sessions that expired before `then`; returns how many."""
    return tx.run(_sql.delete_before, ANY, then=then, limit=limit)


def use_remote(
    tx: Tx, *, id_server: str, sid_hash: bytes, user_id: str, medium: str, canonical: str, used_at: int
) -> bool:
    """Record a session of another identity server as used; False if it was used before."""
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


def of_owner(tx: Tx, owner: str) -> list[Session]:
    """The validation sessions of an account, newest first."""
    return tx.rows(_sql.of_owner, Session, owner=owner)


def remote_of_user(tx: Tx, user_id: str) -> list[RemoteProof]:
    """The addresses that an account proved by sessions of other identity servers, newest first."""
    return tx.rows(_sql.remote_of_user, RemoteProof, user_id=user_id)


def forget_remote(tx: Tx, user_id: str) -> None:
    """Forget which addresses an account proved by sessions of other identity servers. The sessions stay used."""
    tx.run(_sql.forget_remote, ANY, user_id=user_id)
