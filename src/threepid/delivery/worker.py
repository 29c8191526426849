"""Claims messages from the outbox and delivers them. The server and the tests use the same worker."""

import asyncio
import contextlib
import itertools
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
import structlog

from threepid.clock import MINUTE, SECOND, Clock, Entropy
from threepid.delivery.attempt import Attempt
from threepid.delivery.doubt import error_to_keep
from threepid.delivery.errors import DeliveryError
from threepid.delivery.job import MESSAGES, JobType
from threepid.delivery.leases import LOOK_SECONDS, Leases
from threepid.delivery.outcome import Cause, Receipt
from threepid.delivery.own_time import OwnTime
from threepid.delivery.presence import Presence
from threepid.delivery.tally import Tally
from threepid.delivery.traffic import Traffic
from threepid.domain.addresses import mask
from threepid.storage import outbox
from threepid.storage.engine.database import Database, StorageError, Tx
from threepid.storage.outbox import ClaimedJob
from threepid.tracing import request_id, span

_log = structlog.get_logger()

DELIVERY: Final = 5 * MINUTE
"""Maximum time, in milliseconds, to hand a message over in one attempt, over all relays or gateways, without their answers."""
REST: Final = 200
"""The worker pauses this many times as long as the event loop just delayed it. This is negligible on an idle server. On a busy
one, requests go first: a mail costs as much CPU time as several answers, and no caller waits for it."""
_TURN_SECONDS: Final = 0.000_1
"""Delay of the event loop that is no load: the worker's own sockets and commits cost a turn that much."""
REST_SECONDS: Final = 0.25
"""Maximum pause in seconds: a server under constant load still sends thirty messages a second."""
POLL_SECONDS: Final = 1.0
"""Maximum number of seconds until the worker notices a message from another process."""
STOP_SECONDS: Final = 10.0
"""Seconds that a stopping worker waits for deliveries in progress."""
NOTE_AGAIN_SECONDS: Final = (0.2, 1.0, 5.0)
"""Pauses, in seconds, between attempts to store a result while the database is unavailable; the last one repeats."""
CLOCK_SECONDS: Final = 15.0
"""Seconds between checks for messages that a clock ahead of time has postponed."""
_CANDIDATES: Final = 32
"""Number of queued messages read in one query."""


class Worker:
    """Delivers due messages. A slow or broken message does not delay others."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        job_types: Iterable[JobType],
        *,
        unseal: Callable[[str], str] | None = None,
        presence: Presence | None = None,
        stop_seconds: float = STOP_SECONDS,
        note_again_seconds: Sequence[float] = NOTE_AGAIN_SECONDS,
        woken: asyncio.Event | None = None,
    ) -> None:
        """Deliver jobs of `job_types`; a job on any other channel waits until it expires.

        `unseal` decrypts the parameters of a message, and raises ValueError if it cannot. `presence` is this worker's identity.
        Setting `woken` makes the worker check the outbox at once.
        """
        self._types = {type_.channel: type_ for type_ in job_types}
        self._database = database
        self._clock = clock
        self._unseal = unseal or str
        self._leases = Leases(database, clock, presence or Presence(None, Entropy()))
        self._traffic = Traffic(clock, self._types)
        self._own_time = OwnTime(clock.used)
        self._stop_seconds = stop_seconds
        self._note_again_seconds = note_again_seconds
        self._woken = woken or asyncio.Event()
        self._beginning = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()
        self._clock_looked_at = float("-inf")
        self._clock_said = 0
        self.tally = Tally()
        """The same totals in the detail of the metrics."""
        self.sent = 0
        """Messages delivered so far."""
        self.failed = 0
        """Messages given up so far because they were rejected for good, or may have been sent."""
        self.retried = 0
        """Attempts so far after which a retry was scheduled."""
        self.dropped = 0
        """Messages given up so far because they expired."""

    def wake(self) -> None:
        """Check the outbox at once, because a message was put into it."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set (call `wake` then, too), and finish the deliveries in progress."""
        self._leases.begin()
        looking = asyncio.create_task(self._look(stop))
        while not stop.is_set():
            # The worker must not yield to its own work: none begins meanwhile, and that in progress does not count.
            busy = await self._own_time.busy_with_others()
            try:
                await self._begin()
            except StorageError as error:
                _log.warning("outbox_unreachable", cause=type(error).__name__)
            await asyncio.sleep(min(REST_SECONDS, REST * max(0.0, busy - _TURN_SECONDS)))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._traffic.seconds_until_room(POLL_SECONDS))
            self._woken.clear()
        await self._finish()
        await self._close()
        await looking
        self._leases.end()

    async def run_once(self) -> int:
        """Deliver everything that is due now; returns the number of messages attempted. Raises StorageError."""
        tried = 0
        while True:
            # A delivery that ends while others are being claimed makes room that this claim did not see.
            was_idle = not self._under_way
            begun = await self._begin()
            tried += begun
            if self._under_way:
                seconds = self._traffic.seconds_until_room(POLL_SECONDS)
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED, timeout=seconds)
            elif was_idle and not begun:
                await self._close()
                return tried

    async def _look(self, stop: asyncio.Event) -> None:
        """Renew the leases, and release those of dead workers, until `stop` is set."""
        while not stop.is_set():
            try:
                # Under the lock of `_begin`: a message that is being claimed is not yet in `ids`, and would be released.
                async with self._beginning:
                    freed = await self._leases.look(self._traffic.ids)
                if freed:
                    self._woken.set()
            except StorageError as error:
                _log.warning("leases_not_renewed", cause=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)

    async def _begin(self) -> int:
        """Begin as many deliveries as there is room for; returns their number."""
        # The lock keeps concurrent calls from claiming for the same room.
        async with self._beginning:
            room = self._traffic.room()
            jobs = await self._claim(room) if room else []
            for job in jobs:
                attempt = Attempt(job, began=self._clock.monotonic())
                self._traffic.begin(attempt)
                task = asyncio.create_task(self._own_time.watch(self._deliver(attempt)))
                self._under_way.add(task)
                task.add_done_callback(self._end)
        return len(jobs)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._woken.set()  # there is room for another delivery

    async def _finish(self) -> None:
        if not self._under_way:
            return
        _, late = await asyncio.wait(self._under_way, timeout=self._stop_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _close(self) -> None:
        for type_ in self._types.values():
            if type_.close is not None:
                await type_.close()

    async def _claim(self, count: int) -> list[ClaimedJob]:
        now = self._clock.now()
        await self._mend_plans(now)
        pending = await self._database.read(lambda tx: outbox.pending(tx, now))
        if not pending:
            return []
        gaps = self._traffic.gaps()
        worker = self._leases.worker

        def step(tx: Tx) -> tuple[list[str], list[ClaimedJob]]:
            dropped = outbox.drop_expired(tx, now) if pending.expired else []
            if pending.due:
                outbox.line_up(tx, now)
            left, taken = gaps.copy(), list[ClaimedJob]()
            while len(taken) < count:
                found = outbox.in_line(
                    tx,
                    now=now,
                    closed_destinations=left.closed_destinations,
                    closed_callers=left.closed_callers,
                    closed_channels=left.closed_channels,
                    count=_CANDIDATES,
                )
                ids = [one.id for one in itertools.islice(filter(left.take, found), count - len(taken))]
                if not ids:
                    break
                jobs = outbox.claim(tx, ids, worker=worker, now=now)
                taken += sorted(jobs, key=lambda job: ids.index(job.id))
            return dropped, taken

        # A short step shares its commit with the results of other deliveries. One that skips rows may read very many.
        is_short = not (pending.due or pending.expired or gaps.has_closed)
        dropped, jobs = await (self._database.write(step) if is_short else self._database.write_aside(step))
        if dropped:
            self.dropped += len(dropped)
            self.tally.note_expired(dropped)
            _log.warning("messages_expired", count=len(dropped))
        return jobs

    async def _mend_plans(self, now: int) -> None:
        """Reschedule messages that a clock ahead of time postponed: every CLOCK_SECONDS, and when the clock was set back."""
        if self._clock_said <= now < self._clock_looked_at + CLOCK_SECONDS * SECOND:
            self._clock_said = now
            return
        if await self._database.read_aside(lambda tx: outbox.is_planned_wrongly(tx, now)):
            count = await self._database.write_aside(lambda tx: outbox.plan_anew(tx, now))
            _log.warning("clock_was_ahead", messages=count)
        self._clock_looked_at = self._clock_said = now

    async def _deliver(self, attempt: Attempt) -> None:
        job = attempt.job
        # The task has a context of its own: all log lines of the delivery name the request that caused it.
        request_id.set(job.request_id)
        try:
            try:
                outcome = await self._traced(attempt)
            except asyncio.CancelledError:
                # The server stops before the message was handed over: any worker may send it at once.
                await self._let_go(job)
                raise
            # Storing the result must not count towards any limit but that of all deliveries.
            attempt.handed_over = attempt.done = True
            self._woken.set()
            if isinstance(outcome, DeliveryError):
                await self._note_failure(job, outcome)
            elif not self._types[job.channel].ends_itself:
                await self._note_sent(job, outcome)
        finally:
            self._traffic.end(attempt)

    async def _traced(self, attempt: Attempt) -> DeliveryError | Receipt | None:
        job = attempt.job
        with span(f"deliver {job.channel}", message_name=job.template, message_attempt=job.attempts) as running:
            outcome = await self._try(attempt)
            if isinstance(outcome, DeliveryError):
                running.fail(outcome.cause.value)
            return outcome

    async def _try(self, attempt: Attempt) -> DeliveryError | Receipt | None:
        """Attempt the delivery; returns the error, or what took the message."""
        job = attempt.job
        life = job.expires_at - self._clock.now()
        try:
            # A message must not be handed over after it expires.
            async with attempt.limited(DELIVERY / SECOND, life=life / SECOND):
                return await self._send(job)
        except DeliveryError as error:
            return error
        except TimeoutError:
            return DeliveryError("timeout", retry=True, cause=Cause.TIMEOUT)
        except Exception as error:  # noqa: BLE001 - a broken template or message must not stop the others
            # The text of the error may contain parts of the message; its location does not.
            where = traceback.extract_tb(error.__traceback__)[-1]
            return DeliveryError(f"{type(error).__name__} in {where.name}, line {where.lineno}", retry=True)

    async def _send(self, job: ClaimedJob) -> Receipt | None:
        type_ = self._types.get(job.channel)
        if type_ is None:
            raise DeliveryError(f"there is no transport for {job.channel}", retry=True)
        try:
            params = self._unseal(job.params)
        except ValueError:
            raise DeliveryError("was sealed with another vault.secret", retry=False) from None
        return await type_.handler(msgspec.structs.replace(job, params=params))

    async def _note_sent(self, job: ClaimedJob, receipt: Receipt | None) -> None:
        """Store the result before logging it: a failing log must not cause the mail to be sent again."""
        now = self._clock.now()
        self._traffic.rests.end(job.destination)
        await self._note(job, lambda tx: outbox.sent(tx, job.id, now))
        self.sent += 1
        self.tally.note_sent(job, receipt)
        _log.info("message_sent", **_described(job))

    async def _note_failure(self, job: ClaimedJob, error: DeliveryError) -> None:
        now = self._clock.now()
        cause = error_to_keep(job, error)
        self.tally.note_failure(job, error)
        if error.rest is not None:
            self._traffic.rests.begin(job.destination, error.rest)
        if not error.retry:
            await self._note(job, lambda tx: outbox.failed(tx, job, now=now, last_error=cause))
            self.failed += 1
            _log.warning("message_failed", cause=cause, **_described(job))
            return
        backoff = self._types[job.channel].backoff if job.channel in self._types else MESSAGES
        pause = max(error.after, backoff.after(job.attempts))
        await self._note(job, lambda tx: outbox.retry_later(tx, job, now=now, due_at=now + pause, last_error=cause))
        self.retried += 1
        _log.warning("message_delayed", cause=cause, seconds=pause // SECOND, **_described(job))

    async def _note(self, job: ClaimedJob, step: Callable[[Tx], bool]) -> None:
        """Store the result, retrying without end: repeating is harmless, and a lost result would send the mail twice."""
        pauses = self._note_again_seconds
        for pause in itertools.chain(pauses, itertools.repeat(pauses[-1])):
            try:
                await self._database.write(step)
            except StorageError as error:
                _log.warning("result_not_noted", cause=type(error).__name__, order=job.id)
                await asyncio.sleep(pause)
            else:
                return

    async def _let_go(self, job: ClaimedJob) -> None:
        now = self._clock.now()
        with contextlib.suppress(StorageError):
            await self._database.write(lambda tx: outbox.let_one_go(tx, job.id, self._leases.worker, now))


def _described(job: ClaimedJob) -> dict[str, str | int]:
    return {"order": job.id, "message": job.template, "to": mask(job.recipient), "attempt": job.attempts}
