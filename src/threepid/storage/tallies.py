"""Tallies of a day's lookups: marks for each user, and a count for each network."""

from msgspec import Struct

from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("tallies")


class Tally(Struct, frozen=True):
    """The number of marks, and the marks as domain/identity/lookup_budget.py packs them."""

    marked: int
    marks: bytes


def get(tx: Tx, day: int, who: str) -> Tally | None:
    """The tally of a caller on a day, or None."""
    return tx.row(_sql.get, Tally, day=day, who=who)


def put(tx: Tx, day: int, who: str, tally: Tally, *, before: Tally | None) -> bool:
    """Store a tally that was computed from `before`; False if another process has stored one since."""
    if before is None:
        return tx.run(_sql.insert, AT_MOST_ONE, day=day, who=who, marked=tally.marked, marks=tally.marks) == 1
    return (
        tx.run(
            _sql.update,
            AT_MOST_ONE,
            day=day,
            who=who,
            marked=tally.marked,
            marks=tally.marks,
            before=before.marks,
        )
        == 1
    )


def asked_from(tx: Tx, day: int, network: str) -> int:
    """Number of addresses that were looked up from a network on a day."""
    return int(tx.value(_sql.asked_from, day=day, network=network) or 0)


def add_asked(tx: Tx, day: int, network: str, count: int) -> None:
    """Add to the number of addresses that were looked up from a network."""
    tx.run(_sql.add_asked, day=day, network=network, count=count)


def delete_outside(tx: Tx, *, since_day: int, day: int, at_most: int) -> int:
    """Delete up to `at_most` tallies and as many network counts of other days; returns how many."""
    days = {"since_day": since_day, "day": day, "at_most": at_most}
    return tx.run(_sql.delete_outside, ANY, **days) + tx.run(_sql.delete_networks_outside, ANY, **days)
