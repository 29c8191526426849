"""Peppers, and the hashes of associations under them: an index that every write to `associations` updates."""

import re
import struct
from array import array
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from threepid.clock import SKEW
from threepid.spec.lookup_hash import lookup_hash
from threepid.storage.engine.database import ANY, AT_MOST_ONE, StorageError, Tx
from threepid.storage.engine.queries import Queries

PLACES: Final = 4
"""Number of keys at which a hash may stand; the queries contain it, too."""
_AT_ITS_PLACES: Final = range(PLACES + 1)
_SLOTS: Final = 7
_HASH_BITS: Final = 60
_WORD_BITS: Final = 64
_BEGIN_CHARS: Final = 12
_begin: Final = struct.Struct(">Qx")
"""Reads the first 64 of the 72 bits in `_BEGIN_CHARS` characters of a hash."""
_HASH: Final = re.compile("[A-Za-z0-9_-]{43}")

_sql = Queries("peppers")
_decode = msgspec.json.Decoder(dict[str, str]).decode


class Pepper(Struct, frozen=True):
    """A pepper and its progress; domain/identity/peppers.py has a table of its states."""

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
    """What the hash of an address stands for. There are many at once, so the garbage collector does not track them."""

    medium: str
    canonical: str
    mxid: str
    not_after: int


class _Spelling(Struct, frozen=True, gc=False):
    medium: str
    canonical: str
    spelling: str


def insert(tx: Tx, pepper: str, now: int) -> bool:
    """Add a new pepper; False if one is being filled already."""
    tx.value(_sql.hold_alone)
    return tx.run(_sql.insert, AT_MOST_ONE, pepper=pepper, created_at=now) == 1


def all_of(tx: Tx) -> list[Pepper]:
    """All peppers, oldest first."""
    return tx.rows(_sql.all, Pepper)


def current(tx: Tx) -> str | None:
    """The current pepper, which clients use."""
    pepper: str | None = tx.value(_sql.current)
    return pepper


def answering(tx: Tx, pepper: str, now: int) -> int | None:
    """The number of a pepper, or None if lookups with it are not answered."""
    number: int | None = tx.value(_sql.answering, pepper=pepper, now=now)
    return number


def by_hashes(tx: Tx, number: int, hashes: Iterable[str], now: int) -> dict[str, str]:
    """The user IDs of the addresses with these hashes under a pepper: hash → user ID."""
    asked = [hash_ for hash_ in hashes if _HASH.fullmatch(hash_)]
    if not asked:
        return {}
    # Sorted keys read neighbours one after the other, from the same pages.
    places = sorted(keys(number, asked))
    users = _decode(tx.value(_sql.by_hashes, pepper=number, keys=tx.array(array("q", places)), now=now))
    # The query also finds hashes at the places beside the wanted ones.
    return {hash_: users[hash_] for hash_ in asked if hash_ in users}


# -- bind and unbind


def hold(tx: Tx) -> list[Pepper]:
    """All peppers, under a lock that keeps new ones out until this transaction ends: what `tx` binds is hashed under all."""
    tx.value(_sql.hold)
    return all_of(tx)


def write_hashes(tx: Tx, peppers: Iterable[Pepper], address: Hashed) -> None:
    """Let lookups find an address from now on, under each pepper that answers or will answer."""
    texts = _texts(tx, address.medium, address.canonical)
    for pepper in peppers:
        if pepper.gone_at is None:
            hashes = [lookup_hash(text, address.medium, pepper.pepper) for text in texts]
            for key, hash_ in zip(keys(pepper.number, hashes), hashes, strict=True):
                _write(tx, pepper.number, key, hash_, address.mxid, address.not_after)


def write_many(tx: Tx, peppers: Iterable[Pepper], addresses: Sequence[tuple[str, Hashed]]) -> None:
    """Like `write_hashes` for many addresses, each with the text to be hashed: its canonical form or another spelling."""
    for pepper in peppers:
        if pepper.gone_at is None:
            _write_many(tx, pepper, addresses)


def add_spellings(tx: Tx, spellings: Sequence[tuple[str, str, str]]) -> None:
    """Let lookups also find addresses by other spellings: medium, canonical form, spelling. The caller writes the hashes."""
    tx.run_many(
        _sql.add_spelling,
        [{"medium": medium, "canonical": canonical, "spelling": spelling} for medium, canonical, spelling in spellings],
        AT_MOST_ONE,
    )


def erase_hashes(tx: Tx, peppers: Iterable[Pepper], medium: str, canonical: str) -> None:
    """Delete the hashes of an address and its other spellings, so that lookups no longer find it."""
    texts = _texts(tx, medium, canonical)
    for pepper in peppers:
        hashes = [lookup_hash(text, medium, pepper.pepper) for text in texts]
        for key, hash_ in zip(keys(pepper.number, hashes), hashes, strict=True):
            tx.run(_sql.erase_hash, _AT_ITS_PLACES, key=key, hash=hash_)
    if len(texts) > 1:
        tx.run(_sql.delete_spellings, ANY, medium=medium, canonical=canonical)


def _texts(tx: Tx, medium: str, canonical: str) -> list[str]:
    """What is hashed of an address: its canonical form, and the other spellings that an import brought."""
    rows = tx.rows(_sql.spellings, _Spelling, medium=medium, canonical=canonical)
    return [canonical, *(row.spelling for row in rows)]


def _write(tx: Tx, number: int, key: int, hash_: str, mxid: str, not_after: int) -> None:
    """Write what a hash stands for: where the hash is, or at the first free one of its places."""
    if tx.run(_sql.rewrite_hash, _AT_ITS_PLACES, key=key, hash=hash_, mxid=mxid, not_after=not_after):
        return
    for place in range(key, key + PLACES):
        if tx.run(_sql.add_hash, AT_MOST_ONE, key=place, pepper=number, hash=hash_, mxid=mxid, not_after=not_after):
            return
    raise StorageError("all places of a hash are taken")


def keys(number: int, hashes: Sequence[str]) -> list[int]:
    """The first keys of hashes: 3 bits made from the pepper's number, then the first 60 bits of the hash.

    An integer key is found faster than a text, with fewer pages of the database. Two hashes may have the same key, so a hash
    stands at the first free one of `PLACES` keys. An attacker who wants to take all places of a hash has to try some 2^60
    addresses, and again for each pepper.
    """
    first = _first_key(number)
    begins = urlsafe_b64decode("".join([hash_[:_BEGIN_CHARS] for hash_ in hashes]))
    return [first | word >> _WORD_BITS - _HASH_BITS for (word,) in _begin.iter_unpack(begins)]


def _first_key(number: int) -> int:
    return number % _SLOTS << _HASH_BITS


# -- rotation


def claim(tx: Tx, number: int, worker: str, *, now: int, leased_until: int) -> bool:
    """Take or keep the lease on the work on a pepper; False if another worker has it."""
    return (
        tx.run(
            _sql.claim,
            AT_MOST_ONE,
            number=number,
            worker=worker,
            now=now,
            leased_until=leased_until,
            ahead=leased_until + SKEW,
        )
        == 1
    )


def fill(tx: Tx, pepper: Pepper, count: int) -> int:
    """Hash the next `count` associations under a pepper that is being filled; returns how many there were."""
    found = tx.rows(
        _sql.next_associations, Hashed, medium=pepper.last_medium, canonical=pepper.last_canonical, count=count
    )
    if found:
        last = found[-1]
        others = tx.rows(
            _sql.spellings_between,
            _Spelling,
            after_medium=pepper.last_medium,
            after_canonical=pepper.last_canonical,
            medium=last.medium,
            canonical=last.canonical,
        )
        texts = [(one.canonical, one) for one in found]
        if others:
            by_address = {(one.medium, one.canonical): one for one in found}
            # What was bound since the first query has its hashes already.
            texts += [
                (other.spelling, by_address[other.medium, other.canonical])
                for other in others
                if (other.medium, other.canonical) in by_address
            ]
        _write_many(tx, pepper, texts)
        tx.run(_sql.hashed_until, number=pepper.number, medium=last.medium, canonical=last.canonical, count=len(found))
    return len(found)


def _write_many(tx: Tx, pepper: Pepper, addresses: Sequence[tuple[str, Hashed]]) -> None:
    hashes = [lookup_hash(text, one.medium, pepper.pepper) for text, one in addresses]
    rows = sorted(
        (key, hash_, one.mxid, one.not_after)
        for key, hash_, (_, one) in zip(keys(pepper.number, hashes), hashes, addresses, strict=True)
    )
    added = tx.run(_sql.add_hashes, range(len(rows) + 1), pepper=pepper.number, rows=msgspec.json.encode(rows).decode())
    # Some were bound before, or another hash has their place. A hash that stands at a later place may now stand at its
    # first place too: both rows are rewritten and erased together.
    if added < len(rows):
        for row in rows:
            _write(tx, pepper.number, *row)


def make_current(tx: Tx, number: int, *, now: int, answers_until: int) -> None:
    """Make this pepper current; the previous one answers until `answers_until`."""
    tx.run(_sql.retire, AT_MOST_ONE, answers_until=answers_until)
    tx.run(_sql.make_current, number=number, now=now)


def end(tx: Tx, number: int, now: int) -> None:
    """Stop answering lookups with this pepper, whatever the clock says."""
    tx.run(_sql.end, AT_MOST_ONE, number=number, now=now)


def delete_some(tx: Tx, number: int, count: int) -> bool:
    """Delete the next `count` hashes of a pepper that has ended. True if that deleted the last ones and the pepper itself."""
    first = _first_key(number)
    last = first + (1 << _HASH_BITS) + PLACES - 2
    following = tx.value(_sql.nth_key, pepper=number, first=first, last=last, count=count)
    if following is not None:
        tx.run(_sql.delete_hashes, ANY, pepper=number, first=first, last=following - 1)
        return False
    tx.run(_sql.delete_hashes, ANY, pepper=number, first=first, last=last)
    tx.run(_sql.delete, number=number)
    return True
