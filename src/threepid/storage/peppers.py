"""Peppers, and the hashes of associations under them: an index that `associations` keeps right whenever it is written to."""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from threepid.spec.lookup_hash import lookup_hash
from threepid.storage.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.queries import Queries

_sql = Queries("peppers")


class Pepper(Struct, frozen=True):
    """A pepper and how far it is; its state is a table in domain/peppers.py."""

    number: int
    pepper: str
    created_at: int
    last_medium: str
    last_canonical: str
    hashed: int
    current_at: int | None
    answers_until: int | None
    gone_at: int | None


class Hashed(Struct, frozen=True, gc=False):
    """What the hash of an address stands for; there are many at once, which the garbage collector need not look at."""

    medium: str
    canonical: str
    mxid: str
    not_after: int


class _Found(Struct, frozen=True, gc=False):
    hash: str
    mxid: str


def insert(tx: Tx, pepper: str, now: int) -> bool:
    """Begin with a new pepper; False if one is being filled already."""
    tx.value(_sql.hold_alone)
    return tx.run(_sql.insert, AT_MOST_ONE, pepper=pepper, created_at=now) == 1


def all_of(tx: Tx) -> list[Pepper]:
    """All peppers, oldest first."""
    return tx.rows(_sql.all, Pepper)


def current(tx: Tx) -> str | None:
    """The pepper that clients are told."""
    pepper: str | None = tx.value(_sql.current)
    return pepper


def answering(tx: Tx, pepper: str, now: int) -> int | None:
    """The number of a pepper, if lookups are answered under it."""
    number: int | None = tx.value(_sql.answering, pepper=pepper, now=now)
    return number


def by_hashes(tx: Tx, number: int, hashes: Iterable[str], now: int) -> dict[str, str]:
    """The users whose addresses have these hashes under a pepper: hash → user ID."""
    asked = list(hashes)
    if not asked:
        return {}
    return {
        one.hash: one.mxid for one in tx.rows(_sql.by_hashes, _Found, pepper=number, hashes=tx.array(asked), now=now)
    }


# -- what is published and withdrawn


def hold(tx: Tx) -> list[Pepper]:
    """All peppers, and no other one comes before this transaction ends: what it writes is hashed under all of them."""
    tx.value(_sql.hold)
    return all_of(tx)


def write_hashes(tx: Tx, peppers: Iterable[Pepper], address: Hashed) -> None:
    """Let lookups find an address from now on, under each pepper that is answered or will be."""
    for pepper in peppers:
        if pepper.gone_at is None:
            hash_ = lookup_hash(address.canonical, address.medium, pepper.pepper)
            tx.run(_sql.write_hash, pepper=pepper.number, hash=hash_, mxid=address.mxid, not_after=address.not_after)


def erase_hashes(tx: Tx, peppers: Iterable[Pepper], medium: str, canonical: str) -> None:
    """Let no lookup find an address any more."""
    for pepper in peppers:
        hash_ = lookup_hash(canonical, medium, pepper.pepper)
        tx.run(_sql.erase_hash, AT_MOST_ONE, pepper=pepper.number, hash=hash_)


# -- rotation


def claim(tx: Tx, number: int, worker: str, *, now: int, leased_until: int) -> bool:
    """Take the work on a pepper, or keep it; False if another worker has it."""
    return tx.run(_sql.claim, AT_MOST_ONE, number=number, worker=worker, now=now, leased_until=leased_until) == 1


def fill(tx: Tx, pepper: Pepper, count: int) -> int:
    """Hash the next `count` associations under a pepper that is being filled; returns how many there were."""
    found = tx.rows(
        _sql.next_associations, Hashed, medium=pepper.last_medium, canonical=pepper.last_canonical, count=count
    )
    if found:
        rows = [(lookup_hash(one.canonical, one.medium, pepper.pepper), one.mxid, one.not_after) for one in found]
        tx.run(_sql.add_hashes, range(len(rows) + 1), pepper=pepper.number, rows=msgspec.json.encode(rows).decode())
        last = found[-1]
        tx.run(_sql.hashed_until, number=pepper.number, medium=last.medium, canonical=last.canonical, count=len(found))
    return len(found)


def make_current(tx: Tx, number: int, *, now: int, answers_until: int) -> None:
    """Tell clients this pepper from now on; the one before answers until `answers_until`."""
    tx.run(_sql.retire, AT_MOST_ONE, answers_until=answers_until)
    tx.run(_sql.make_current, number=number, now=now)


def end(tx: Tx, number: int, now: int) -> None:
    """Answer no lookup under this pepper any more, whatever the time is said to be."""
    tx.run(_sql.end, AT_MOST_ONE, number=number, now=now)


def delete_some(tx: Tx, number: int, count: int) -> bool:
    """Forget the next `count` hashes of a pepper that has ended; the last of them and the pepper itself: True."""
    following = tx.value(_sql.nth_hash, pepper=number, count=count)
    if following is not None:
        tx.run(_sql.delete_hashes_before, ANY, pepper=number, hash=following)
        return False
    tx.run(_sql.delete_hashes, ANY, pepper=number)
    tx.run(_sql.delete, number=number)
    return True
