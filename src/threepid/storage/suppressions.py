"""Email addresses that get no mails, because mails come back from them or their owners reported one as spam."""

from msgspec import Struct

from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("suppressions")


class Suppression(Struct, frozen=True):
    """The record of an address; times in milliseconds."""

    canonical: str
    kind: str
    """`bounce` or `complaint`."""
    status: str
    """The status code of the latest report, or its feedback type."""
    message_id: str
    """The job of the outbox that the latest report is about; it may be deleted by now."""
    first_at: int
    latest_at: int

    def __repr__(self) -> str:
        """Leave out the address, because it must not get into a log."""
        return f"Suppression({self.kind!r}, {self.status!r})"


class _Count(Struct, frozen=True):
    kind: str
    count: int


def record(tx: Tx, *, canonical: str, kind: str, status: str, message_id: str, now: int) -> None:
    """Record a report about a mail to an address."""
    tx.run(_sql.record, canonical=canonical, kind=kind, status=status, message_id=message_id, now=now)


def get(tx: Tx, canonical: str) -> Suppression | None:
    """The record of an address, or None."""
    return tx.row(_sql.get, Suppression, canonical=canonical)


def listed(tx: Tx, *, after: str, count: int) -> list[Suppression]:
    """The next `count` records after the address `after`, in the order of their addresses."""
    return tx.rows(_sql.listed, Suppression, after=after, count=count)


def delete(tx: Tx, canonical: str) -> bool:
    """Delete the record of an address; False if there is none."""
    return tx.run(_sql.delete, AT_MOST_ONE, canonical=canonical) == 1


def delete_before(tx: Tx, then: int, *, at_most: int) -> int:
    """Delete up to `at_most` records whose latest report is from before `then`; returns how many."""
    return tx.run(_sql.delete_before, ANY, before=then, at_most=at_most)


def counts(tx: Tx) -> dict[str, int]:
    """Number of addresses by kind."""
    return {row.kind: row.count for row in tx.rows(_sql.counts, _Count)}
