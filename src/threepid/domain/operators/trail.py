"""The audit log for operators: entries and sums, a page at a time."""

from collections.abc import AsyncIterator
from typing import Final

import msgspec
from msgspec import Struct

from threepid.clock import MINUTE
from threepid.domain.context import Context
from threepid.i18n import Text
from threepid.spec.errors import InvalidParam, NotFound
from threepid.storage import audit
from threepid.storage.audit import Which
from threepid.storage.engine.database import Tx

__all__ = ["ALWAYS", "EntryView", "SumView", "Trail", "Which"]

ALWAYS: Final = audit.NEVER
"""A time after all entries of the log."""
_PAGE: Final = 500


class EntryView(Struct, frozen=True, omit_defaults=True):
    """An entry of the audit log. `at` is in milliseconds since the Unix epoch."""

    id: str
    at: int
    event: str
    user_id: str
    """'' for an entry about no account."""
    caller_kind: str
    caller: str
    origin: msgspec.Raw
    details: msgspec.Raw


class SumView(Struct, frozen=True):
    """The number of events of a kind from a network in the minute that begins at `at`; '' stands for many networks."""

    at: int
    event: str
    network: str
    count: int


class Trail:
    """Reads the audit log."""

    def __init__(self, context: Context) -> None:
        """Read the log in the database of `context`."""
        self._context = context

    async def page(self, which: Which, *, after: str | None, count: int) -> list[EntryView]:
        """The next `count` entries after the one with the ID `after`, or from the first one on, oldest first.

        Raises NotFound and InvalidParam.
        """
        _check_period(which.since, which.until)

        def step(tx: Tx) -> list[audit.Entry]:
            return audit.oldest(tx, which, after=_place(tx, which, after), count=count)

        return [_shown(entry) for entry in await self._context.database.read_aside(step)]

    async def recent(self, which: Which, *, before: str | None, count: int) -> list[EntryView]:
        """The `count` entries before the one with the ID `before`, or the newest ones, newest first.

        Raises NotFound and InvalidParam.
        """
        _check_period(which.since, which.until)

        def step(tx: Tx) -> list[audit.Entry]:
            return audit.recent(tx, which, before=_place(tx, which, before), count=count)

        return [_shown(entry) for entry in await self._context.database.read_aside(step)]

    async def sums(
        self, *, after: SumView | None = None, since: int, until: int = ALWAYS, event: str = "", count: int = _PAGE
    ) -> list[SumView]:
        """The next `count` sums after the sum `after`, or from the minute of `since` on, that begin before `until`.

        `event` leaves out the sums of other events, '' = none. Raises InvalidParam.
        """
        _check_period(since, until)
        known = None if after is None else audit.Sum(after.at // MINUTE, after.event, after.network, after.count)
        found = await self._context.database.read_aside(
            lambda tx: audit.sums(
                tx, after=known, since=since // MINUTE, until=-(-until // MINUTE), kind=event, count=count
            )
        )
        return [SumView(one.minute * MINUTE, one.kind, one.network, one.count) for one in found]

    async def export(self, which: Which) -> AsyncIterator[bytes]:
        """The entries, and then the sums unless it is about one account, each as a line of JSON, oldest first."""
        last = None
        while page := await self.page(which, after=last, count=_PAGE):
            for entry in page:
                yield msgspec.json.encode(entry)
            last = page[-1].id
        if which.user_id:
            return
        total = None
        while totals := await self.sums(after=total, since=which.since, until=which.until, event=which.kind):
            for total in totals:
                yield msgspec.json.encode(total)


def _check_period(since: int, until: int) -> None:
    """Raise InvalidParam for a period that has no moment."""
    if until <= since:
        raise InvalidParam(Text("The period must end after it begins."))


def _place(tx: Tx, which: Which, entry_id: str | None) -> audit.Entry | None:
    """The entry at which a page begins; None for the beginning. Raises NotFound."""
    if entry_id is None:
        return None
    entry = audit.get(tx, entry_id)
    if entry is None or which.user_id not in ("", entry.user_id):
        raise NotFound(Text("The audit log has no such entry."))
    return entry


def _shown(entry: audit.Entry) -> EntryView:
    return EntryView(
        id=entry.entry_id,
        at=entry.at,
        event=entry.kind,
        user_id=entry.user_id,
        caller_kind=entry.caller_kind,
        caller=entry.caller,
        origin=msgspec.Raw(entry.origin.encode()),
        details=msgspec.Raw(entry.details.encode()),
    )
