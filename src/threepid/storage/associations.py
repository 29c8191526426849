"""What the identity server knows: associations, access tokens, short-lived keys."""

from msgspec import Struct

from threepid.storage import peppers
from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries
from threepid.storage.peppers import Hashed

_sql = Queries("associations")


class Association(Struct, frozen=True):
    """A published address; times in milliseconds."""

    medium: str
    canonical: str
    mxid: str
    bound_at: int
    not_before: int
    not_after: int


class Address(Struct, frozen=True):
    """An address that was published."""

    medium: str
    canonical: str


def bind(tx: Tx, association: Association) -> None:
    """Publish an association; lookups find it from now on."""
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
    """Withdraw the association of an address with `mxid`; False if there is none."""
    held = peppers.hold(tx)
    if not tx.run(_sql.unbind, AT_MOST_ONE, medium=medium, canonical=canonical, mxid=mxid):
        return False
    peppers.erase_hashes(tx, held, medium, canonical)
    return True


def unbind_all(tx: Tx, mxid: str) -> list[Address]:
    """Withdraw all associations with `mxid`; returns their addresses."""
    held = peppers.hold(tx)
    withdrawn = tx.rows(_sql.unbind_all, Address, mxid=mxid)
    for address in withdrawn:
        peppers.erase_hashes(tx, held, address.medium, address.canonical)
    return withdrawn


def count(tx: Tx) -> int:
    """How many addresses are published."""
    return int(tx.value(_sql.count))


def get(tx: Tx, medium: str, canonical: str, now: int) -> Association | None:
    """The association of an address, if one is in force."""
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
    """Remember an access token of the identity server; a user keeps the newest `at_most`.

    `device_id` is the device of our own homeserver that got it, which the caller holds, or None.
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
    """Whose identity token this is, if it is one and has not expired."""
    user_id: str | None = tx.value(_sql.token_user, token_hash=token_hash, now=now)
    return user_id


def delete_token(tx: Tx, token_hash: bytes) -> None:
    """Log one identity token out."""
    tx.run(_sql.delete_token, AT_MOST_ONE, token_hash=token_hash)


def delete_tokens(tx: Tx, user_id: str) -> None:
    """Log all identity tokens of a user out."""
    tx.run(_sql.delete_tokens, ANY, user_id=user_id)


def delete_tokens_of_device(tx: Tx, user_id: str, device_id: str) -> None:
    """Log the identity tokens out that a device of our own homeserver got."""
    tx.run(_sql.delete_tokens_of_device, ANY, user_id=user_id, device_id=device_id)


def delete_expired_tokens(tx: Tx, now: int) -> int:
    """Forget the identity tokens that have expired; returns how many."""
    return tx.run(_sql.delete_expired_tokens, ANY, now=now)


def ephemeral_key_expiry(tx: Tx, public_key: str) -> int | None:
    """Until when a short-lived key is good, or None if it is not ours."""
    expires_at: int | None = tx.value(_sql.ephemeral_key_expiry, public_key=public_key)
    return expires_at


def insert_ephemeral_key(tx: Tx, public_key: str, *, now: int, expires_at: int) -> None:
    """Remember the public half of a short-lived key."""
    tx.run(_sql.insert_ephemeral_key, public_key=public_key, created_at=now, expires_at=expires_at)
