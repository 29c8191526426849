"""Leases: a worker owns the messages that it claimed as long as it lives, and releases those of dead workers.

A lease does not expire by a clock, because clocks may be wrong: other workers watch whether it is renewed. A worker that cannot
write to the database does not watch either, so an outage of the database makes no worker look dead.
"""

from collections.abc import Set as AbstractSet
from typing import Final

import structlog

from threepid.clock import Clock
from threepid.delivery.presence import Presence
from threepid.storage import outbox
from threepid.storage.engine.database import Database, Tx
from threepid.storage.outbox import Holder

_log = structlog.get_logger()

RENEW_SECONDS: Final = 15.0
"""Seconds between a worker's renewals of its leases."""
LOOK_SECONDS: Final = 3.0
"""Seconds between a worker's checks for dead workers."""
LOOKS: Final = 15
"""Number of checks in a row without a renewal after which a worker counts as dead: 45 seconds."""


class Leases:
    """The leases of this worker and of the others."""

    def __init__(self, database: Database, clock: Clock, presence: Presence) -> None:
        """`presence` is this worker's identity, and finds dead workers on this machine."""
        self._database = database
        self._clock = clock
        self._presence = presence
        self._renewed = float("-inf")
        self._silent: dict[str, tuple[int, int]] = {}
        """Other workers: the time of their latest renewal, and the number of checks that found it unchanged."""

    @property
    def worker(self) -> str:
        """The name under which this worker holds leases."""
        return self._presence.name

    def begin(self) -> None:
        """Show other workers from now on that this worker is alive."""
        try:
            self._presence.begin()
        except OSError as error:
            _log.warning("worker_not_locked", cause=type(error).__name__)

    def end(self) -> None:
        """Show other workers that this worker has stopped."""
        self._presence.end()

    async def look(self, in_hand: AbstractSet[str]) -> int:
        """Renew the leases if it is time, and release the messages of dead workers; returns the number released.

        Renewing also releases this worker's leases on messages that are not `in_hand`, so it must not claim any meanwhile.
        Raises StorageError; then this does not count as a check.
        """
        dead = set(self._presence.dead())
        holders = await self._database.read(outbox.held)
        if self._database.engine == "sqlite":
            # All workers with an SQLite file run on this machine, so those of an earlier boot are dead.
            dead |= {one.worker for one in holders if self._presence.is_of_earlier_boot(one.worker)}
        if not dead and not holders:
            self._silent.clear()
            return 0
        time = self._clock.monotonic()
        renewing = time - self._renewed >= RENEW_SECONDS
        silent = {name: seen for name, (seen, looks) in self._silent.items() if looks >= LOOKS}
        now = self._clock.now()

        def step(tx: Tx) -> tuple[int, list[Holder]]:
            freed = sum(outbox.let_go(tx, name, now=now) for name in dead)
            freed += sum(outbox.let_go(tx, name, seen=seen, now=now) for name, seen in silent.items())
            if renewing:
                lost = set(outbox.held_by(tx, self.worker)) - in_hand
                freed += sum(outbox.let_one_go(tx, job_id, self.worker, now) for job_id in lost)
                outbox.renew(tx, self.worker, now)
            return freed, outbox.held(tx)

        freed, holders = await self._database.write_aside(step)
        if renewing:
            self._renewed = time
        for name in dead:
            self._presence.forget(name)
        self._count(holders)
        if freed:
            _log.warning("messages_of_dead_workers", count=freed)
        return freed

    def _count(self, holders: list[Holder]) -> None:
        known, self._silent = self._silent, {}
        for one in holders:
            if one.worker != self.worker:
                seen, looks = known.get(one.worker, (0, 0))
                self._silent[one.worker] = (one.renewed_at, looks + 1 if seen == one.renewed_at else 0)
