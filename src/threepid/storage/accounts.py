"""Accounts of this server."""

from typing import Final

from msgspec import Struct

from threepid.storage.engine.database import AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("accounts")

_LAST: Final = chr(0x10FFFF)
"""The character after all others, which no user ID has."""


class Account(Struct, frozen=True):
    """An account of this server; times in milliseconds."""

    user_id: str
    password_hash: str | None
    created_at: int
    deactivated_at: int | None
    locked_at: int | None


class Locked(Struct, frozen=True):
    """An account whose row a transaction has locked, and when an operator locked the account itself, in milliseconds."""

    locked_at: int | None


class AccountSummary(Struct, frozen=True):
    """One row of the account list; times in milliseconds."""

    user_id: str
    created_at: int
    deactivated_at: int | None
    locked_at: int | None
    contacts: int


def insert(tx: Tx, *, user_id: str, password_hash: str | None, created_at: int) -> bool:
    """Create the account; False if the user ID is taken."""
    return (
        tx.run(_sql.insert_account, AT_MOST_ONE, user_id=user_id, password_hash=password_hash, created_at=created_at)
        == 1
    )


def get(tx: Tx, user_id: str) -> Account | None:
    """The account with this user ID."""
    return tx.row(_sql.account, Account, user_id=user_id)


def by_threepid(tx: Tx, medium: str, canonical: str) -> Account | None:
    """The account that owns an address."""
    return tx.row(_sql.account_by_threepid, Account, medium=medium, canonical=canonical)


def after(tx: Tx, user_id: str, count: int) -> list[AccountSummary]:
    """The next `count` accounts after `user_id` in alphabetical order."""
    return tx.rows(_sql.accounts_after, AccountSummary, user_id=user_id, count=count)


def by_beginning(tx: Tx, beginning: str, user_id: str, count: int) -> list[AccountSummary]:
    """The next `count` accounts after `user_id` whose user ID begins with `beginning`, in the order of characters' codes."""
    # Python compares texts by their characters' codes, as the databases do here.
    first, last = max(beginning, user_id), beginning + _LAST
    return tx.rows(_sql.accounts_between, AccountSummary, first=first, last=last, user_id=user_id, count=count)


def with_part(tx: Tx, part: str, user_id: str, count: int) -> list[AccountSummary]:
    """The next `count` accounts after `user_id` that have `part`, in small letters, in their username. It reads all usernames."""
    return tx.rows(_sql.accounts_with_part, AccountSummary, part=part, user_id=user_id, count=count)


def of_another_name(tx: Tx, server_name: str) -> str | None:
    """The user ID of an active account that has another server name than `server_name`, or None."""
    user_id: str | None = tx.value(_sql.account_of_another_name, suffix=f":{server_name}")
    return user_id


def set_password_hash(tx: Tx, user_id: str, password_hash: str) -> bool:
    """Set the password hash of an active account; False if there is no such account."""
    return tx.run(_sql.set_password_hash, AT_MOST_ONE, user_id=user_id, password_hash=password_hash) == 1


def lock(tx: Tx, user_id: str) -> Locked | None:
    """Lock the account's row until `tx`, a write, ends; None if there is no such account or it is deactivated."""
    return tx.row(_sql.lock, Locked, user_id=user_id)


def hold_password(tx: Tx, user_id: str, password_hash: str) -> bool:
    """Lock the account's row until `tx` ends; False if this is not its password hash now, or it is deactivated."""
    return tx.run(_sql.hold_password, AT_MOST_ONE, user_id=user_id, password_hash=password_hash) == 1


def deactivate(tx: Tx, user_id: str, now: int) -> bool:
    """Deactivate the account; False if it was deactivated before."""
    return tx.run(_sql.deactivate, AT_MOST_ONE, user_id=user_id, now=now) == 1


def reactivate(tx: Tx, user_id: str) -> bool:
    """Undo the deactivation of the account, which then has no password; False if it is not deactivated."""
    return tx.run(_sql.reactivate, AT_MOST_ONE, user_id=user_id) == 1


def set_locked(tx: Tx, user_id: str, locked_at: int | None) -> bool:
    """Lock the account at this time, or unlock it with None; False if that changes nothing, or it is deactivated."""
    return tx.run(_sql.set_locked, AT_MOST_ONE, user_id=user_id, locked_at=locked_at) == 1


def is_locked(tx: Tx, user_id: str) -> bool:
    """Has an operator locked the account?"""
    return tx.value(_sql.is_locked, user_id=user_id) is not None


def is_admin(tx: Tx, user_id: str) -> bool:
    """May the account ask for access to the administration of the homeserver?"""
    return tx.value(_sql.admin_at, user_id=user_id) is not None


def application_service(tx: Tx, user_id: str) -> str | None:
    """The application service of the homeserver beside us that owns the user; None for a person."""
    found: str | None = tx.value(_sql.application_service, user_id=user_id)
    return found


def set_admin(tx: Tx, user_id: str, admin_at: int | None) -> bool:
    """Make an active account an administrator's, or with None an ordinary one; False if there is no such account."""
    return tx.run(_sql.set_admin, AT_MOST_ONE, user_id=user_id, admin_at=admin_at) == 1
