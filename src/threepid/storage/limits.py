"""Limits that all processes share: one row for each thing that is limited, one guarded statement for each use.

It is the generic cell rate algorithm: https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm.
"""

from threepid.storage.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.queries import Queries

_sql = Queries("limits")


def take(tx: Tx, key: str, *, now: int, interval: int, burst: int) -> int:
    """Take one of a burst that refills by one each `interval`; 0, or the milliseconds until there is one again."""
    if tx.run(_sql.take, AT_MOST_ONE, key=key, now=now, interval=interval, burst=burst):
        return 0
    full_at = int(tx.value(_sql.full_at, key=key))
    return max(1, full_at - interval * (burst - 1) - now)


def delete_full(tx: Tx, now: int) -> int:
    """Forget what is whole again."""
    return tx.run(_sql.delete_full, ANY, now=now)
