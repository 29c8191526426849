"""Counts what strangers can cause without end, for the audit log: by minute, kind and network, and not one entry for each."""

from collections import Counter
from enum import StrEnum
from typing import Final

from threepid.clock import MINUTE
from threepid.domain.context import Context
from threepid.domain.networks import network_of
from threepid.storage import audit
from threepid.storage.engine.database import StorageError, Tx

MOST_NAMED: Final = 500
"""Maximum number of sums that a process names the network of in a minute; further networks count together, as ''."""


class Kind(StrEnum):
    """What is counted."""

    LOGIN_FAILED = "login_failed"
    LIMIT_EXCEEDED = "limit_exceeded"
    OPERATOR_TOKEN_REJECTED = "operator_token_rejected"  # noqa: S105 - the name of an event


class Sums:
    """The counts of one process, until `write` adds them to those in the database."""

    def __init__(self, context: Context) -> None:
        """Begin with nothing counted."""
        self._context = context
        self._counts: Counter[tuple[int, str, str]] = Counter()

    def count(self, kind: Kind, client: str) -> None:
        """Count an event that a caller at the IP address `client` has caused. Writes nothing yet."""
        minute = self._context.clock.now() // MINUTE
        key = (minute, kind.value, network_of(client))
        if key not in self._counts and len(self._counts) >= MOST_NAMED:
            key = (minute, kind.value, "")
        self._counts[key] += 1

    async def write(self) -> None:
        """Add the counts to the database. Raises StorageError; then they are kept for the next time."""
        if not self._counts:
            return
        counts, self._counts = self._counts, Counter()

        def step(tx: Tx) -> None:
            # Sorted, so that two processes lock rows in the same order and do not deadlock.
            for (minute, kind, network), count in sorted(counts.items()):
                audit.add_to_sum(tx, audit.Sum(minute, kind, network, count))

        try:
            await self._context.database.write_aside(step)
        except StorageError:
            self._counts += counts
            raise
