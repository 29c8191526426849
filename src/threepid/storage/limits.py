"""Limits that all processes share: a row for each limit, and a guarded statement that takes from it.

They use the generic cell rate algorithm: https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm.
"""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from threepid.clock import SKEW
from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("limits")


class State(Struct, frozen=True):
    """When a burst will be full again, and when a unit was last taken from it."""

    key: str
    full_at: int
    taken_at: int


class Wanted(Struct, frozen=True):
    """A unit of a burst that refills by one each `interval` (milliseconds), to be taken only if `kept` others are left."""

    key: str
    interval: int
    burst: int
    kept: int = 0
    name: str = ""
    """The plain name, which may contain an address."""

    def latest(self, now: int) -> int:
        """The latest time at which the burst may be full again if a unit is to be left now."""
        return now + self.interval * (self.burst - 1 - self.kept)

    def empty(self, now: int) -> int:
        """When the burst is full again if it is empty now."""
        return now + self.interval * self.burst

    def full_at(self, state: State | None, now: int) -> int:
        """When the burst is full again: never later than its size allows, as in `take`."""
        if state is None:
            return now
        if state.taken_at > now + SKEW:
            return min(state.full_at - state.taken_at + now, self.latest(now))
        return min(state.full_at, self.latest(now)) if state.full_at > self.empty(now) + SKEW else state.full_at


class Empty(Struct, frozen=True):
    """The first burst that is empty, and the milliseconds until it refills."""

    wait: int
    wanted: Wanted


class Page(Struct, frozen=True):
    """Some bursts in the order of their keys."""

    last: str | None
    """The last key, None if there is no burst left."""
    full_again: int
    """How many of them are full again."""


class _Texts(Struct, frozen=True):
    sent: int
    confirmed: int


def take_each(tx: Tx, wanted: Iterable[Wanted], *, now: int) -> set[str]:
    """Take one unit of each that has one; returns their keys."""
    each = {one.key: {"interval": one.interval, "latest": one.latest(now), "empty": one.empty(now)} for one in wanted}
    return tx.run_each(_sql.take, each, now=now, skew=SKEW)


def take(tx: Tx, wanted: Sequence[Wanted], *, now: int) -> Empty | None:
    """Take one unit of each and return None; or take nothing and return the first one that is empty."""
    taken = take_each(tx, wanted, now=now)
    if len(taken) == len(wanted):
        return None
    give_back(tx, [one for one in wanted if one.key in taken])
    first = next(one for one in wanted if one.key not in taken)
    return Empty(max(1, full_at(tx, [first], now=now)[first.key] - first.latest(now)), first)


def take_groups(tx: Tx, groups: Sequence[Sequence[Wanted]], *, now: int) -> list[bool]:
    """Take one unit of each burst of a group, or of none of them, one group after the other; returns which had them."""
    wanted = {one.key: one for group in groups for one in group}
    if not wanted:
        return [True] * len(groups)
    # All at first, which locks the rows in the order of their keys. Group by group, two transactions would lock what their groups
    # have in common in different orders, and deadlock.
    spare = take_each(tx, wanted.values(), now=now)
    had, found = frozenset(spare), list[bool]()
    for group in groups:
        keys = {one.key for one in group}
        again = [one for one in group if one.key not in spare]
        if again and keys <= had:  # an earlier group has used the first unit of these
            spare |= take_each(tx, again, now=now)
        found.append(keys <= spare)
        if found[-1]:
            spare -= keys
    give_back(tx, [wanted[key] for key in spare])
    return found


def give_back(tx: Tx, taken: Iterable[Wanted]) -> None:
    """Give one unit of each back."""
    for one in taken:
        tx.run(_sql.give_back, AT_MOST_ONE, key=one.key, interval=one.interval)


def spend(tx: Tx, wanted: Wanted, *, now: int) -> None:
    """Take a unit even if none is left. Writes nothing if the burst is nearly empty."""
    empty = wanted.empty(now)
    tx.run(
        _sql.spend,
        AT_MOST_ONE,
        key=wanted.key,
        now=now,
        interval=wanted.interval,
        empty=empty,
        all_but_empty=empty - wanted.interval // 2,
    )


def full_at(tx: Tx, wanted: Sequence[Wanted], *, now: int) -> dict[str, int]:
    """When each burst will be full again."""
    keys = msgspec.json.encode([one.key for one in wanted]).decode("ascii")
    states = {state.key: state for state in tx.rows(_sql.states, State, keys=keys)}
    return {one.key: one.full_at(states.get(one.key), now) for one in wanted}


def count_text(tx: Tx, prefix: str, day: int) -> None:
    """Count an SMS to a number that begins with `prefix`; `day` counts from the epoch."""
    tx.run(_sql.count_text, prefix=prefix, day=day)


def count_confirmed(tx: Tx, prefix: str, day: int) -> None:
    """Count an SMS whose code was entered."""
    tx.run(_sql.count_confirmed, prefix=prefix, day=day)


def texts_of_prefix(tx: Tx, prefix: str, *, since_day: int, day: int) -> tuple[int, int]:
    """Number of SMS to the prefix from one day to another, and number of codes from them that were entered."""
    texts = tx.row(_sql.texts_of_prefix, _Texts, prefix=prefix, since_day=since_day, day=day)
    return (texts.sent, texts.confirmed) if texts else (0, 0)


def closed_prefixes(tx: Tx, *, since_day: int, day: int, least_sent: int, confirmed_part: int) -> int:
    """Number of prefixes with `least_sent` SMS or more in these days, fewer than one in `confirmed_part` of them confirmed."""
    parameters = {"since_day": since_day, "day": day, "least_sent": least_sent, "confirmed_part": confirmed_part}
    return int(tx.value(_sql.closed_prefixes, **parameters))


def delete_texts_outside(tx: Tx, *, since_day: int, day: int, at_most: int) -> int:
    """Delete up to `at_most` SMS counts of other days; returns how many."""
    return tx.run(_sql.delete_texts_outside, ANY, since_day=since_day, day=day, at_most=at_most)


def page(tx: Tx, after: str, now: int, *, count: int) -> Page:
    """The next `count` bursts after a key, '' for the first ones."""
    return tx.row(_sql.page, Page, after=after, now=now, count=count) or Page(None, 0)


def delete_full(tx: Tx, after: str, last: str, now: int) -> int:
    """Delete the bursts of a page that are full again; returns how many."""
    return tx.run(_sql.delete_full, ANY, after=after, last=last, now=now)


def clear(tx: Tx, keys: Iterable[str]) -> int:
    """Fill these bursts again; returns how many were not full."""
    return tx.run(_sql.delete_keys, ANY, keys=msgspec.json.encode(list(keys)).decode("ascii"))
