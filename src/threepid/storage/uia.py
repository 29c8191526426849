"""Sessions of User-Interactive Authentication."""

from msgspec import Struct

from threepid.storage.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.queries import Queries

_sql = Queries("uia")


class UiaSession(Struct, frozen=True):
    """One session. `completed` is a JSON object of stages and what they proved, `flows` a JSON array; times in milliseconds."""

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


def insert(
    tx: Tx,
    id_hash: bytes,
    *,
    operation: str,
    subject: str,
    request_mac: bytes,
    request: bytes,
    flows: str,
    consumer: str,
    completed: str,
    now: int,
    expires_at: int,
) -> None:
    """Begin a session for one request of one subject."""
    tx.run(
        _sql.insert,
        id_hash=id_hash,
        operation=operation,
        subject=subject,
        request_mac=request_mac,
        request=request,
        flows=flows,
        consumer=consumer,
        completed=completed,
        now=now,
        expires_at=expires_at,
    )


def get(tx: Tx, id_hash: bytes, *, now: int, idle_since: int) -> UiaSession | None:
    """The session, unless it has expired or was not used after `idle_since`."""
    return tx.row(_sql.get, UiaSession, id_hash=id_hash, now=now, idle_since=idle_since)


def complete(tx: Tx, id_hash: bytes, *, before: str, completed: str, now: int) -> bool:
    """Note another stage; False if the session is not as it was read (`before`)."""
    return tx.run(_sql.complete, AT_MOST_ONE, id_hash=id_hash, before=before, completed=completed, now=now) == 1


def fill_in(tx: Tx, id_hash: bytes, *, before: bytes, request_mac: bytes, request: bytes) -> bool:
    """Let the session be for another request; False if it is not for the one that it was read with, or was used."""
    return (
        tx.run(_sql.fill_in, AT_MOST_ONE, id_hash=id_hash, before=before, request_mac=request_mac, request=request) == 1
    )


def consume(tx: Tx, id_hash: bytes, *, now: int, result: str | None) -> bool:
    """Use the session up; False if it was used before."""
    return tx.run(_sql.consume, AT_MOST_ONE, id_hash=id_hash, now=now, result=result) == 1


def allow_repeats(tx: Tx, id_hash: bytes, *, user_id: str, device_id: str, repeats: int) -> None:
    """Let a registration that is finished log in the device that it opened again, `repeats` times at most."""
    tx.run(_sql.allow_repeats, id_hash=id_hash, user_id=user_id, device_id=device_id, repeats=repeats)


def repeated_device(tx: Tx, id_hash: bytes) -> str | None:
    """The device that a finished registration opened; None if there is none, or it was logged out."""
    device_id: str | None = tx.value(_sql.repeated_device, id_hash=id_hash)
    return device_id


def take_repeat(tx: Tx, id_hash: bytes) -> bool:
    """Count a repeat of a finished registration; False if there is none left."""
    return tx.run(_sql.take_repeat, AT_MOST_ONE, id_hash=id_hash) == 1


def delete(tx: Tx, id_hash: bytes) -> None:
    """End a session that was misused."""
    tx.run(_sql.delete, AT_MOST_ONE, id_hash=id_hash)


def delete_of_user(tx: Tx, user_id: str) -> None:
    """End the sessions that devices of a user began, and the finished one by which the user was registered."""
    tx.run(_sql.delete_of_user, ANY, user_id=user_id, prefix=f"{user_id} ")


def delete_expired(tx: Tx, *, now: int, idle_since: int) -> int:
    """Forget sessions that nobody can go on with."""
    return tx.run(_sql.delete_expired, ANY, now=now, idle_since=idle_since)
