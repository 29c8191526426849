"""The audit log for operators: all entries and sums, oldest first, a page at a time."""

from collections.abc import AsyncIterator
from typing import Final

import msgspec
from msgspec import Struct

from threepid.clock import MINUTE
from threepid.domain.context import Context
from threepid.i18n import Text
from threepid.spec.errors import NotFound
from threepid.storage import audit
from threepid.storage.engine.database import Tx

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

    async def page(self, *, after: str | None, since: int, until: int, count: int) -> list[EntryView]:
        """The next `count` entries after the one with the ID `after`, or from the time `since` on, and before `until`.

        Raises NotFound.
        """

        def step(tx: Tx) -> list[audit.Entry]:
            known = None if after is None else audit.get(tx, after)
            if after is not None and known is None:
                raise NotFound(Text("The audit log has no such entry."))
            return audit.exported(tx, after=known, since=since, until=until, count=count)

        return [_shown(entry) for entry in await self._context.database.read_aside(step)]

    async def recent(self, *, before: str | None, event: str, user_id: str, count: int) -> list[EntryView]:
        """The newest `count` entries, or those before the one with the ID `before`, newest first. Raises NotFound.

        `event` and `user_id` leave out the entries of other kinds and about other accounts, '' = none.
        """

        def step(tx: Tx) -> list[audit.Entry]:
            known = None if before is None else audit.get(tx, before)
            if before is not None and known is None:
                raise NotFound(Text("The audit log has no such entry."))
            return audit.recent(tx, before=known, kind=event, user_id=user_id, count=count)

        return [_shown(entry) for entry in await self._context.database.read_aside(step)]

    async def sums(
        self, *, after: SumView | None = None, since: int, until: int = ALWAYS, count: int = _PAGE
    ) -> list[SumView]:
        """The next `count` sums after the sum `after`, or from the minute of `since` on, that begin before `until`."""
        known = None if after is None else audit.Sum(after.at // MINUTE, after.event, after.network, after.count)
        found = await self._context.database.read_aside(
            lambda tx: audit.sums(tx, after=known, since=since // MINUTE, until=-(-until // MINUTE), count=count)
        )
        return [SumView(one.minute * MINUTE, one.kind, one.network, one.count) for one in found]

    async def export(self, *, since: int, until: int = ALWAYS) -> AsyncIterator[bytes]:
        """All entries and then all sums from the time `since` on and before `until`, each as a line of JSON."""
        last = None
        while page := await self.page(after=last, since=since, until=until, count=_PAGE):
            for entry in page:
                yield msgspec.json.encode(entry)
            last = page[-1].id
        total = None
        while totals := await self.sums(after=total, since=since, until=until, count=_PAGE):
            for total in totals:
                yield msgspec.json.encode(total)


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
