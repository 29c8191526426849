"""Data of the identity server: associations, access tokens and short-lived keys."""

from msgspec import Struct

from threepid.storage import peppers
from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries
from threepid.storage.peppers import Hashed

_sql = Queries("associations")


class Association(Struct, frozen=True):
    """A bound address and its user ID; times in milliseconds."""

    medium: str
    canonical: str
    mxid: str
    bound_at: int
    not_before: int
    not_after: int


class Address(Struct, frozen=True):
    """The address of an association."""

    medium: str
    canonical: str


def bind(tx: Tx, association: Association) -> None:
    """Store an association, which lookups find from now on."""
    held = peppers.hold(tx)
    tx.run(
        _sql.bind,
        medium=association.medium,
        canonical=association.canonical,
        mxid=association.mxid,
        bound_at=association.bound_at,
        not_before=association.not_before,
        not_after=association.not_after,
    )
    address = Hashed(association.medium, association.canonical, association.mxid, association.not_after)
    peppers.write_hashes(tx, held, address)


def unbind(tx: Tx, medium: str, canonical: str, mxid: str) -> bool:
    """Delete the association of an address with `mxid`; False if there is none."""
    held = peppers.hold(tx)
    if not tx.run(_sql.unbind, AT_MOST_ONE, medium=medium, canonical=canonical, mxid=mxid):
        return False
    peppers.erase_hashes(tx, held, medium, canonical)
    return True


def of_user(tx: Tx, mxid: str) -> list[Association]:
    """The associations of a user ID, even expired ones, oldest first."""
    return tx.rows(_sql.of_user, Association, mxid=mxid)


def unbind_all(tx: Tx, mxid: str) -> list[Address]:
    """Delete all associations with `mxid` and return their addresses."""
    held = peppers.hold(tx)
    unbound = tx.rows(_sql.unbind_all, Address, mxid=mxid)
    for address in unbound:
        peppers.erase_hashes(tx, held, address.medium, address.canonical)
    return unbound


def count(tx: Tx) -> int:
    """Number of associations."""
    return int(tx.value(_sql.count))


def get(tx: Tx, medium: str, canonical: str, now: int) -> Association | None:
    """The association of an address that is in force, or None."""
    return tx.row(_sql.get, Association, medium=medium, canonical=canonical, now=now)


def insert_token(
    tx: Tx,
    *,
    token_hash: bytes,
    user_id: str,
    device_id: str | None,
    now: int,
    expires_at: int | None,
    at_most: int,
) -> None:
    """Store an access token of the identity server; the user's newest `at_most` tokens stay.

    `device_id` is the device of our own homeserver that got the token, which the caller has locked, or None.
    """
    tx.value(_sql.hold_user, user_id=user_id)
    tx.run(
        _sql.insert_token,
        token_hash=token_hash,
        user_id=user_id,
        device_id=device_id,
        created_at=now,
        expires_at=expires_at,
    )
    tx.run(_sql.delete_surplus_tokens, ANY, user_id=user_id, at_most=at_most)


def token_user(tx: Tx, token_hash: bytes, now: int) -> str | None:
    """The user ID of an identity token, or None if it is unknown or expired."""
    user_id: str | None = tx.value(_sql.token_user, token_hash=token_hash, now=now)
    return user_id


def delete_token(tx: Tx, token_hash: bytes) -> None:
    """Revoke one identity token."""
    tx.run(_sql.delete_token, AT_MOST_ONE, token_hash=token_hash)


def delete_tokens(tx: Tx, user_id: str) -> None:
    """Revoke all identity tokens of a user."""
    tx.run(_sql.delete_tokens, ANY, user_id=user_id)


def delete_tokens_of_device(tx: Tx, user_id: str, device_id: str) -> None:
    """Revoke the identity tokens of a device of our own homeserver."""
    tx.run(_sql.delete_tokens_of_device, ANY, user_id=user_id, device_id=device_id)


def delete_tokens_without_device(tx: Tx, user_id: str) -> None:
    """Revoke a user's identity tokens whose device is unknown, because a homeserver beside us issued the OpenID token.

    Any of them may be that of a device that signs out. Clients replace rejected ones by themselves.
    """
    tx.run(_sql.delete_tokens_without_device, ANY, user_id=user_id)


def delete_expired_tokens(tx: Tx, now: int) -> int:
    """Delete the expired identity tokens; returns how many."""
    return tx.run(_sql.delete_expired_tokens, ANY, now=now)


def ephemeral_key_expiry(tx: Tx, public_key: str) -> int | None:
    """When a short-lived key expires, or None if it is not ours."""
    expires_at: int | None = tx.value(_sql.ephemeral_key_expiry, public_key=public_key)
    return expires_at


def insert_ephemeral_key(tx: Tx, public_key: str, *, now: int, expires_at: int) -> None:
    """Store the public half of a short-lived key."""
    tx.run(_sql.insert_ephemeral_key, public_key=public_key, created_at=now, expires_at=expires_at)
