"""Sessions of User-Interactive Authentication."""

from msgspec import Struct

from threepid.clock import SKEW
from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("uia")


class UiaSession(Struct, frozen=True):
    """A session. `completed` is a JSON object of stages and what they proved, `flows` a JSON array; times in milliseconds."""

    operation: str
    subject: str
    request_mac: bytes
    request: bytes
    completed: str
    flows: str
    consumer: str
    created_at: int
    expires_at: int
    consumed_at: int | None
    result: str | None
    origin: str
    early: bytes | None


def insert(
    tx: Tx,
    id_hash: bytes,
    *,
    operation: str,
    subject: str,
    user_id: str | None,
    request_mac: bytes,
    request: bytes,
    flows: str,
    consumer: str,
    completed: str,
    now: int,
    expires_at: int,
    origin: str,
    early: bytes | None,
) -> None:
    """Begin a session for one request of one subject, which is a device of `user_id` if the caller is logged in."""
    tx.insert(
        _sql.insert,
        id_hash=id_hash,
        operation=operation,
        subject=subject,
        user_id=user_id,
        request_mac=request_mac,
        request=request,
        flows=flows,
        consumer=consumer,
        completed=completed,
        now=now,
        expires_at=expires_at,
        origin=origin,
        early=early,
    )


def end_oldest(tx: Tx, subject: str, *, but: int) -> int:
    """Delete the oldest open sessions of a subject, but keep the newest `but`; returns how many."""
    return tx.run(_sql.end_oldest, ANY, subject=subject, but=but)


def end_oldest_of_user(tx: Tx, user_id: str, *, but: int) -> int:
    """Delete the oldest open sessions of all devices of a user, but keep the newest `but`; returns how many."""
    return tx.run(_sql.end_oldest_of_user, ANY, user_id=user_id, but=but)


def keep_early(tx: Tx, id_hash: bytes, early: bytes) -> bool:
    """Store an attempt that came too early; False if the session is used up."""
    return tx.run(_sql.keep_early, AT_MOST_ONE, id_hash=id_hash, early=early) == 1


def get(tx: Tx, id_hash: bytes, *, now: int, idle_since: int) -> UiaSession | None:
    """The session, unless it has expired, was not used after `idle_since`, or was last used by a clock that was ahead."""
    return tx.row(_sql.get, UiaSession, id_hash=id_hash, now=now, idle_since=idle_since, ahead=now + SKEW)


def complete(tx: Tx, id_hash: bytes, *, before: str, completed: str, now: int) -> bool:
    """Record another completed stage; False if the session has changed since it was read (`before`) or is used up."""
    return tx.run(_sql.complete, AT_MOST_ONE, id_hash=id_hash, before=before, completed=completed, now=now) == 1


def fill_in(tx: Tx, id_hash: bytes, *, before: bytes, request_mac: bytes, request: bytes) -> bool:
    """Replace the session's request; False if that has changed since it was read (`before`) or the session is used up."""
    return (
        tx.run(_sql.fill_in, AT_MOST_ONE, id_hash=id_hash, before=before, request_mac=request_mac, request=request) == 1
    )


def consume(tx: Tx, id_hash: bytes, *, now: int, result: str | None) -> bool:
    """Use up the session and store its result; False if it was used up before."""
    return tx.run(_sql.consume, AT_MOST_ONE, id_hash=id_hash, now=now, result=result) == 1


def allow_repeats(tx: Tx, id_hash: bytes, *, user_id: str, device_id: str, repeats: int) -> None:
    """Let a finished registration log in its device again, at most `repeats` times."""
    tx.run(_sql.allow_repeats, id_hash=id_hash, user_id=user_id, device_id=device_id, repeats=repeats)


def repeated_device(tx: Tx, id_hash: bytes) -> str | None:
    """The device that a finished registration opened; None if there is none or it was logged out."""
    device_id: str | None = tx.value(_sql.repeated_device, id_hash=id_hash)
    return device_id


def take_repeat(tx: Tx, id_hash: bytes) -> bool:
    """Count a repeated login of a finished registration; False if none is left."""
    return tx.run(_sql.take_repeat, AT_MOST_ONE, id_hash=id_hash) == 1


def delete(tx: Tx, id_hash: bytes) -> None:
    """Delete a misused session, unless it is used up."""
    tx.run(_sql.delete, AT_MOST_ONE, id_hash=id_hash)


def delete_of_user(tx: Tx, user_id: str) -> None:
    """Delete the sessions that devices of a user began, and the finished session that registered the user."""
    tx.run(_sql.delete_of_user, ANY, user_id=user_id)


def delete_expired(tx: Tx, *, now: int, limit: int) -> int:
    """Delete up to `limit` expired sessions; returns how many."""
    return tx.run(_sql.delete_expired, ANY, now=now, limit=limit)


def delete_idle(tx: Tx, *, idle_since: int, limit: int) -> int:
    """Delete up to `limit` sessions without a result that were not used after `idle_since`; returns how many."""
    return tx.run(_sql.delete_idle, ANY, idle_since=idle_since, limit=limit)
