"""What a worker has in hand is its own for as long as it lives: it says so, and lets go what dead workers had.

A lease ends by no clock, which may be wrong: other workers look whether it is renewed. A worker that cannot write to the database
does not look either, so an outage of the database makes nobody look dead.
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
"""How often a worker says that it lives, while it has messages in hand."""
LOOK_SECONDS: Final = 3.0
"""How often a worker looks for dead ones."""
LOOKS: Final = 15
"""How often in a row another worker must have said nothing to be taken for dead: for 45 seconds."""


class Leases:
    """What this worker and others have in hand."""

    def __init__(self, database: Database, clock: Clock, presence: Presence) -> None:
        """Nothing was looked at yet."""
        self._database = database
        self._clock = clock
        self._presence = presence
        self._renewed = float("-inf")
        self._silent: dict[str, tuple[int, int]] = {}
        """Other workers: when they last said that they live, and how often that was the same."""

    @property
    def worker(self) -> str:
        """The name under which this worker has messages in hand."""
        return self._presence.name

    def begin(self) -> None:
        """Be known as alive from now on."""
        try:
            self._presence.begin()
        except OSError as error:
            _log.warning("worker_not_locked", cause=type(error).__name__)

    def end(self) -> None:
        """Be known as gone."""
        self._presence.end()

    async def look(self, in_hand: AbstractSet[str]) -> int:
        """Renew what is `in_hand` if it is time to, and let go what dead workers have; returns how many messages.

        Nothing may be claimed meanwhile. Raises StorageError: then nothing was looked at.
        """
        dead = set(self._presence.dead())
        holders = await self._database.read(outbox.held)
        if self._database.engine == "sqlite":
            # All who use such a file are on one machine: those of an earlier boot died with it.
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
                freed += sum(outbox.let_one_go(tx, order_id, self.worker, now) for order_id in lost)
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
