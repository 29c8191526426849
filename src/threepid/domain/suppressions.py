"""Email addresses that get no mails, because mails come back from them or their owners reported one as spam.

docs/decisions/0066-bounces-and-complaints.md
"""

from enum import StrEnum
from typing import Final

from threepid.clock import DAY, SKEW
from threepid.domain.addresses import Email, InvalidAddress, parse_email
from threepid.domain.context import Context
from threepid.i18n import Text
from threepid.storage import suppressions
from threepid.storage.engine.database import Tx
from threepid.storage.suppressions import Suppression

__all__ = ["CODES_AGAIN", "Kind", "Suppression", "Suppressions", "counts", "delete_old", "find", "holds_back", "lift"]

CODES_AGAIN: Final = DAY
"""Milliseconds after the latest report until a code that somebody asks for is sent again."""
_PAGE: Final = 500
_UNKNOWN: Final = Text("No report is recorded for this address.")


class Kind(StrEnum):
    """Why an address gets no mails."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"


def find(tx: Tx, context: Context, address: str) -> Suppression | None:
    """Why the email address, in any spelling, gets no mails. None if it gets them, or if the server reads no reports."""
    if context.config.email is None or not context.config.email.bounce_address:
        return None
    try:
        return suppressions.get(tx, parse_email(address).canonical)
    except InvalidAddress:
        return None


def holds_back(tx: Tx, context: Context, address: str, *, is_code: bool, now: int) -> bool:
    """Must this message to the email address not be sent? Codes are sent again a day after the latest report."""
    found = find(tx, context, address)
    if found is None or not is_code:
        return found is not None
    # A report from a clock that was ahead must not hold codes back for longer.
    return found.latest_at - SKEW <= now < found.latest_at + CODES_AGAIN


def lift(tx: Tx, medium: str, canonical: str) -> None:
    """Send mails again, because somebody typed a code or opened a link that only the address got."""
    if medium == Email.medium:
        suppressions.delete(tx, canonical)


def delete_old(tx: Tx, context: Context, now: int, *, at_most: int) -> int:
    """Delete up to `at_most` records that are older than `retention.suppressions_days`; returns how many."""
    return suppressions.delete_before(tx, now - context.config.retention.suppressions_days * DAY, at_most=at_most)


async def counts(context: Context) -> dict[str, int]:
    """Number of addresses of each kind."""
    found = await context.database.read_aside(suppressions.counts)
    return {kind.value: found.get(kind, 0) for kind in Kind}


class Suppressions:
    """The addresses as operators see them."""

    def __init__(self, context: Context) -> None:
        """Work on the database of `context`."""
        self._context = context

    async def find(self, address: str) -> Suppression | None:
        """Why the address gets no mails; None if it gets them."""
        return await self._context.database.read(lambda tx: find(tx, self._context, address))

    async def all(self) -> list[Suppression]:
        """All records, in the order of their addresses."""
        found: list[Suppression] = []
        while True:
            page = await self._page(found[-1].canonical if found else "")
            found += page
            if len(page) < _PAGE:
                return found

    async def _page(self, after: str) -> list[Suppression]:
        return await self._context.database.read_aside(lambda tx: suppressions.listed(tx, after=after, count=_PAGE))
