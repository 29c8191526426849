"""Takes messages out of the outbox and delivers them: the same worker for the server, a process of its own, and tests."""

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from threepid.clock import DAY, MINUTE, SECOND, Clock
from threepid.delivery.errors import DeliveryError
from threepid.domain.addresses import mask
from threepid.storage import outbox
from threepid.storage.database import Database, StorageError, Tx
from threepid.storage.outbox import Order

_log = structlog.get_logger()

RETRY_AFTER: Final = (5 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE)
"""Pauses between tries; the last one repeats until the message expires."""
DELIVERY: Final = 5 * MINUTE
"""How long one try may last, over all relays or gateways."""
LEASE: Final = DELIVERY + MINUTE
"""How long a message belongs to the worker that took it: longer than its try, and the note of its result, may last."""
AT_ONCE: Final = 8
"""Deliveries that are under way at the same time."""
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
"""Pauses before the result of a delivery is noted again when the database could not take it."""


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
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        """Deliver with the sender of an order's channel; where there is none it waits until it expires."""
        self.senders = dict(senders)
        """How orders leave, by their channel."""
        self._database = database
        self._clock = clock
        self._stop_seconds = stop_seconds
        self._woken = asyncio.Event()
        self._beginning = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()
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
                await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)
            self._woken.clear()
        await self._finish()

    async def run_once(self) -> int:
        """Deliver everything that is due now; returns how many messages were tried. Raises StorageError."""
        tried = 0
        while True:
            tried += await self._begin()
            if not self._under_way:
                return tried
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    async def _begin(self) -> int:
        """Begin as many deliveries as there is room for; returns how many."""
        # What is being claimed for another caller is under way for this one, and fills the room.
        async with self._beginning:
            room = AT_ONCE - len(self._under_way)
            orders = await self._claim(room) if room else []
            for order in orders:
                task = asyncio.create_task(self._deliver(order))
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
        for task in late:  # they come back when their lease ends
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _claim(self, count: int) -> list[Order]:
        now = self._clock.now()
        if not await self._database.read(lambda tx: outbox.has_due(tx, now)):
            return []

        def step(tx: Tx) -> tuple[int, list[Order]]:
            outbox.delete_done(tx, now - KEPT)
            return outbox.drop_expired(tx, now), outbox.claim(tx, now=now, lease=LEASE, count=count)

        dropped, orders = await self._database.write_aside(step)
        if dropped:
            self.dropped += dropped
            _log.warning("messages_expired", count=dropped)
        return orders

    async def _deliver(self, order: Order) -> None:
        try:
            # A try that lasts longer than the message would deliver it too late.
            async with asyncio.timeout(min(DELIVERY, order.expires_at - self._clock.now()) / SECOND):
                await self._send(order)
        except DeliveryError as error:
            await self._note_failure(order, error)
        except TimeoutError:
            await self._note_failure(order, DeliveryError("timeout", retry=True))
        except Exception as error:  # noqa: BLE001 - a broken template or message must not stop the others
            # Its text may hold what the message holds; where it happened does not.
            where = traceback.extract_tb(error.__traceback__)[-1]
            cause = f"{type(error).__name__} in {where.name}, line {where.lineno}"
            await self._note_failure(order, DeliveryError(cause, retry=True))
        else:
            await self._note_sent(order)

    async def _send(self, order: Order) -> None:
        sender = self.senders.get(order.channel)
        if sender is None:
            raise DeliveryError(f"there is no transport for {order.channel}", retry=True)
        await sender(order)

    async def _note_sent(self, order: Order) -> None:
        now = self._clock.now()
        self.sent += 1
        _log.info("message_sent", **_described(order))
        await self._note(order, lambda tx: outbox.sent(tx, order.id, now))

    async def _note_failure(self, order: Order, error: DeliveryError) -> None:
        now = self._clock.now()
        cause = str(error)
        if not error.retry:
            self.failed += 1
            _log.warning("message_failed", cause=cause, **_described(order))
            await self._note(order, lambda tx: outbox.failed(tx, order, now=now, last_error=cause))
            return
        self.retried += 1
        pause = max(error.after, RETRY_AFTER[min(order.attempts, len(RETRY_AFTER)) - 1])
        _log.warning("message_delayed", cause=cause, seconds=pause // SECOND, **_described(order))
        await self._note(order, lambda tx: outbox.retry_later(tx, order, due_at=now + pause, last_error=cause))

    async def _note(self, order: Order, step: Callable[[Tx], bool]) -> None:
        """Write the result down; repeating it does no harm, and losing it would send a mail twice."""
        for pause in (*NOTE_AGAIN_SECONDS, None):
            try:
                await self._database.write(step)
            except StorageError as error:
                _log.warning("result_not_noted", cause=type(error).__name__, again=pause is not None, order=order.id)
                if pause is not None:
                    await asyncio.sleep(pause)
            else:
                return


def _described(order: Order) -> dict[str, str | int]:
    return {"order": order.id, "message": order.template, "to": mask(order.recipient), "attempt": order.attempts}
