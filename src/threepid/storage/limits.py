"""Limits that all processes share: one row for each thing that is limited, one guarded statement for each use of several.

It is the generic cell rate algorithm: https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm.
"""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from threepid.storage.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.queries import Queries

_sql = Queries("limits")


class Wanted(Struct, frozen=True):
    """One of a burst that refills by one each `interval` (milliseconds)."""

    key: str
    interval: int
    burst: int

    def latest(self, now: int) -> int:
        """When the burst may be full again at the latest if one is to be left now."""
        return now + self.interval * (self.burst - 1)


class _Taken(Struct, frozen=True):
    key: str


class _FullAt(Struct, frozen=True):
    key: str
    full_at: int


class _Texts(Struct, frozen=True):
    sent: int
    confirmed: int


def take(tx: Tx, wanted: Sequence[Wanted], *, now: int) -> int:
    """Take one of each; 0, or nothing is taken: the milliseconds until there is one again of the first that has none."""
    rows = [(one.key, one.interval, one.latest(now)) for one in wanted]
    taken = {row.key for row in tx.rows(_sql.take, _Taken, wanted=msgspec.json.encode(rows).decode("ascii"), now=now)}
    if len(taken) == len(wanted):
        return 0
    give_back(tx, [one for one in wanted if one.key in taken])
    first = next(one for one in wanted if one.key not in taken)
    return max(1, full_at(tx, [first.key])[first.key] - first.latest(now))


def give_back(tx: Tx, taken: Iterable[Wanted]) -> None:
    """Give one of each back."""
    for one in taken:
        tx.run(_sql.give_back, AT_MOST_ONE, key=one.key, interval=one.interval)


def full_at(tx: Tx, keys: Sequence[str]) -> dict[str, int]:
    """When everything of each burst will be there again, where something was taken."""
    found = tx.rows(_sql.full_at, _FullAt, keys=msgspec.json.encode(keys).decode("ascii"))
    return {one.key: one.full_at for one in found}


def count_text(tx: Tx, prefix: str, day: int) -> None:
    """A text was sent to a number that begins with `prefix`; `day` counts from the epoch."""
    tx.run(_sql.count_text, prefix=prefix, day=day)


def count_confirmed(tx: Tx, prefix: str, day: int) -> None:
    """The code of such a text came back."""
    tx.run(_sql.count_confirmed, prefix=prefix, day=day)


def texts_of_prefix(tx: Tx, prefix: str, *, since_day: int) -> tuple[int, int]:
    """How many texts went to numbers of the prefix since that day, and how many of their codes came back."""
    texts = tx.row(_sql.texts_of_prefix, _Texts, prefix=prefix, since_day=since_day)
    return (texts.sent, texts.confirmed) if texts else (0, 0)


def closed_prefixes(tx: Tx, *, since_day: int, least_sent: int, confirmed_part: int) -> int:
    """How many prefixes had `least_sent` texts or more since that day, and fewer than one in `confirmed_part` confirmed."""
    parameters = {"since_day": since_day, "least_sent": least_sent, "confirmed_part": confirmed_part}
    return int(tx.value(_sql.closed_prefixes, **parameters))


def delete_texts_before(tx: Tx, day: int) -> int:
    """Forget the counts of the days before `day`."""
    return tx.run(_sql.delete_texts_before, ANY, day=day)


def delete_full(tx: Tx, now: int, *, limit: int) -> int:
    """Forget up to `limit` of what is whole again."""
    return tx.run(_sql.delete_full, ANY, now=now, limit=limit)
