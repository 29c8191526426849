"""Accounts, their devices and their tokens."""

from msgspec import Struct

from threepid.storage.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.queries import Queries

_sql = Queries("accounts")


class Account(Struct, frozen=True):
    """One account of this server."""

    user_id: str
    password_hash: str | None
    created_at: int
    deactivated_at: int | None


class AccountSummary(Struct, frozen=True):
    """One line of the list of accounts."""

    user_id: str
    created_at: int
    deactivated_at: int | None
    contacts: int


class Device(Struct, frozen=True):
    """One device of an account; the time in milliseconds."""

    device_id: str
    display_name: str | None
    created_at: int


class Requester(Struct, frozen=True):
    """Whose access token it is, and of which device."""

    user_id: str
    device_id: str


def insert(tx: Tx, *, user_id: str, password_hash: str | None, created_at: int) -> bool:
    """Create the account; False if the user ID is taken."""
    return (
        tx.run(_sql.insert_account, AT_MOST_ONE, user_id=user_id, password_hash=password_hash, created_at=created_at)
        == 1
    )


def get(tx: Tx, user_id: str) -> Account | None:
    """The account called `user_id`."""
    return tx.row(_sql.account, Account, user_id=user_id)


def by_threepid(tx: Tx, medium: str, canonical: str) -> Account | None:
    """The account that owns an address."""
    return tx.row(_sql.account_by_threepid, Account, medium=medium, canonical=canonical)


def after(tx: Tx, user_id: str, count: int) -> list[AccountSummary]:
    """The next `count` accounts after `user_id` in alphabetical order."""
    return tx.rows(_sql.accounts_after, AccountSummary, user_id=user_id, count=count)


def set_password_hash(tx: Tx, user_id: str, password_hash: str) -> bool:
    """Give an active account a new password; False if there is none."""
    return tx.run(_sql.set_password_hash, AT_MOST_ONE, user_id=user_id, password_hash=password_hash) == 1


def open_device(
    tx: Tx,
    *,
    user_id: str,
    device_id: str,
    display_name: str | None,
    token_hash: bytes,
    now: int,
    expires_at: int | None = None,
) -> None:
    """Log a device in: a new one, or one that is there already, whose older tokens die."""
    device = {"user_id": user_id, "device_id": device_id}
    if tx.run(_sql.insert_device, AT_MOST_ONE, **device, display_name=display_name, created_at=now) == 0:
        tx.run(_sql.delete_access_tokens_of_device, ANY, **device)
    tx.run(_sql.insert_access_token, **device, token_hash=token_hash, created_at=now, expires_at=expires_at)


def delete_device(tx: Tx, user_id: str, device_id: str) -> None:
    """Log one device out."""
    tx.run(_sql.delete_device, AT_MOST_ONE, user_id=user_id, device_id=device_id)


def delete_devices(tx: Tx, user_id: str, *, but: str | None = None) -> None:
    """Log all devices of an account out, but one if it is given."""
    if but is None:
        tx.run(_sql.delete_devices, ANY, user_id=user_id)
    else:
        tx.run(_sql.delete_other_devices, ANY, user_id=user_id, device_id=but)


def devices(tx: Tx, user_id: str) -> list[Device]:
    """The devices of an account, oldest first."""
    return tx.rows(_sql.devices, Device, user_id=user_id)


def rename_device(tx: Tx, user_id: str, device_id: str, display_name: str | None) -> bool:
    """Give a device another name; False if the account has no such device."""
    return tx.run(_sql.rename_device, AT_MOST_ONE, user_id=user_id, device_id=device_id, display_name=display_name) == 1


def deactivate(tx: Tx, user_id: str, now: int) -> bool:
    """End the account, its devices and its tokens; False if it was ended before."""
    delete_devices(tx, user_id)
    tx.run(_sql.delete_openid_tokens, ANY, user_id=user_id)
    return tx.run(_sql.deactivate, AT_MOST_ONE, user_id=user_id, now=now) == 1


def requester(tx: Tx, token_hash: bytes, now: int) -> Requester | None:
    """Whose access token this is, if it is one and has not expired."""
    return tx.row(_sql.requester, Requester, token_hash=token_hash, now=now)


def insert_openid_token(tx: Tx, *, token_hash: bytes, user_id: str, expires_at: int) -> None:
    """Remember an OpenID token."""
    tx.run(_sql.insert_openid_token, token_hash=token_hash, user_id=user_id, expires_at=expires_at)


def openid_user(tx: Tx, token_hash: bytes, now: int) -> str | None:
    """Whose OpenID token this is, if it is one and has not expired."""
    user_id: str | None = tx.value(_sql.openid_user, token_hash=token_hash, now=now)
    return user_id


def delete_expired(tx: Tx, now: int) -> int:
    """Forget tokens that nobody can use any more."""
    return tx.run(_sql.delete_expired_openid_tokens, ANY, now=now)
