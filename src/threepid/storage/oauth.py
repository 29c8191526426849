"""Apps of the OAuth 2.0 API, their sessions, authorization codes and waiting devices; times in milliseconds."""

from typing import Final

from msgspec import Struct

from threepid.clock import HOUR, SKEW
from threepid.storage.engine.database import ANY, AT_MOST_ONE, ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("oauth")
_LONGEST: Final = HOUR + SKEW
"""Maximum lifetime of codes. A clock that was ahead issued one with a longer life."""


class Client(Struct, frozen=True):
    """A registered app; `metadata` is canonical JSON."""

    client_id: str
    metadata: str
    created_at: int
    used_at: int


class Session(Struct, frozen=True):
    """What binds a device to an app; `admin_at` is when the device's account became an administrator's."""

    client_id: str
    scope: str
    grant_hash: bytes
    created_at: int
    admin_at: int | None


class App(Struct, frozen=True):
    """A device of an app, the app's metadata, what the owner allowed it, and when, in milliseconds."""

    device_id: str
    client_id: str
    metadata: str
    scope: str
    created_at: int


class Code(Struct, frozen=True):
    """An authorization code."""

    client_id: str
    user_id: str
    redirect_uri: str
    challenge: str
    scope: str
    expires_at: int
    used_at: int | None


class WaitingDevice(Struct, frozen=True):
    """A device that waits for its owner's decision."""

    device_hash: bytes
    client_id: str
    scope: str
    origin: str
    expires_at: int


class DeviceGrant(Struct, frozen=True):
    """What a device waits for, and the decision."""

    client_id: str
    scope: str
    expires_at: int
    poll_interval: int
    polled_at: int | None
    user_id: str | None
    allowed_at: int | None
    denied_at: int | None
    opened_at: int | None


def insert_client(tx: Tx, *, client_id: str, metadata: str, now: int) -> bool:
    """Register an app; False if it is registered already."""
    return tx.run(_sql.insert_client, AT_MOST_ONE, client_id=client_id, metadata=metadata, now=now) == 1


def client(tx: Tx, client_id: str) -> Client | None:
    """The app with this ID."""
    return tx.row(_sql.client, Client, client_id=client_id)


def use_client(tx: Tx, client_id: str, now: int) -> bool:
    """Note that an app was used, so that it is not deleted before `tx` ends; False if there is no such app."""
    return tx.run(_sql.use_client, AT_MOST_ONE, client_id=client_id, now=now) == 1


def use_clients_with_sessions(tx: Tx, now: int, *, used_before: int, at_most: int) -> None:
    """Note that apps with sessions are used, unless that was noted after `used_before`."""
    tx.run(_sql.use_clients_with_sessions, ANY, now=now, used_before=used_before, at_most=at_most)


def delete_unused_clients(tx: Tx, *, used_before: int, latest: int, at_most: int) -> int:
    """Delete apps that have no session and that nobody used lately; returns how many."""
    return tx.run(_sql.delete_unused_clients, ANY, used_before=used_before, latest=latest, at_most=at_most)


def open_session(
    tx: Tx, *, user_id: str, device_id: str, client_id: str, scope: str, grant_hash: bytes, now: int
) -> None:
    """Bind a device to an app. The caller holds the device's row lock."""
    tx.run(
        _sql.open_session,
        ONE,
        user_id=user_id,
        device_id=device_id,
        client_id=client_id,
        scope=scope,
        grant_hash=grant_hash,
        now=now,
    )


def session(tx: Tx, user_id: str, device_id: str) -> Session | None:
    """The session of a device; None if the device logged in by the old login."""
    return tx.row(_sql.session, Session, user_id=user_id, device_id=device_id)


def device_of_grant(tx: Tx, user_id: str, grant_hash: bytes) -> str | None:
    """The device of the session that a code opened, or None if the session is over."""
    device_id: str | None = tx.value(_sql.session_of_grant, user_id=user_id, grant_hash=grant_hash)
    return device_id


def apps_of(tx: Tx, user_id: str) -> list[App]:
    """The devices of an account that are bound to an app."""
    return tx.rows(_sql.apps_of, App, user_id=user_id)


def insert_code(tx: Tx, *, code_hash: bytes, session_id: str, code: Code) -> None:
    """Store an authorization code that the browser session `session_id` allowed."""
    tx.run(
        _sql.insert_code,
        ONE,
        code_hash=code_hash,
        session_id=session_id,
        client_id=code.client_id,
        user_id=code.user_id,
        redirect_uri=code.redirect_uri,
        challenge=code.challenge,
        scope=code.scope,
        expires_at=code.expires_at,
    )


def code(tx: Tx, code_hash: bytes) -> Code | None:
    """The authorization code with this hash, even a used or expired one."""
    return tx.row(_sql.code, Code, code_hash=code_hash)


def use_code(tx: Tx, code_hash: bytes, now: int) -> bool:
    """Use an authorization code; False if it was used before."""
    return tx.run(_sql.use_code, AT_MOST_ONE, code_hash=code_hash, now=now) == 1


def release_code(tx: Tx, code_hash: bytes) -> None:
    """Let an authorization code be used again, because its use failed."""
    tx.run(_sql.release_code, AT_MOST_ONE, code_hash=code_hash)


def delete_expired_codes(tx: Tx, now: int, *, expired_before: int, at_most: int) -> int:
    """Delete codes that expired before this time; returns how many."""
    return tx.run(_sql.delete_expired_codes, ANY, expired_before=expired_before, latest=now + _LONGEST, at_most=at_most)


def insert_device_grant(
    tx: Tx,
    *,
    device_hash: bytes,
    user_code_hash: bytes,
    client_id: str,
    scope: str,
    origin: str,
    now: int,
    expires_at: int,
    poll_interval: int,
) -> bool:
    """Store a device that waits for its owner; False if the user code is taken."""
    return (
        tx.run(
            _sql.insert_device_grant,
            AT_MOST_ONE,
            device_hash=device_hash,
            user_code_hash=user_code_hash,
            client_id=client_id,
            scope=scope,
            origin=origin,
            now=now,
            expires_at=expires_at,
            poll_interval=poll_interval,
        )
        == 1
    )


def waiting_device(tx: Tx, user_code_hash: bytes, now: int) -> WaitingDevice | None:
    """The device that waits for the decision about a user code."""
    return tx.row(_sql.waiting_device, WaitingDevice, user_code_hash=user_code_hash, now=now, latest=now + _LONGEST)


def decide(tx: Tx, user_code_hash: bytes, *, user_id: str, allowed: bool, now: int) -> bool:
    """Record the decision about a waiting device; False if it does not wait any more."""
    allowed_at, denied_at = (now, None) if allowed else (None, now)
    return (
        tx.run(
            _sql.decide,
            AT_MOST_ONE,
            user_code_hash=user_code_hash,
            user_id=user_id,
            allowed_at=allowed_at,
            denied_at=denied_at,
            now=now,
        )
        == 1
    )


def device_grant(tx: Tx, device_hash: bytes) -> DeviceGrant | None:
    """What a device waits for, as it stood before `poll`."""
    return tx.row(_sql.device_grant, DeviceGrant, device_hash=device_hash)


def poll(tx: Tx, device_hash: bytes, now: int) -> bool:
    """Note that a device asked, and lock its request until `tx` ends; False if there is none."""
    return tx.run(_sql.poll, AT_MOST_ONE, device_hash=device_hash, now=now) == 1


def slow_down(tx: Tx, device_hash: bytes, poll_interval: int) -> None:
    """Set the time, in milliseconds, that a device must wait between two questions."""
    tx.run(_sql.slow_down, ONE, device_hash=device_hash, poll_interval=poll_interval)


def open_device_grant(tx: Tx, device_hash: bytes, opened_at: int | None) -> bool:
    """Note when the session of a device was opened, or with None that it was not; False if the request is gone."""
    return tx.run(_sql.open_device_grant, AT_MOST_ONE, device_hash=device_hash, opened_at=opened_at) == 1


def delete_device_grant(tx: Tx, device_hash: bytes) -> bool:
    """Delete a device's request; False if it is gone already."""
    return tx.run(_sql.delete_device_grant, AT_MOST_ONE, device_hash=device_hash) == 1


def delete_expired_device_grants(tx: Tx, now: int, *, expired_before: int, at_most: int) -> int:
    """Delete requests of devices that expired before this time; returns how many."""
    return tx.run(
        _sql.delete_expired_device_grants, ANY, expired_before=expired_before, latest=now + _LONGEST, at_most=at_most
    )
