"""Access and refresh tokens of devices: hashes; times in milliseconds.

A refresh token is exchanged for a pair: an access token and another refresh token. It stays valid until the first use of the
pair, which spends it and revokes every other token that was issued with it or for it. The hash of a token that ends (is revoked
or expires) before its device is kept for a while, so that the server can answer its client with `soft_logout`.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from threepid.storage import devices, side_tokens
from threepid.storage.devices import Place, hold_device
from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("device_tokens")

MOST_ENDED: Final = 20
"""Maximum number of ended tokens that are kept of a device."""
MOST_ANSWERS: Final = 100
"""Maximum number of unused pairs for one refresh token."""


class Requester(Struct, frozen=True):
    """The user and device of an access token, when an operator locked the account, and the app that has the device."""

    user_id: str
    device_id: str
    expires_at: int | None = None
    first_use_spends: bytes | None = None
    locked_at: int | None = None
    client_id: str | None = None
    """The app of the OAuth 2.0 API that has the device; None for a device of the old login."""
    contacts: str | None = None
    """The contacts of the account, for `threepids.decode`, if they were asked for."""


class Introspected(Requester, frozen=True):
    """The requester of an access token, and what else binds its device to an app."""

    scope: str | None = None
    """None for a device of the old login."""
    admin_at: int | None = None
    """When the account became an administrator's."""


class RefreshToken(Struct, frozen=True):
    """A refresh token; `parent_hash` is the hash of the refresh token that it was issued for."""

    user_id: str
    device_id: str
    parent_hash: bytes | None
    expires_at: int
    spent_at: int | None


class HeldRefreshToken(Struct, frozen=True):
    """A refresh token, with its account, the app that has its device, and what was issued for it."""

    user_id: str
    device_id: str
    parent_hash: bytes | None
    expires_at: int
    spent_at: int | None
    locked_at: int | None
    admin_at: int | None
    client_id: str | None
    scope: str | None
    is_settled: bool
    """Was a token of its pair used before? Then `use_refresh_token` would change nothing."""
    answers: int
    """Number of unused pairs that were issued for it."""
    sealed_pair: bytes | None
    """The pair that this caller got for it lately, unless that was refreshed itself."""


class SealedPair(Struct, frozen=True):
    """The pair of a refresh, sealed under the refresh token that was exchanged; `sealed_for` is a hash of its caller."""

    pair: bytes
    sealed_for: bytes


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
    """The hashes of a device's tokens: an access token and, if the client asked for it, a refresh token."""

    access_hash: bytes
    access_expires_at: int | None = None
    refresh_hash: bytes | None = None
    refresh_expires_at: int = 0


def hold_device_of_refresh_token(tx: Tx, token_hash: bytes) -> None:
    """Lock the row of the device that has a refresh token, if there is one, until `tx` ends."""
    # Goes out with the next statement, which PostgreSQL begins when it has the lock.
    tx.run_unseen(_sql.hold_device_of_refresh_token, token_hash=token_hash)


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
    """Log a device in. A device that may exist already (not `new`) keeps its name, and its older tokens are revoked.

    `network` is that of `seen_from`, as limits count it; None for a caller without an IP address.
    """
    # First, so that of two logins of one device the second waits for the row lock and then revokes the tokens of the first.
    devices.upsert(
        tx,
        user_id=user_id,
        device_id=device_id,
        display_name=display_name,
        seen_from=seen_from,
        network=network,
        user_agent=user_agent,
        now=now,
    )
    if not new:
        delete_tokens(tx, user_id, device_id, now)
        devices.end_oauth_session(tx, user_id, device_id)
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
    answers: int = MOST_ANSWERS,
) -> None:
    """Store tokens of a device: with `parent_hash`, in exchange for that refresh token; `sealed` answers a repeated refresh.

    `answers` is the number of unused pairs that there are for `parent_hash`: the oldest are revoked if it is `MOST_ANSWERS`.
    """
    device = {"user_id": user_id, "device_id": device_id, "now": now}
    if parent_hash is not None and answers >= MOST_ANSWERS:
        surplus = tx.rows(_sql.delete_surplus_answers, _Ended, parent_hash=parent_hash, at_most=MOST_ANSWERS - 1)
        for answer in surplus:
            access = tx.rows(_sql.delete_older_access_tokens, _Ended, parent_hash=answer.token_hash)
            _remember(tx, [answer, *access], now)
    if tokens.refresh_hash is not None:
        tx.insert(
            _sql.insert_refresh_token,
            **device,
            token_hash=tokens.refresh_hash,
            parent_hash=parent_hash,
            expires_at=tokens.refresh_expires_at,
            sealed_pair=sealed.pair if sealed else None,
            sealed_for=sealed.sealed_for if sealed else None,
        )
    tx.insert(
        _sql.insert_access_token,
        **device,
        token_hash=tokens.access_hash,
        expires_at=tokens.access_expires_at,
        refresh_hash=tokens.refresh_hash,
        first_use_spends=parent_hash,
    )


def delete_tokens(tx: Tx, user_id: str, device_id: str, now: int) -> None:
    """Revoke the access and refresh tokens of a device, whose row lock the caller holds."""
    place = {"user_id": user_id, "device_id": device_id}
    access = tx.rows(_sql.delete_access_tokens_of_device, _Ended, **place)
    refresh = tx.rows(_sql.delete_refresh_tokens_of_device, _Ended, **place)
    _remember(tx, _in_order([*refresh, *access]), now)


def _in_order(ended: Iterable[_Ended]) -> list[_Ended]:
    """The spent tokens first, each group oldest first."""
    return sorted(ended, key=lambda token: (token.spent_at is None, token.created_at))


def _remember(tx: Tx, ended: Iterable[_Ended], now: int) -> None:
    """Keep the hashes of ended tokens of one device, the newest last. The caller holds the device's row lock."""
    newest = list(ended)[-MOST_ENDED:]
    for token in newest:
        tx.insert(
            _sql.insert_ended_token,
            token_hash=token.token_hash,
            user_id=token.user_id,
            device_id=token.device_id,
            now=now,
        )
    if newest:
        place = {"user_id": newest[0].user_id, "device_id": newest[0].device_id}
        tx.run_unseen(_sql.delete_surplus_ended_tokens, **place, at_most=MOST_ENDED)


def has_ended(tx: Tx, token_hash: bytes, since: int) -> bool:
    """Is this an access or refresh token that ended after `since` and whose device still exists?"""
    return tx.value(_sql.has_ended, token_hash=token_hash, since=since) is not None


def requester(tx: Tx, token_hash: bytes, *, with_contacts: bool = False) -> Requester | None:
    """The user and device of an access token, even of an expired one. With the account's contacts if they are wanted."""
    query = _sql.requester_with_contacts if with_contacts else _sql.requester
    return tx.row(query, Requester, token_hash=token_hash)


def introspected(tx: Tx, token_hash: bytes) -> Introspected | None:
    """The user, device and session of an access token, even of an expired one."""
    return tx.row(_sql.introspected, Introspected, token_hash=token_hash)


def is_refreshed(tx: Tx, token_hash: bytes) -> bool:
    """Was the access token issued with a refresh token?"""
    token = tx.row(_sql.access_token, _AccessToken, token_hash=token_hash)
    return token is not None and token.refresh_hash is not None


def refresh_token(tx: Tx, token_hash: bytes) -> RefreshToken | None:
    """The refresh token with this hash, even a spent or expired one."""
    return tx.row(_sql.refresh_token, RefreshToken, token_hash=token_hash)


def held_refresh_token(
    tx: Tx, token_hash: bytes, sealed_for: bytes, *, after: int, before: int
) -> HeldRefreshToken | None:
    """The refresh token with this hash, whose device `tx` has locked, and its sealed pair that was made between these times."""
    return tx.row(
        _sql.held_refresh_token,
        HeldRefreshToken,
        token_hash=token_hash,
        sealed_for=sealed_for,
        after=after,
        before=before,
    )


def has_sealed_pairs(tx: Tx, *, before: int, after: int) -> bool:
    """Are there sealed pairs that were made before or after these times?"""
    return tx.value(_sql.has_sealed_pairs, before=before, after=after) is not None


def forget_sealed_pairs(tx: Tx, *, before: int, after: int) -> None:
    """Erase the sealed pairs that were made before or after these times."""
    tx.run(_sql.forget_sealed_pairs, ANY, before=before, after=after)


def use_access_token(tx: Tx, token_hash: bytes, now: int) -> bool:
    """Record the first use of an access token from a refresh; False if another pair of that refresh was used first."""
    token = tx.row(_sql.access_token, _AccessToken, token_hash=token_hash)
    if token is None or token.refresh_hash is None:
        return False
    if token.first_use_spends is None:
        return True
    # All transactions lock the device before its tokens, so that they do not deadlock.
    if not hold_device(tx, token.user_id, token.device_id):
        return False
    if use_refreshed(tx, token.refresh_hash, token.first_use_spends, now):
        return True
    # Of several first uses at the same time one spends the parent; the others wait for it and look again.
    again = tx.row(_sql.access_token, _AccessToken, token_hash=token_hash)
    return again is not None and again.first_use_spends is None


def use_refreshed(tx: Tx, refresh_hash: bytes, parent_hash: bytes, now: int) -> bool:
    """Record the first use of the pair of `refresh_hash`: spend its parent and revoke the parent's other pairs and access tokens.

    Returns False and changes nothing if the parent was spent before.
    """
    if tx.run(_sql.spend, AT_MOST_ONE, token_hash=parent_hash, now=now) == 0:
        return False
    siblings = {"parent_hash": parent_hash, "refresh_hash": refresh_hash}
    access = tx.rows(_sql.delete_replaced_access_tokens, _Ended, **siblings)
    refresh = tx.rows(_sql.delete_sibling_refresh_tokens, _Ended, **siblings)
    # The parent's own access tokens last, which are the oldest: a client may still use them.
    access.sort(key=lambda token: token.created_at, reverse=True)
    _remember(tx, [*refresh, *access], now)
    tx.run_unseen(_sql.confirm, refresh_hash=refresh_hash, parent_hash=parent_hash)
    return True


def use_refresh_token(tx: Tx, token_hash: bytes, parent_hash: bytes | None, now: int) -> bool:
    """Record the use of an unspent refresh token. Revokes its pair and returns False if another pair of its refresh was first."""
    if parent_hash is None or use_refreshed(tx, token_hash, parent_hash, now):
        return True
    if tx.value(_sql.is_unconfirmed, refresh_hash=token_hash) is None:
        return True
    access = tx.rows(_sql.delete_older_access_tokens, _Ended, parent_hash=token_hash)
    refresh = tx.rows(_sql.delete_refresh_token, _Ended, token_hash=token_hash)
    _remember(tx, [*access, *refresh], now)
    return False


def end_expired(tx: Tx, now: int, *, ended_before: int, at_most: int) -> int:
    """Delete the expired access and refresh tokens of up to `at_most` devices and keep their hashes; returns of how many.

    `delete_expired` deletes the refresh tokens that were spent before `ended_before`.
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


def delete_expired(tx: Tx, now: int, *, ended_before: int, at_most: int) -> int:
    """Delete up to `at_most` expired login, OpenID and spent refresh tokens each, and of those that ended before `ended_before`.

    Returns how many. Dates a token's end back to `now` if it lies in the future, because the clock may have been ahead.
    """
    tx.run(_sql.date_ended_tokens, ANY, now=now)
    return (
        side_tokens.delete_expired(tx, now, at_most=at_most)
        + tx.run(_sql.delete_spent_refresh_tokens, ANY, now=now, spent_before=ended_before, at_most=at_most)
        + tx.run(_sql.delete_ended_tokens, ANY, before=ended_before, at_most=at_most)
    )
