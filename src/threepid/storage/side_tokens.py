"""Login and OpenID tokens, which devices get beside their own: hashes; times in milliseconds."""

from typing import Final

from msgspec import Struct

from threepid.clock import HOUR, SKEW
from threepid.storage.engine.database import ANY, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("side_tokens")
_LONGEST: Final = HOUR + SKEW
"""Maximum lifetime of a token. A clock that was ahead issued a token with a longer one."""


class Owner(Struct, frozen=True):
    """The user and device of an OpenID token."""

    user_id: str
    device_id: str


def insert_login_token(
    tx: Tx,
    *,
    token_hash: bytes,
    user_id: str,
    device_id: str | None = None,
    session_id: str | None = None,
    expires_at: int,
    at_most: int,
) -> None:
    """Store a token for one login, which goes with its device or its browser session.

    The caller has locked the account and that one of the two; the user's newest `at_most` tokens stay.
    """
    place = {"user_id": user_id, "device_id": device_id, "session_id": session_id}
    tx.run(_sql.insert_login_token, **place, token_hash=token_hash, expires_at=expires_at)
    tx.run(_sql.delete_surplus_login_tokens, ANY, user_id=user_id, at_most=at_most)


def take_login_token(tx: Tx, token_hash: bytes, now: int) -> str | None:
    """Use up a login token and return its user ID, or None if it is unknown or expired."""
    user_id: str | None = tx.value(_sql.take_login_token, token_hash=token_hash, now=now, latest=now + _LONGEST)
    return user_id


def insert_openid_token(
    tx: Tx, *, token_hash: bytes, user_id: str, device_id: str, expires_at: int, at_most: int
) -> None:
    """Store an OpenID token. The caller has locked account and device; the user's newest `at_most` tokens stay."""
    place = {"user_id": user_id, "device_id": device_id}
    tx.run(_sql.insert_openid_token, **place, token_hash=token_hash, expires_at=expires_at)
    tx.run(_sql.delete_surplus_openid_tokens, ANY, user_id=user_id, at_most=at_most)


def openid_owner(tx: Tx, token_hash: bytes, now: int) -> Owner | None:
    """The user and device of an OpenID token, or None if it is unknown or expired."""
    return tx.row(_sql.openid_owner, Owner, token_hash=token_hash, now=now, latest=now + _LONGEST)


def delete_of_device(tx: Tx, user_id: str, device_id: str) -> None:
    """Revoke the login and OpenID tokens of a device."""
    tx.run(_sql.delete_login_tokens_of_device, ANY, user_id=user_id, device_id=device_id)
    tx.run(_sql.delete_openid_tokens_of_device, ANY, user_id=user_id, device_id=device_id)


def delete_of_user(tx: Tx, user_id: str) -> None:
    """Revoke the login and OpenID tokens of all devices of an account."""
    tx.run(_sql.delete_openid_tokens, ANY, user_id=user_id)
    tx.run(_sql.delete_login_tokens, ANY, user_id=user_id)


def delete_expired(tx: Tx, now: int, *, at_most: int) -> int:
    """Delete up to `at_most` expired OpenID tokens and as many login tokens; returns how many."""
    limits = {"now": now, "latest": now + _LONGEST, "at_most": at_most}
    return tx.run(_sql.delete_expired_openid_tokens, ANY, **limits) + tx.run(
        _sql.delete_expired_login_tokens, ANY, **limits
    )
