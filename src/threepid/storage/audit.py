"""The audit log: what happened to accounts. Entries are added and deleted by age, and never changed."""

from typing import Final

from msgspec import Struct

from threepid.storage.engine.database import ANY, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("audit")

NEVER: Final = 2**62
"""A time after all entries."""


class Entry(Struct, frozen=True):
    """One entry. `at` is in milliseconds; `origin` and `details` are JSON."""

    entry_id: str
    at: int
    kind: str
    user_id: str
    caller_kind: str
    caller: str
    origin: str
    details: str


def append(tx: Tx, entry: Entry) -> None:
    """Append an entry."""
    tx.insert(_sql.insert, **_parameters(entry))


def append_bounded(tx: Tx, entry: Entry, *, since: int, at_most: int) -> None:
    """Append an entry about an account, if it exists and has fewer than `at_most` of the kind since `since`."""
    tx.run_unseen(_sql.insert_bounded, **_parameters(entry), since=since, at_most=at_most)


def _parameters(entry: Entry) -> dict[str, str | int]:
    return {name: getattr(entry, name) for name in entry.__struct_fields__}


def of_user(tx: Tx, user_id: str, *, count: int, before: str | None = None) -> list[Entry]:
    """The newest entries about an account, or those older than the entry with the ID `before`, newest first."""
    if before is None:
        return tx.rows(_sql.newest, Entry, user_id=user_id, count=count)
    return tx.rows(_sql.older, Entry, user_id=user_id, before=before, count=count)


def delete_of_user(tx: Tx, user_id: str) -> int:
    """Delete the entries about an account; returns how many."""
    return tx.run(_sql.delete_of_user, ANY, user_id=user_id)


def delete_before(tx: Tx, then: int, *, at_most: int) -> int:
    """Delete at most `at_most` entries that are older than `then`; returns how many."""
    return tx.run(_sql.delete_before, ANY, before=then, at_most=at_most)


def get(tx: Tx, entry_id: str) -> Entry | None:
    """One entry."""
    return tx.row(_sql.get, Entry, entry_id=entry_id)


class Sum(Struct, frozen=True):
    """The number of events of a kind from a network in a minute since 1970."""

    minute: int
    kind: str
    network: str
    count: int


class Which(Struct, frozen=True):
    """Which entries: of one kind and about one account, '' for all; from the time `since` on, and before `until`."""

    kind: str = ""
    user_id: str = ""
    since: int = 0
    until: int = NEVER


def oldest(tx: Tx, which: Which, *, after: Entry | None, count: int) -> list[Entry]:
    """The next `count` entries after `after`, or from the first one on, oldest first."""
    limits = {"until": which.until, "count": count}
    if which.user_id:
        last = "" if after is None else after.entry_id
        about = {"user_id": which.user_id, "after_id": last, "since": which.since, "kind": which.kind}
        return tx.rows(_sql.oldest_of_user, Entry, **about, **limits)
    at, entry_id = (which.since, "") if after is None else (after.at, after.entry_id)
    if which.kind:
        return tx.rows(_sql.oldest_of_kind, Entry, after_at=at, after_id=entry_id, kind=which.kind, **limits)
    return tx.rows(_sql.oldest, Entry, after_at=at, after_id=entry_id, **limits)


def recent(tx: Tx, which: Which, *, before: Entry | None, count: int) -> list[Entry]:
    """The `count` entries before `before`, or the newest ones, newest first."""
    limits = {"since": which.since, "count": count}
    if which.user_id:
        first = "" if before is None else before.entry_id
        about = {"user_id": which.user_id, "before_id": first, "until": which.until, "kind": which.kind}
        return tx.rows(_sql.recent_of_user, Entry, **about, **limits)
    at, entry_id = (which.until, "") if before is None else (before.at, before.entry_id)
    if which.kind:
        return tx.rows(_sql.recent_of_kind, Entry, before_at=at, before_id=entry_id, kind=which.kind, **limits)
    return tx.rows(_sql.recent, Entry, before_at=at, before_id=entry_id, **limits)


def add_to_sum(tx: Tx, added: Sum) -> None:
    """Add events to the sum of their minute."""
    tx.run(_sql.add_to_sum, minute=added.minute, kind=added.kind, network=added.network, count=added.count)


def sums(tx: Tx, *, after: Sum | None, since: int, until: int, kind: str, count: int) -> list[Sum]:
    """The next `count` sums after `after`, or since the minute `since`, and before the minute `until`, oldest first.

    `kind` leaves out the sums of other kinds, '' = none.
    """
    minute, place, network = (since, "", "") if after is None else (after.minute, after.kind, after.network)
    return tx.rows(
        _sql.sums,
        Sum,
        after_minute=minute,
        after_kind=place,
        after_network=network,
        until=until,
        only=kind,
        count=count,
    )


def delete_sums_before(tx: Tx, minute: int, *, at_most: int) -> int:
    """Delete at most `at_most` sums that are older than `minute`; returns how many."""
    return tx.run(_sql.delete_sums_before, ANY, minute=minute, at_most=at_most)
