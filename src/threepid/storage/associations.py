"""What the identity server knows: associations and their hashes, peppers, access tokens, short-lived keys."""

from collections.abc import Iterable

from msgspec import Struct

from threepid.storage.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.queries import Queries

_sql = Queries("associations")


class Association(Struct, frozen=True):
    """A published address; times in milliseconds."""

    medium: str
    canonical: str
    mxid: str
    bound_at: int
    not_before: int
    not_after: int


def bind(tx: Tx, association: Association, *, pepper: str, hash_: str) -> None:
    """Publish an association, and its hash under the current pepper."""
    address = {"medium": association.medium, "canonical": association.canonical}
    tx.run(
        _sql.bind,
        **address,
        mxid=association.mxid,
        bound_at=association.bound_at,
        not_before=association.not_before,
        not_after=association.not_after,
    )
    tx.run(_sql.insert_hash, AT_MOST_ONE, **address, pepper=pepper, hash=hash_)


def unbind(tx: Tx, medium: str, canonical: str, mxid: str) -> bool:
    """Withdraw the association of an address with `mxid`; False if there is none."""
    return tx.run(_sql.unbind, AT_MOST_ONE, medium=medium, canonical=canonical, mxid=mxid) == 1


def unbind_all(tx: Tx, mxid: str) -> None:
    """Withdraw all associations with `mxid`."""
    tx.run(_sql.unbind_all, ANY, mxid=mxid)


def get(tx: Tx, medium: str, canonical: str, now: int) -> Association | None:
    """The association of an address, if one is in force."""
    return tx.row(_sql.get, Association, medium=medium, canonical=canonical, now=now)


def by_hashes(tx: Tx, pepper: str, hashes: Iterable[str], now: int) -> dict[str, str]:
    """The users whose addresses have these hashes: hash → user ID."""
    found = {}
    for hash_ in hashes:
        mxid = tx.value(_sql.by_hash, pepper=pepper, hash=hash_, now=now)
        if mxid is not None:
            found[hash_] = mxid
    return found


def insert_pepper(tx: Tx, pepper: str, now: int) -> None:
    """Make `pepper` the current one if there is none yet."""
    tx.run(_sql.insert_pepper, AT_MOST_ONE, pepper=pepper, created_at=now)


def current_pepper(tx: Tx) -> str | None:
    """The pepper that clients are told."""
    pepper: str | None = tx.value(_sql.current_pepper)
    return pepper


def insert_token(tx: Tx, *, token_hash: bytes, user_id: str, now: int, expires_at: int | None) -> None:
    """Remember an access token of the identity server."""
    tx.run(_sql.insert_token, token_hash=token_hash, user_id=user_id, created_at=now, expires_at=expires_at)


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


def ephemeral_key_expiry(tx: Tx, public_key: str) -> int | None:
    """Until when a short-lived key is good, or None if it is not ours."""
    expires_at: int | None = tx.value(_sql.ephemeral_key_expiry, public_key=public_key)
    return expires_at


def insert_ephemeral_key(tx: Tx, public_key: str, *, now: int, expires_at: int) -> None:
    """Remember the public half of a short-lived key."""
    tx.run(_sql.insert_ephemeral_key, public_key=public_key, created_at=now, expires_at=expires_at)
