"""Devices of accounts and their tokens, each kept as its hash; times in milliseconds.

A refresh token is exchanged for an access token and another refresh token. It stays good until one of these is used first;
then it is spent, and so is everything else that was ever got with it. The hash of a token that ends while its device lives on
is kept for a while, so that its client can be told so.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from threepid.clock import HOUR, SKEW
from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("devices")
_LONGEST: Final = HOUR + SKEW
"""How long login and OpenID tokens live at most: one with longer to live is of a clock that was ahead."""

MOST_ENDED: Final = 20
"""Ended tokens of one device that are remembered, at most."""
MOST_ANSWERS: Final = 100
"""Unused answers to one refresh token, at most."""

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


class SealedPair(Struct, frozen=True):
    """The answer to a refresh, sealed under the refresh token that was exchanged; `sealed_for` is a hash of its caller."""

    pair: bytes
    sealed_for: bytes


class Place(Struct, frozen=True):
    """A device of a user."""

    user_id: str
    device_id: str


class _Ended(Struct, frozen=True):
    token_hash: bytes
    user_id: str
    device_id: str
    created_at: int
    spent_at: int | None


class _AccessToken(Struct, frozen=True):
    user_id: str
    device_id: str
    refresh_hash: bytes | None
    first_use_spends: bytes | None


class Tokens(Struct, frozen=True):
    """The tokens of a device: an access token, and where it wanted that a refresh token."""

    access_hash: bytes
    access_expires_at: int | None = None
    refresh_hash: bytes | None = None
    refresh_expires_at: int = 0


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
        delete_tokens(tx, user_id, device_id, now)
    insert_tokens(tx, user_id, device_id, tokens, parent_hash=None, now=now)


def insert_tokens(
    tx: Tx,
    user_id: str,
    device_id: str,
    tokens: Tokens,
    *,
    parent_hash: bytes | None,
    now: int,
    sealed: SealedPair | None = None,
) -> None:
    """Give a device tokens; with `parent_hash`, in exchange for that refresh token, and `sealed` for a repetition."""
    device = {"user_id": user_id, "device_id": device_id, "now": now}
    if parent_hash is not None:
        surplus = tx.rows(_sql.delete_surplus_answers, _Ended, parent_hash=parent_hash, at_most=MOST_ANSWERS - 1)
        for answer in surplus:
            access = tx.rows(_sql.delete_older_access_tokens, _Ended, parent_hash=answer.token_hash)
            _remember(tx, [answer, *access], now)
    if tokens.refresh_hash is not None:
        tx.run(
            _sql.insert_refresh_token,
            **device,
            token_hash=tokens.refresh_hash,
            parent_hash=parent_hash,
            expires_at=tokens.refresh_expires_at,
            sealed_pair=sealed.pair if sealed else None,
            sealed_for=sealed.sealed_for if sealed else None,
        )
    tx.run(
        _sql.insert_access_token,
        **device,
        token_hash=tokens.access_hash,
        expires_at=tokens.access_expires_at,
        refresh_hash=tokens.refresh_hash,
        first_use_spends=parent_hash,
    )


def delete_tokens(tx: Tx, user_id: str, device_id: str, now: int) -> None:
    """End the access and refresh tokens of a device, which the caller holds."""
    place = {"user_id": user_id, "device_id": device_id}
    access = tx.rows(_sql.delete_access_tokens_of_device, _Ended, **place)
    refresh = tx.rows(_sql.delete_refresh_tokens_of_device, _Ended, **place)
    _remember(tx, _in_order([*refresh, *access]), now)


def delete_side_tokens(tx: Tx, user_id: str, device_id: str) -> None:
    """End the login and OpenID tokens that a device got."""
    tx.run(_sql.delete_login_tokens_of_device, ANY, user_id=user_id, device_id=device_id)
    tx.run(_sql.delete_openid_tokens_of_device, ANY, user_id=user_id, device_id=device_id)


def _in_order(ended: Iterable[_Ended]) -> list[_Ended]:
    """Those first that were spent before."""
    return sorted(ended, key=lambda token: (token.spent_at is None, token.created_at))


def _remember(tx: Tx, ended: Iterable[_Ended], now: int) -> None:
    """Keep the hashes of tokens of one device, which the caller holds; the last are the newest."""
    newest = list(ended)[-MOST_ENDED:]
    for token in newest:
        tx.run(
            _sql.insert_ended_token,
            token_hash=token.token_hash,
            user_id=token.user_id,
            device_id=token.device_id,
            now=now,
        )
    if newest:
        place = {"user_id": newest[0].user_id, "device_id": newest[0].device_id}
        tx.run(_sql.delete_surplus_ended_tokens, ANY, **place, at_most=MOST_ENDED)


def has_ended(tx: Tx, token_hash: bytes, since: int) -> bool:
    """Is this an access or refresh token that ended after `since`, and does its device live on?"""
    return tx.value(_sql.has_ended, token_hash=token_hash, since=since) is not None


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


def refresh_token(tx: Tx, token_hash: bytes) -> RefreshToken | None:
    """The refresh token with this hash, spent or expired ones too."""
    return tx.row(_sql.refresh_token, RefreshToken, token_hash=token_hash)


def sealed_pair(tx: Tx, parent_hash: bytes, sealed_for: bytes, *, after: int, before: int) -> bytes | None:
    """What this caller got for a refresh token between these times, sealed, unless that was refreshed in its turn."""
    pair: bytes | None = tx.value(
        _sql.sealed_pair, parent_hash=parent_hash, sealed_for=sealed_for, after=after, before=before
    )
    return pair


def has_sealed_pairs(tx: Tx, *, before: int, after: int) -> bool:
    """Are there sealed pairs that were made before or after these times?"""
    return tx.value(_sql.has_sealed_pairs, before=before, after=after) is not None


def forget_sealed_pairs(tx: Tx, *, before: int, after: int) -> None:
    """Forget the sealed pairs that were made before or after these times."""
    tx.run(_sql.forget_sealed_pairs, ANY, before=before, after=after)


def use_access_token(tx: Tx, token_hash: bytes, now: int) -> bool:
    """Note the first use of an access token that was got by a refresh; False if another answer to that refresh was first."""
    token = tx.row(_sql.access_token, _AccessToken, token_hash=token_hash)
    if token is None or token.refresh_hash is None:
        return False
    if token.first_use_spends is None:
        return True
    # The device before its tokens, as everybody else does: nobody waits for each other.
    if not hold_device(tx, token.user_id, token.device_id):
        return False
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
    siblings = {"parent_hash": parent_hash, "refresh_hash": refresh_hash}
    access = tx.rows(_sql.delete_sibling_access_tokens, _Ended, **siblings)
    refresh = tx.rows(_sql.delete_sibling_refresh_tokens, _Ended, **siblings)
    older = tx.rows(_sql.delete_older_access_tokens, _Ended, parent_hash=parent_hash)
    _remember(tx, [*refresh, *access, *older], now)
    tx.run(_sql.confirm, ANY, refresh_hash=refresh_hash, parent_hash=parent_hash)
    return True


def use_refresh_token(tx: Tx, token_hash: bytes, parent_hash: bytes | None, now: int) -> bool:
    """Note the use of an unspent refresh token; False, and its line ends, if another answer to the same refresh was first."""
    if parent_hash is None or use_refreshed(tx, token_hash, parent_hash, now):
        return True
    if tx.value(_sql.is_unconfirmed, refresh_hash=token_hash) is None:
        return True
    access = tx.rows(_sql.delete_older_access_tokens, _Ended, parent_hash=token_hash)
    refresh = tx.rows(_sql.delete_refresh_token, _Ended, token_hash=token_hash)
    _remember(tx, [*access, *refresh], now)
    return False


def insert_login_token(
    tx: Tx, *, token_hash: bytes, user_id: str, device_id: str, expires_at: int, at_most: int
) -> None:
    """Remember a token that is good for one login. The caller holds account and device; the newest `at_most` stay."""
    place = {"user_id": user_id, "device_id": device_id}
    tx.run(_sql.insert_login_token, **place, token_hash=token_hash, expires_at=expires_at)
    tx.run(_sql.delete_surplus_login_tokens, ANY, user_id=user_id, at_most=at_most)


def take_login_token(tx: Tx, token_hash: bytes, now: int) -> str | None:
    """Use a login token up; whose it was, or None."""
    user_id: str | None = tx.value(_sql.take_login_token, token_hash=token_hash, now=now, latest=now + _LONGEST)
    return user_id


def insert_openid_token(
    tx: Tx, *, token_hash: bytes, user_id: str, device_id: str, expires_at: int, at_most: int
) -> None:
    """Remember an OpenID token. The caller holds account and device; the newest `at_most` stay."""
    place = {"user_id": user_id, "device_id": device_id}
    tx.run(_sql.insert_openid_token, **place, token_hash=token_hash, expires_at=expires_at)
    tx.run(_sql.delete_surplus_openid_tokens, ANY, user_id=user_id, at_most=at_most)


def openid_owner(tx: Tx, token_hash: bytes, now: int) -> Place | None:
    """Whose OpenID token this is and which device got it, if it is one and has not expired."""
    return tx.row(_sql.openid_owner, Place, token_hash=token_hash, now=now, latest=now + _LONGEST)


def end_expired(tx: Tx, now: int, *, ended_before: int, at_most: int) -> int:
    """End the expired access and refresh tokens of some devices, `at_most`; returns of how many.

    `delete_expired` forgets the refresh tokens that were spent before `ended_before`.
    """
    limits = {"now": now, "spent_before": ended_before}
    found = tx.rows(_sql.devices_with_expired_tokens, Place, **limits, at_most=at_most)
    for one in found:
        if hold_device(tx, one.user_id, one.device_id):
            place = {"user_id": one.user_id, "device_id": one.device_id}
            refresh = tx.rows(_sql.delete_expired_refresh_tokens, _Ended, **place, **limits)
            access = tx.rows(_sql.delete_expired_access_tokens, _Ended, **place, now=now)
            _remember(tx, _in_order([*refresh, *access]), now)
    return len(found)


def delete_expired(tx: Tx, now: int, *, ended_before: int) -> int:
    """Forget what nobody can use any more, and tokens that ended before `ended_before`; returns how many.

    No token ended later than `now`: the clock may have been ahead for a while.
    """
    limits = {"now": now, "latest": now + _LONGEST}
    tx.run(_sql.date_ended_tokens, ANY, now=now)
    return (
        tx.run(_sql.delete_expired_openid_tokens, ANY, **limits)
        + tx.run(_sql.delete_expired_login_tokens, ANY, **limits)
        + tx.run(_sql.delete_spent_refresh_tokens, ANY, now=now, spent_before=ended_before)
        + tx.run(_sql.delete_ended_tokens, ANY, before=ended_before)
    )
