"""Devices of accounts and their tokens, each kept as its hash; times in milliseconds.

A refresh token is exchanged for an access token and another refresh token. It stays good until one of these is used first;
then it is spent, and so is everything else that was ever got with it.
"""

from typing import Final

from msgspec import Struct

from threepid.storage.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.queries import Queries

_sql = Queries("devices")

LISTED: Final = 1_000
"""Devices of an account that are listed, at most: an account that was imported may have more."""


class Device(Struct, frozen=True):
    """One device of an account, and when, from which IP address and by what software it was heard of last."""

    device_id: str
    display_name: str | None
    created_at: int
    seen_at: int | None
    seen_from: str | None
    user_agent: str | None


class Requester(Struct, frozen=True):
    """Whose access token it is, and of which device."""

    user_id: str
    device_id: str
    expires_at: int | None = None
    first_use_spends: bytes | None = None


class RefreshToken(Struct, frozen=True):
    """One refresh token; `parent_hash` is that of the one it was got with."""

    user_id: str
    device_id: str
    parent_hash: bytes | None
    expires_at: int
    spent_at: int | None


class _AccessToken(Struct, frozen=True):
    refresh_hash: bytes | None
    first_use_spends: bytes | None


class Tokens(Struct, frozen=True):
    """The tokens of a device: an access token, and where it wanted that a refresh token."""

    access_hash: bytes
    access_expires_at: int | None = None
    refresh_hash: bytes | None = None
    refresh_expires_at: int = 0


def hold_account(tx: Tx, user_id: str) -> bool:
    """Keep others from changing or ending the account until `tx` ends; False if there is none or it has ended."""
    return tx.run(_sql.hold_account, AT_MOST_ONE, user_id=user_id) == 1


def hold_device(tx: Tx, user_id: str, device_id: str) -> bool:
    """Keep others from opening, refreshing or ending the device until `tx` ends; False if there is none."""
    return tx.run(_sql.hold_device, AT_MOST_ONE, user_id=user_id, device_id=device_id) == 1


def open_device(
    tx: Tx,
    *,
    user_id: str,
    device_id: str,
    display_name: str | None,
    seen_from: str,
    network: str | None,
    user_agent: str,
    tokens: Tokens,
    now: int,
    new: bool = False,
) -> None:
    """Log a device in: a `new` one, or one that may be there already, which keeps its name and whose older tokens die.

    `network` is that of `seen_from`, as limits count it; None if nobody is known by it.
    """
    # First, so that of two who log in as one device the second waits, and then ends what the first was given.
    tx.run(
        _sql.open_device,
        user_id=user_id,
        device_id=device_id,
        display_name=display_name,
        now=now,
        seen_from=seen_from,
        network=network,
        user_agent=user_agent,
    )
    if not new:
        delete_tokens(tx, user_id, device_id)
    insert_tokens(tx, user_id, device_id, tokens, parent_hash=None, now=now)


def insert_tokens(tx: Tx, user_id: str, device_id: str, tokens: Tokens, *, parent_hash: bytes | None, now: int) -> None:
    """Give a device tokens; with `parent_hash`, in exchange for that refresh token."""
    device = {"user_id": user_id, "device_id": device_id, "now": now}
    if tokens.refresh_hash is not None:
        tx.run(
            _sql.insert_refresh_token,
            **device,
            token_hash=tokens.refresh_hash,
            parent_hash=parent_hash,
            expires_at=tokens.refresh_expires_at,
        )
    tx.run(
        _sql.insert_access_token,
        **device,
        token_hash=tokens.access_hash,
        expires_at=tokens.access_expires_at,
        refresh_hash=tokens.refresh_hash,
        first_use_spends=parent_hash,
    )


def delete_tokens(tx: Tx, user_id: str, device_id: str) -> None:
    """End what a device holds."""
    tx.run(_sql.delete_access_tokens_of_device, ANY, user_id=user_id, device_id=device_id)
    tx.run(_sql.delete_refresh_tokens_of_device, ANY, user_id=user_id, device_id=device_id)


def seen(
    tx: Tx, user_id: str, device_id: str, *, now: int, seen_from: str, network: str | None, user_agent: str
) -> None:
    """Note when and from where a device was heard of."""
    tx.run(
        _sql.seen,
        AT_MOST_ONE,
        user_id=user_id,
        device_id=device_id,
        now=now,
        seen_from=seen_from,
        network=network,
        user_agent=user_agent,
    )


def knows(tx: Tx, user_id: str, network: str | None) -> bool:
    """Was a device of the account last seen in this network? None is nobody's."""
    return network is not None and bool(tx.value(_sql.network_from, user_id=user_id, network=network) == network)


def count(tx: Tx, user_id: str, *, most: int) -> int:
    """How many devices the account has: `most`, if there are more."""
    return int(tx.value(_sql.count_devices, user_id=user_id, most=most))


def delete(tx: Tx, user_id: str, device_id: str) -> None:
    """Log one device out."""
    tx.run(_sql.delete_device, AT_MOST_ONE, user_id=user_id, device_id=device_id)


def delete_all(tx: Tx, user_id: str, *, but: str | None = None) -> None:
    """Log all devices of an account out, but one if it is given, and end its other short-lived tokens."""
    if but is None:
        tx.run(_sql.delete_devices, ANY, user_id=user_id)
    else:
        tx.run(_sql.delete_other_devices, ANY, user_id=user_id, device_id=but)
    tx.run(_sql.delete_openid_tokens, ANY, user_id=user_id)
    tx.run(_sql.delete_login_tokens, ANY, user_id=user_id)


def of_user(tx: Tx, user_id: str, *, most: int = LISTED) -> list[Device]:
    """The devices of an account, oldest first: not more than `most`."""
    return tx.rows(_sql.devices, Device, user_id=user_id, most=most)


def get(tx: Tx, user_id: str, device_id: str) -> Device | None:
    """One device of an account."""
    return tx.row(_sql.device, Device, user_id=user_id, device_id=device_id)


def rename(tx: Tx, user_id: str, device_id: str, display_name: str | None) -> bool:
    """Give a device another name; False if the account has no such device."""
    return tx.run(_sql.rename_device, AT_MOST_ONE, user_id=user_id, device_id=device_id, display_name=display_name) == 1


def requester(tx: Tx, token_hash: bytes) -> Requester | None:
    """Whose access token this is, be it expired."""
    return tx.row(_sql.requester, Requester, token_hash=token_hash)


def can_refresh(tx: Tx, token_hash: bytes, now: int) -> bool:
    """Did a refresh token come with this access token that has not expired?"""
    return tx.value(_sql.can_refresh, token_hash=token_hash, now=now) is not None


def refresh_token(tx: Tx, token_hash: bytes) -> RefreshToken | None:
    """The refresh token with this hash, spent or expired ones too."""
    return tx.row(_sql.refresh_token, RefreshToken, token_hash=token_hash)


def use_access_token(tx: Tx, token_hash: bytes, now: int) -> bool:
    """Note the first use of an access token that was got by a refresh; False if another answer to that refresh was first."""
    token = tx.row(_sql.access_token, _AccessToken, token_hash=token_hash)
    if token is None or token.refresh_hash is None:
        return False
    if token.first_use_spends is None:
        return True
    if use_refreshed(tx, token.refresh_hash, token.first_use_spends, now):
        return True
    # Of several first uses at one moment one spends the parent; the others wait for it and look again.
    again = tx.row(_sql.access_token, _AccessToken, token_hash=token_hash)
    return again is not None and again.first_use_spends is None


def use_refreshed(tx: Tx, refresh_hash: bytes, parent_hash: bytes, now: int) -> bool:
    """What came with `refresh_hash` is used first: spend its parent, and end all else that was ever got with that.

    False if the parent was spent before; then nothing is changed.
    """
    if tx.run(_sql.spend, AT_MOST_ONE, token_hash=parent_hash, now=now) == 0:
        return False
    tx.run(_sql.delete_older_access_tokens, ANY, parent_hash=parent_hash)
    tx.run(_sql.delete_sibling_access_tokens, ANY, parent_hash=parent_hash, refresh_hash=refresh_hash)
    tx.run(_sql.delete_sibling_refresh_tokens, ANY, parent_hash=parent_hash, refresh_hash=refresh_hash)
    tx.run(_sql.confirm, ANY, refresh_hash=refresh_hash, parent_hash=parent_hash)
    return True


def use_refresh_token(tx: Tx, token_hash: bytes, parent_hash: bytes | None, now: int) -> bool:
    """Note the use of an unspent refresh token; False, and its line ends, if another answer to the same refresh was first."""
    if parent_hash is None or use_refreshed(tx, token_hash, parent_hash, now):
        return True
    if tx.value(_sql.is_unconfirmed, refresh_hash=token_hash) is None:
        return True
    tx.run(_sql.delete_older_access_tokens, ANY, parent_hash=token_hash)
    tx.run(_sql.delete_refresh_token, AT_MOST_ONE, token_hash=token_hash)
    return False


def insert_login_token(tx: Tx, *, token_hash: bytes, user_id: str, expires_at: int) -> None:
    """Remember a token that is good for one login."""
    tx.run(_sql.insert_login_token, token_hash=token_hash, user_id=user_id, expires_at=expires_at)


def take_login_token(tx: Tx, token_hash: bytes, now: int) -> str | None:
    """Use a login token up; whose it was, or None."""
    user_id: str | None = tx.value(_sql.take_login_token, token_hash=token_hash, now=now)
    return user_id


def insert_openid_token(tx: Tx, *, token_hash: bytes, user_id: str, expires_at: int) -> None:
    """Remember an OpenID token."""
    tx.run(_sql.insert_openid_token, token_hash=token_hash, user_id=user_id, expires_at=expires_at)


def openid_user(tx: Tx, token_hash: bytes, now: int) -> str | None:
    """Whose OpenID token this is, if it is one and has not expired."""
    user_id: str | None = tx.value(_sql.openid_user, token_hash=token_hash, now=now)
    return user_id


def delete_expired(tx: Tx, now: int) -> int:
    """Forget tokens that nobody can use any more."""
    return sum(
        tx.run(query, ANY, now=now)
        for query in (
            _sql.delete_expired_openid_tokens,
            _sql.delete_expired_login_tokens,
            _sql.delete_expired_refresh_tokens,
            _sql.delete_expired_access_tokens,
        )
    )
