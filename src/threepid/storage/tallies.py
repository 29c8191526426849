"""What was looked up on a day: marks for each user, and a count for each network."""

from msgspec import Struct

from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("tallies")


class Tally(Struct, frozen=True):
    """How many marks there are, and these, as domain/identity/lookup_budget.py packs them."""

    marked: int
    marks: bytes


def get(tx: Tx, day: int, who: str) -> Tally | None:
    """What somebody has asked for on a day, if anything."""
    return tx.row(_sql.get, Tally, day=day, who=who)


def put(tx: Tx, day: int, who: str, tally: Tally, *, before: Tally | None) -> bool:
    """Keep the tally that was made of `before`; False if that is not the last one any more."""
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
    """How many addresses were asked for from a network on a day."""
    return int(tx.value(_sql.asked_from, day=day, network=network) or 0)


def add_asked(tx: Tx, day: int, network: str, count: int) -> None:
    """So many more were asked for from a network."""
    tx.run(_sql.add_asked, day=day, network=network, count=count)


def delete_outside(tx: Tx, *, since_day: int, day: int) -> int:
    """Forget what was asked for on other days than these."""
    days = {"since_day": since_day, "day": day}
    return tx.run(_sql.delete_outside, ANY, **days) + tx.run(_sql.delete_networks_outside, ANY, **days)
