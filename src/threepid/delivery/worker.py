"""Takes messages out of the outbox and delivers them: the same worker for the server, a process of its own, and tests."""

import asyncio
import contextlib
import itertools
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
import structlog

from threepid.clock import DAY, MINUTE, SECOND, Clock, Entropy
from threepid.delivery.attempt import Attempt
from threepid.delivery.errors import DeliveryError
from threepid.delivery.leases import LOOK_SECONDS, Leases
from threepid.delivery.presence import Presence
from threepid.delivery.traffic import Traffic
from threepid.domain.addresses import mask
from threepid.storage import outbox
from threepid.storage.engine.database import Database, StorageError, Tx
from threepid.storage.outbox import Order

_log = structlog.get_logger()

RETRY_AFTER: Final = (5 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE)
"""Pauses between tries; the last one repeats until the message expires."""
DELIVERY: Final = 5 * MINUTE
"""How long one try may take to hand the message over, over all relays or gateways. Their answers may take longer."""
KEPT: Final = 30 * DAY
"""How long the record of a finished message is kept, without its contents."""
REST: Final = 200
"""A worker rests so many times as long as the event loop kept it waiting before: nothing to speak of on a quiet server, and on
a busy one a mail takes as much of the processor as several answers do, and nobody holds the line for it."""
REST_SECONDS: Final = 0.25
"""How long it rests at most: a server that never gets a pause still sends thirty messages a second."""
POLL_SECONDS: Final = 1.0
"""How soon a message is seen that another process put into the outbox."""
STOP_SECONDS: Final = 10.0
"""How long a stopping worker waits for what is under way."""
NOTE_AGAIN_SECONDS: Final = (0.2, 1.0, 5.0)
"""Pauses before the result of a delivery is noted again when the database could not take it; the last one repeats."""
CLOCK_SECONDS: Final = 15.0
"""How often a worker looks for messages that a clock which was ahead has put off."""
_CANDIDATES: Final = 32
"""Messages of the line that are looked at together."""


Send = Callable[[Order], Awaitable[None]]
"""Brings one order to its recipient. Raises DeliveryError, which decides whether it is tried again."""


class Worker:
    """Delivers what is due. A slow or broken message keeps no other waiting."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        senders: Mapping[str, Send],
        *,
        unseal: Callable[[str], str] | None = None,
        presence: Presence | None = None,
        stop_seconds: float = STOP_SECONDS,
        woken: asyncio.Event | None = None,
    ) -> None:
        """Deliver with the sender of an order's channel; where there is none it waits until it expires.

        `unseal` opens the parameters of a message, and raises ValueError where it cannot. `presence` says who this worker is.
        Whoever sets `woken` makes it look at the outbox at once.
        """
        self.senders = dict(senders)
        """How orders leave, by their channel."""
        self._database = database
        self._clock = clock
        self._unseal = unseal or str
        self._leases = Leases(database, clock, presence or Presence(None, Entropy()))
        self._traffic = Traffic(clock)
        self._stop_seconds = stop_seconds
        self._woken = woken or asyncio.Event()
        self._beginning = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()
        self._clock_looked_at = float("-inf")
        self._clock_said = 0
        self.sent = 0
        """Messages delivered so far."""
        self.failed = 0
        """Messages given up so far because they were refused for good, or perhaps sent."""
        self.retried = 0
        """Tries so far after which another one was planned."""
        self.dropped = 0
        """Messages given up so far because they would have come too late."""

    def wake(self) -> None:
        """Something was put into the outbox: look at once."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set (then call `wake` too); what is under way then is finished."""
        self._leases.begin()
        looking = asyncio.create_task(self._look(stop))
        while not stop.is_set():
            # Before anything is begun: the worker's own work is not what it gives way to.
            asked = self._clock.monotonic()
            await asyncio.sleep(0)
            busy = self._clock.monotonic() - asked
            try:
                await self._begin()
            except StorageError as error:
                _log.warning("outbox_unreachable", cause=type(error).__name__)
            await asyncio.sleep(min(REST_SECONDS, REST * busy))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._traffic.seconds_until_room(POLL_SECONDS))
            self._woken.clear()
        await self._finish()
        await looking
        self._leases.end()

    async def run_once(self) -> int:
        """Deliver everything that is due now; returns how many messages were tried. Raises StorageError."""
        tried = 0
        while True:
            tried += await self._begin()
            if not self._under_way:
                return tried
            seconds = self._traffic.seconds_until_room(POLL_SECONDS)
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED, timeout=seconds)

    async def _look(self, stop: asyncio.Event) -> None:
        """Renew what is in hand, and look for what dead workers had, until `stop` is set."""
        while not stop.is_set():
            try:
                # What is just being claimed is not known as in hand.
                async with self._beginning:
                    freed = await self._leases.look(self._traffic.ids)
                if freed:
                    self._woken.set()
            except StorageError as error:
                _log.warning("leases_not_renewed", cause=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)

    async def _begin(self) -> int:
        """Begin as many deliveries as there is room for; returns how many."""
        # What is being claimed for another caller is under way for this one, and fills the room.
        async with self._beginning:
            room = self._traffic.room()
            orders = await self._claim(room) if room else []
            for order in orders:
                attempt = Attempt(order, began=self._clock.monotonic())
                self._traffic.begin(attempt)
                task = asyncio.create_task(self._deliver(attempt))
                self._under_way.add(task)
                task.add_done_callback(self._end)
        return len(orders)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._woken.set()  # there is room for another one

    async def _finish(self) -> None:
        if not self._under_way:
            return
        _, late = await asyncio.wait(self._under_way, timeout=self._stop_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _claim(self, count: int) -> list[Order]:
        now = self._clock.now()
        await self._mend_plans(now)
        pending = await self._database.read(lambda tx: outbox.pending(tx, now))
        if not pending:
            return []
        gaps = self._traffic.gaps()
        worker = self._leases.worker

        def step(tx: Tx) -> tuple[int, list[Order]]:
            outbox.delete_done(tx, now - KEPT)
            dropped = outbox.drop_expired(tx, now) if pending.expired else 0
            if pending.due:
                outbox.line_up(tx, now)
            left, taken = gaps.copy(), list[Order]()
            while len(taken) < count:
                found = outbox.in_line(
                    tx,
                    now=now,
                    closed_destinations=left.closed_destinations,
                    closed_callers=left.closed_callers,
                    count=_CANDIDATES,
                )
                ids = [one.id for one in itertools.islice(filter(left.take, found), count - len(taken))]
                if not ids:
                    break
                orders = outbox.claim(tx, ids, worker=worker, now=now)
                taken += sorted(orders, key=lambda order: ids.index(order.id))
            return dropped, taken

        dropped, orders = await self._database.write_aside(step)
        if dropped:
            self.dropped += dropped
            _log.warning("messages_expired", count=dropped)
        return orders

    async def _mend_plans(self, now: int) -> None:
        """Put right what a clock that was ahead has put off: now and then, and when the clock was set back."""
        time = self._clock.monotonic()
        if now >= self._clock_said and time - self._clock_looked_at < CLOCK_SECONDS:
            self._clock_said = now
            return
        if await self._database.read_aside(lambda tx: outbox.is_planned_wrongly(tx, now)):
            count = await self._database.write_aside(lambda tx: outbox.plan_anew(tx, now))
            _log.warning("clock_was_ahead", messages=count)
        self._clock_looked_at, self._clock_said = time, now

    async def _deliver(self, attempt: Attempt) -> None:
        order = attempt.order
        try:
            try:
                error = await self._try(attempt)
            except asyncio.CancelledError:
                # The server stops, and nobody has the message: whoever comes next may send it at once.
                await self._let_go(order)
                raise
            attempt.handed_over = True  # what is left to do is no business of the destination
            if error is None:
                await self._note_sent(order)
            else:
                await self._note_failure(order, error)
        finally:
            self._traffic.end(attempt)

    async def _try(self, attempt: Attempt) -> DeliveryError | None:
        """Try to deliver; what went wrong, or None."""
        order = attempt.order
        life = order.expires_at - self._clock.now()
        try:
            # What would be handed over after the end of its life would come too late.
            async with attempt.limited(DELIVERY / SECOND, life=life / SECOND):
                await self._send(order)
        except DeliveryError as error:
            return error
        except TimeoutError:
            return DeliveryError("timeout", retry=True)
        except Exception as error:  # noqa: BLE001 - a broken template or message must not stop the others
            # Its text may hold what the message holds; where it happened does not.
            where = traceback.extract_tb(error.__traceback__)[-1]
            return DeliveryError(f"{type(error).__name__} in {where.name}, line {where.lineno}", retry=True)
        return None

    async def _send(self, order: Order) -> None:
        sender = self.senders.get(order.channel)
        if sender is None:
            raise DeliveryError(f"there is no transport for {order.channel}", retry=True)
        try:
            params = self._unseal(order.params)
        except ValueError:
            raise DeliveryError("was sealed with another vault.secret", retry=False) from None
        await sender(msgspec.structs.replace(order, params=params))

    async def _note_sent(self, order: Order) -> None:
        """Note it first: a mail is not to go out again because its line could not be written into the log."""
        now = self._clock.now()
        self._traffic.rests.end(order.destination)
        await self._note(order, lambda tx: outbox.sent(tx, order.id, now))
        self.sent += 1
        _log.info("message_sent", **_described(order))

    async def _note_failure(self, order: Order, error: DeliveryError) -> None:
        now = self._clock.now()
        cause = str(error)
        if error.rest is not None:
            self._traffic.rests.begin(order.destination, error.rest)
        if not error.retry:
            await self._note(order, lambda tx: outbox.failed(tx, order, now=now, last_error=cause))
            self.failed += 1
            _log.warning("message_failed", cause=cause, **_described(order))
            return
        pause = max(error.after, RETRY_AFTER[min(order.attempts, len(RETRY_AFTER)) - 1])
        await self._note(order, lambda tx: outbox.retry_later(tx, order, now=now, due_at=now + pause, last_error=cause))
        self.retried += 1
        _log.warning("message_delayed", cause=cause, seconds=pause // SECOND, **_described(order))

    async def _note(self, order: Order, step: Callable[[Tx], bool]) -> None:
        """Write the result down; repeating it does no harm, and losing it would send a mail twice."""
        for pause in itertools.chain(NOTE_AGAIN_SECONDS, itertools.repeat(NOTE_AGAIN_SECONDS[-1])):
            try:
                await self._database.write(step)
            except StorageError as error:
                _log.warning("result_not_noted", cause=type(error).__name__, order=order.id)
                await asyncio.sleep(pause)
            else:
                return

    async def _let_go(self, order: Order) -> None:
        now = self._clock.now()
        with contextlib.suppress(StorageError):
            await self._database.write(lambda tx: outbox.let_one_go(tx, order.id, self._leases.worker, now))


def _described(order: Order) -> dict[str, str | int]:
    return {"order": order.id, "message": order.template, "to": mask(order.recipient), "attempt": order.attempts}
