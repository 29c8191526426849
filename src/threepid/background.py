"""The background work of a server: delivery, reports about mails, housekeeping, metrics, and pepper rotation."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from threepid import telemetry
from threepid.clock import DAY, SECOND, SKEW, ticks
from threepid.delivery.maildir import Maildir
from threepid.delivery.worker import Worker
from threepid.domain import audit, suppressions
from threepid.domain.accounts.devices import ENDED_KEPT, forget_sealed_pairs
from threepid.domain.accounts.provisioning import Provisioning
from threepid.domain.authentication import web_sessions
from threepid.domain.authentication.uia import IDLE
from threepid.domain.context import Context
from threepid.domain.identity.invites import INVITES_KEPT
from threepid.domain.limits import closed_prefixes
from threepid.domain.oauth import clients, consent
from threepid.domain.operators import console
from threepid.domain.services import Services
from threepid.domain.validation.lifetimes import KEPT_AFTER_EXPIRY
from threepid.meter import Durations, Meters
from threepid.storage import associations, device_tokens, invites, limits, outbox, tallies, uia, validations
from threepid.storage.engine.database import StorageError, Tx

_log = structlog.get_logger()

HOUSEKEEPING_SECONDS: Final = 60.0
COUNTING_SECONDS: Final = 1.0
MAILDIR_SECONDS: Final = 10.0
BATCH: Final = 500
"""Maximum number of rows deleted in one transaction where callers can make many, so that other writes wait only briefly."""

LAG_SECONDS: Final = 0.25
"""Pause between two measurements of the event loop's lag."""


class Background:
    """The background work of one server process."""

    def __init__(self, services: Services, worker: Worker, meters: Meters) -> None:
        """Prepare the work, which `start` begins. `meters` count the requests."""
        self._services = services
        self._worker = worker
        self._meters = meters
        self._lag = Durations()
        self._counts = telemetry.Counts()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin the work."""
        work = [
            self._worker.run(self._stop),
            every(HOUSEKEEPING_SECONDS, self._keep_house, self._stop),
            every(COUNTING_SECONDS, self._count, self._stop),
            self._measure_lag(),
        ]
        if self._services.homeserver is not None:
            work.append(self._catch_up(self._services.homeserver.provisioning))
        email = self._services.context.config.email
        if email is not None and email.bounce_maildir:
            maildir = Maildir(Path(email.bounce_maildir), self._services.bounces)
            work.append(every(MAILDIR_SECONDS, maildir.run_once, self._stop))
        if self._services.identity is not None:
            work.append(self._services.identity.lookup.run(self._stop))
        self._tasks = [asyncio.create_task(one) for one in work]

    async def stop(self) -> None:
        """Finish the running work."""
        self._stop.set()
        self._worker.wake()
        await asyncio.gather(*self._tasks)

    async def _catch_up(self, provisioning: Provisioning) -> None:
        """Tell a homeserver beside us of the accounts that were here first. A failure is logged; the next start goes on."""
        try:
            if count := await provisioning.catch_up():
                _log.info("accounts_ordered_for_homeserver", count=count)
        except StorageError as error:
            _log.warning("accounts_not_ordered_for_homeserver", cause=type(error).__name__)

    async def _keep_house(self) -> None:
        context = self._services.context
        await run_once(context)
        telemetry.sms_prefixes_closed.set(await closed_prefixes(context))
        for kind, count in (await suppressions.counts(context)).items():
            telemetry.suppressed_addresses.labels(kind).set(count)

    async def _count(self) -> None:
        """Copy counters into the metrics, which storage and delivery do not import; store last-seen data, erase sealed pairs."""
        database = self._services.context.database
        counts = self._counts
        counts.carry(telemetry.database_writes, database.writes)
        counts.carry(telemetry.database_commits, database.commits)
        tally = self._worker.tally
        for counter, totals in (
            (telemetry.messages_sent, tally.sent),
            (telemetry.messages_failed, tally.failed),
            (telemetry.relay_failures, tally.failures),
        ):
            for labels, total in totals.items():
                counts.carry(counter, total, *labels)
        self._carry_requests()
        counts.carry_durations(telemetry.database_seconds, database.read_times, "read")
        counts.carry_durations(telemetry.database_seconds, database.write_times, "write")
        counts.carry_durations(telemetry.event_loop_lag_seconds, self._lag)
        homeserver = self._services.homeserver
        if homeserver is not None:
            counts.carry_durations(telemetry.password_wait_seconds, homeserver.passwords.turns.waits)
            for (by, outcome), total in homeserver.logins.outcomes.items():
                counts.carry(telemetry.logins, total, by, outcome)
        try:
            telemetry.messages_waiting.set(await database.read(outbox.depth))
            oldest = await database.read(outbox.oldest)
            age = 0 if oldest is None else max(0, self._services.context.clock.now() - oldest)
            telemetry.oldest_message_seconds.set(age / SECOND)
            await self._services.sums.write()
            if self._services.homeserver is not None:
                await self._services.homeserver.last_seen.write()
                await forget_sealed_pairs(self._services.context)
        except StorageError as error:
            _log.warning("not_counted", cause=type(error).__name__)

    def _carry_requests(self) -> None:
        counts, meters = self._counts, self._meters
        for name, meter in meters.of.items():
            total = sum(meter.durations.counts)
            if total:
                counts.carry(telemetry.requests, total, name)
                counts.carry(telemetry.failed_requests, meter.failures, name)
                counts.carry_durations(telemetry.request_seconds, meter.durations, name)
        for labels, total in meters.refusals.items():
            counts.carry(telemetry.refused_requests, total, *labels)
        for limit, total in meters.limits.items():
            counts.carry(telemetry.limits_exceeded, total, limit)

    async def _measure_lag(self) -> None:
        """Measure how late the event loop is, until the server stops."""
        while not self._stop.is_set():
            planned = ticks() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self._lag.note(max(0.0, ticks() - planned))


async def every(seconds: float, work: Callable[[], Awaitable[object]], stop: asyncio.Event) -> None:
    """Do `work` now and every `seconds` until `stop` is set. A failed round is logged, and the next round repeats it."""
    while not stop.is_set():
        try:
            await work()
        except Exception:  # noqa: BLE001 - the server continues after any error
            _log.exception("background_work_failed", work=getattr(work, "__name__", ""))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)


async def run_once(context: Context) -> int:
    """Delete expired rows, each kind in short transactions of its own; returns how many.

    docs/guides/retention.md says what is kept, and how long.
    """
    now = context.clock.now()
    kept = context.config.retention
    ended_before = now - ENDED_KEPT
    await forget_sealed_pairs(context)
    kinds: tuple[Callable[[Tx], int], ...] = (
        lambda tx: device_tokens.end_expired(tx, now, ended_before=ended_before, at_most=BATCH),
        lambda tx: audit.delete_old(tx, context, now, at_most=BATCH),
        lambda tx: web_sessions.delete_expired(tx, now, at_most=BATCH),
        lambda tx: console.delete_expired(tx, now, at_most=BATCH),
        lambda tx: consent.delete_expired(tx, now, at_most=BATCH),
        lambda tx: clients.delete_unused(tx, now, at_most=BATCH),
        lambda tx: uia.delete_expired(tx, now=now, limit=BATCH),
        lambda tx: uia.delete_idle(tx, idle_since=now - IDLE, limit=BATCH),
        lambda tx: validations.delete_before(tx, now - KEPT_AFTER_EXPIRY, limit=BATCH),
        lambda tx: device_tokens.delete_expired(tx, now, ended_before=ended_before, at_most=BATCH),
        lambda tx: associations.delete_expired_tokens(tx, now, at_most=BATCH),
        lambda tx: limits.delete_texts_outside(tx, since_day=now // DAY - 1, day=(now + SKEW) // DAY, at_most=BATCH),
        lambda tx: tallies.delete_outside(tx, since_day=now // DAY, day=(now + SKEW) // DAY, at_most=BATCH),
        lambda tx: invites.delete_before(tx, now - INVITES_KEPT, at_most=BATCH),
        lambda tx: outbox.delete_done(tx, now - kept.messages_days * DAY, at_most=BATCH),
        lambda tx: suppressions.delete_old(tx, context, now, at_most=BATCH),
    )
    count = 0
    for forget in kinds:
        while forgotten := await context.database.write_aside(forget):
            count += forgotten
            if forgotten < BATCH:
                break
    return count + await _forget_full_limits(context, now)


async def _forget_full_limits(context: Context, now: int) -> int:
    """Delete the limits of which nothing is used any more, page by page; returns how many."""
    count, after = 0, ""
    while True:
        page = await context.database.read_aside(partial(limits.page, after=after, now=now, count=BATCH))
        if page.last is None:
            return count
        if page.full_again:
            forget = partial(limits.delete_full, after=after, last=page.last, now=now)
            count += await context.database.write_aside(forget)
        after = page.last
