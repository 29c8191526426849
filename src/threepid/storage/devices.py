"""Devices of accounts; times in milliseconds. Their tokens stand in `device_tokens` and `side_tokens`."""

from typing import Final

from msgspec import Struct

from threepid.storage import side_tokens
from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("devices")


LISTED: Final = 1_000
"""Maximum number of listed devices of an account: an imported account may have more."""


class Device(Struct, frozen=True):
    """A device of an account, with last-seen time, IP address and user agent."""

    device_id: str
    display_name: str | None
    created_at: int
    seen_at: int | None
    seen_from: str | None
    user_agent: str | None


class Place(Struct, frozen=True):
    """A device of a user."""

    user_id: str
    device_id: str


def hold_device(tx: Tx, user_id: str, device_id: str) -> bool:
    """Lock the device's row, so that nothing else opens, refreshes or deletes it, until `tx` ends; False if there is none."""
    return tx.value(_sql.hold_device, user_id=user_id, device_id=device_id) is not None


def upsert(
    tx: Tx,
    *,
    user_id: str,
    device_id: str,
    display_name: str | None,
    seen_from: str,
    network: str | None,
    user_agent: str,
    now: int,
) -> None:
    """Insert a device, or record that an existing one was seen, which keeps its name. Takes its row lock.

    `network` is that of `seen_from`, as limits count it; None for a caller without an IP address.
    """
    tx.run(
        _sql.upsert,
        user_id=user_id,
        device_id=device_id,
        display_name=display_name,
        now=now,
        seen_from=seen_from,
        network=network,
        user_agent=user_agent,
    )


def end_oauth_session(tx: Tx, user_id: str, device_id: str) -> None:
    """Unbind a device from its app, if it has one."""
    tx.run(_sql.end_oauth_session, AT_MOST_ONE, user_id=user_id, device_id=device_id)


def seen(
    tx: Tx, user_id: str, device_id: str, *, now: int, seen_from: str, network: str | None, user_agent: str
) -> None:
    """Record when, from where and by which user agent a device was last seen."""
    tx.run_unseen(
        _sql.seen,
        user_id=user_id,
        device_id=device_id,
        now=now,
        seen_from=seen_from,
        network=network,
        user_agent=user_agent,
    )


def knows(tx: Tx, user_id: str, network: str | None) -> bool:
    """Was a device of the account last seen in this network? Never in None."""
    return network is not None and bool(tx.value(_sql.network_from, user_id=user_id, network=network) == network)


def count(tx: Tx, user_id: str, *, most: int) -> int:
    """Number of devices of the account, counted up to `most`."""
    return int(tx.value(_sql.count_devices, user_id=user_id, most=most))


def delete(tx: Tx, user_id: str, device_id: str) -> bool:
    """Delete one device and its tokens; False if there is no such device."""
    return tx.run(_sql.delete_device, AT_MOST_ONE, user_id=user_id, device_id=device_id) == 1


def delete_all(tx: Tx, user_id: str, *, but: str | None = None) -> None:
    """Delete all devices of an account except `but`, and revoke all its OpenID and login tokens and authorization codes."""
    # Codes before devices, as when a code opens a device: otherwise the two could deadlock.
    tx.run(_sql.delete_oauth_codes, ANY, user_id=user_id)
    tx.run(_sql.delete_oauth_device_grants, ANY, user_id=user_id)
    if but is None:
        tx.run(_sql.delete_devices, ANY, user_id=user_id)
    else:
        tx.run(_sql.delete_other_devices, ANY, user_id=user_id, device_id=but)
    side_tokens.delete_of_user(tx, user_id)


def of_user(tx: Tx, user_id: str, *, most: int = LISTED) -> list[Device]:
    """The devices of an account, oldest first, at most `most`."""
    return tx.rows(_sql.devices, Device, user_id=user_id, most=most)


def ids(tx: Tx, user_id: str) -> list[str]:
    """The IDs of all devices of an account, however many there are."""
    return [device.device_id for device in tx.rows(_sql.device_ids, Place, user_id=user_id)]


def get(tx: Tx, user_id: str, device_id: str) -> Device | None:
    """One device of an account."""
    return tx.row(_sql.device, Device, user_id=user_id, device_id=device_id)


def rename(tx: Tx, user_id: str, device_id: str, display_name: str | None) -> bool:
    """Set the display name of a device; False if the account has no such device."""
    return tx.run(_sql.rename_device, AT_MOST_ONE, user_id=user_id, device_id=device_id, display_name=display_name) == 1
