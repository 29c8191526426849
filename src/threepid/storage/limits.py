"""Limits that all processes share: one row for each thing that is limited, one guarded statement for each use.

It is the generic cell rate algorithm: https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm.
"""

from msgspec import Struct

from threepid.storage.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.queries import Queries

_sql = Queries("limits")


class _Texts(Struct, frozen=True):
    sent: int
    confirmed: int


def take(tx: Tx, key: str, *, now: int, interval: int, burst: int) -> int:
    """Take one of a burst that refills by one each `interval`; 0, or the milliseconds until there is one again."""
    if tx.run(_sql.take, AT_MOST_ONE, key=key, now=now, interval=interval, burst=burst):
        return 0
    full_at = int(tx.value(_sql.full_at, key=key))
    return max(1, full_at - interval * (burst - 1) - now)


def give_back(tx: Tx, key: str, *, interval: int) -> None:
    """Give one back of what was taken."""
    tx.run(_sql.give_back, AT_MOST_ONE, key=key, interval=interval)


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


def delete_full(tx: Tx, now: int) -> int:
    """Forget what is whole again."""
    return tx.run(_sql.delete_full, ANY, now=now)
