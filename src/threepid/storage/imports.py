"""What was imported from other servers: the runs, and for each account what both sides had at the last one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries
from threepid.storage.threepids import Threepid

_sql = Queries("imports")


class Run(Struct, frozen=True):
    """The latest run of a source; times in milliseconds. `done` of `total` accounts or rows were compared.

    `position` is the number of the last row of the other server's log that was imported; 0 if it has no log.
    """

    settings: str
    run_id: str
    started_at: int
    finished_at: int | None
    done: int
    total: int
    position: int


class Known(Struct, frozen=True):
    """An account that exists, and what was imported of it. All are None for an account that was made here."""

    user_id: str
    source: str | None
    theirs: bytes | None
    ours: bytes | None


class Account(Struct, frozen=True):
    """An account to be inserted, or to replace an imported one; times in milliseconds."""

    user_id: str
    password_hash: str | None
    created_at: int
    deactivated_at: int | None
    locked_at: int | None
    admin_at: int | None
    application_service: str | None


class Device(Struct, frozen=True):
    """A device of an account; times in milliseconds."""

    user_id: str
    device_id: str
    display_name: str | None
    created_at: int
    seen_at: int | None
    seen_from: str | None
    network: str | None
    user_agent: str | None


class RefreshToken(Struct, frozen=True):
    """A refresh token of a device; `parent_hash` is the hash of the one for which it was issued, while that is still valid."""

    user_id: str
    device_id: str
    token_hash: bytes
    parent_hash: bytes | None
    created_at: int
    expires_at: int


class AccessToken(Struct, frozen=True):
    """An access token of a device; `first_use_spends` is the hash of the refresh token that its first use spends."""

    user_id: str
    device_id: str
    token_hash: bytes
    created_at: int
    expires_at: int | None
    refresh_hash: bytes | None
    first_use_spends: bytes | None


class Contact(Struct, frozen=True):
    """A contact of an account."""

    user_id: str
    threepid: Threepid


class State(Struct, frozen=True):
    """What there is of an account here, as far as a change since the import shows."""

    password_hash: str | None
    deactivated: bool
    locked: bool
    admin: bool
    contacts: list[Threepid]
    devices: list[tuple[str, str | None]]


class Record(Struct, frozen=True):
    """What was imported of an account: hashes of what both sides had."""

    user_id: str
    source: str
    theirs: bytes
    ours: bytes


class Stored(Struct, frozen=True):
    """How much there is of the imported accounts of a source."""

    accounts: int
    contacts: int
    devices: int


class _Account(Struct, frozen=True):
    user_id: str
    password_hash: str | None
    deactivated_at: int | None
    locked_at: int | None
    admin_at: int | None


class _Contact(Struct, frozen=True):
    user_id: str
    medium: str
    canonical: str
    address: str
    validated_at: int
    added_at: int


class _Device(Struct, frozen=True):
    user_id: str
    device_id: str
    display_name: str | None


class _Owner(Struct, frozen=True):
    medium: str
    canonical: str
    user_id: str


def begin(tx: Tx, source: str, *, settings: str, run_id: str, now: int, total: int) -> None:
    """Begin a run, in the place of an earlier run of the same source."""
    tx.run(_sql.begin, source=source, settings=settings, run_id=run_id, now=now, total=total)


def get(tx: Tx, source: str) -> Run | None:
    """The latest run of a source."""
    return tx.row(_sql.get, Run, source=source)


def advance(tx: Tx, source: str, run_id: str, *, done: int, position: int = 0) -> bool:
    """Record how far the run has come; False if another run has taken its place."""
    return tx.run(_sql.advance, AT_MOST_ONE, source=source, run_id=run_id, done=done, position=position) == 1


def finish(tx: Tx, source: str, run_id: str, now: int) -> bool:
    """Record the end of the run; False if another run has taken its place."""
    return tx.run(_sql.finish, AT_MOST_ONE, source=source, run_id=run_id, now=now) == 1


def changes(tx: Tx, source: str) -> dict[str, int]:
    """How much was changed since the audit log last had an entry about the end of a run; empty for nothing."""
    found = tx.value(_sql.changes, source=source)
    return msgspec.json.decode(found, type=dict[str, int]) if found else {}


def set_changes(tx: Tx, source: str, numbers: Mapping[str, int]) -> None:
    """Record how much was changed since then; empty for nothing."""
    text = msgspec.json.encode(numbers).decode("utf-8") if numbers else ""
    tx.run(_sql.set_changes, source=source, changes=text)


def known(tx: Tx, user_ids: Iterable[str]) -> dict[str, Known]:
    """Those of these users that have an account, by user ID."""
    return {found.user_id: found for found in tx.rows(_sql.known, Known, user_ids=_json(user_ids))}


def states(tx: Tx, user_ids: Iterable[str]) -> dict[str, State]:
    """What there is of these accounts, by user ID. Nobody changes the accounts until the transaction ends."""
    listed = _json(user_ids)
    found = {
        account.user_id: State(
            account.password_hash,
            account.deactivated_at is not None,
            account.locked_at is not None,
            account.admin_at is not None,
            [],
            [],
        )
        for account in tx.rows(_sql.accounts, _Account, user_ids=listed)
    }
    for contact in tx.rows(_sql.contacts, _Contact, user_ids=listed):
        found[contact.user_id].contacts.append(
            Threepid(contact.medium, contact.canonical, contact.address, contact.validated_at, contact.added_at)
        )
    for device in tx.rows(_sql.devices, _Device, user_ids=listed):
        found[device.user_id].devices.append((device.device_id, device.display_name))
    return found


def owners(tx: Tx, canonicals: Iterable[str]) -> dict[tuple[str, str], str]:
    """The owners of addresses in canonical form, by medium and address."""
    rows = tx.rows(_sql.owners, _Owner, canonicals=_json(canonicals))
    return {(row.medium, row.canonical): row.user_id for row in rows}


def empty(tx: Tx, user_ids: Sequence[str]) -> None:
    """Delete contacts, devices, tokens and browser sessions of these accounts, because others take their place."""
    listed = _json(user_ids)
    for query in (_sql.delete_contacts, _sql.delete_devices, _sql.delete_web_sessions):
        tx.run(query, ANY, user_ids=listed)


def insert_accounts(tx: Tx, accounts: Sequence[Account]) -> None:
    """Insert accounts. Raises UniqueViolation if one exists."""
    tx.run_many(_sql.insert_account, _parameters(accounts))


def update_accounts(tx: Tx, accounts: Sequence[Account]) -> None:
    """Replace password and state of accounts that exist."""
    changes = [{name: value for name, value in each.items() if name != "created_at"} for each in _parameters(accounts)]
    tx.run_many(_sql.update_account, changes)


def provisioned(tx: Tx, user_ids: Iterable[str], now: int) -> None:
    """Note that the homeserver beside us has these accounts, because they come from there."""
    tx.run_many(_sql.provisioned, [{"user_id": user_id, "now": now} for user_id in user_ids])


def insert_contacts(tx: Tx, contacts: Sequence[Contact]) -> None:
    """Insert contacts. Raises UniqueViolation if an address has an owner."""
    rows = [{"user_id": contact.user_id, **msgspec.structs.asdict(contact.threepid)} for contact in contacts]
    tx.run_many(_sql.insert_contact, rows)


def insert_devices(tx: Tx, devices: Sequence[Device]) -> None:
    """Insert devices."""
    tx.run_many(_sql.insert_device, _parameters(devices))


def insert_tokens(tx: Tx, refresh: Sequence[RefreshToken], access: Sequence[AccessToken]) -> int:
    """Insert hashes of tokens, and return how many: those that exist already are left out."""
    return tx.run_many(_sql.insert_refresh_token, _parameters(refresh), AT_MOST_ONE) + tx.run_many(
        _sql.insert_access_token, _parameters(access), AT_MOST_ONE
    )


def record(tx: Tx, records: Sequence[Record]) -> None:
    """Record what was imported of accounts."""
    tx.run_many(_sql.record, _parameters(records))


def stored(tx: Tx, source: str) -> Stored:
    """How much there is of the accounts that were imported from a source."""
    found = tx.row(_sql.stored, Stored, source=source)
    return found or Stored(0, 0, 0)


def _parameters(structs: Sequence[Struct]) -> list[Mapping[str, Any]]:
    return [msgspec.structs.asdict(each) for each in structs]


def _json(texts: Iterable[str]) -> str:
    return msgspec.json.encode(list(texts)).decode("utf-8")
