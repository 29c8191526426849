"""The worker: what it delivers, when it tries again, and what it leaves alone."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import structlog

from mail_relay import HANG, Flaky, PostOffice, Relay
from threepid.clock import HOUR, MINUTE
from threepid.config import FileTransport, MailboxTransport
from threepid.delivery.job import MESSAGES, JobType
from threepid.delivery.traffic import AT_ONCE
from threepid.delivery.worker import Worker
from threepid.storage import outbox
from threepid.storage.engine.database import T, Tx
from threepid.storage.outbox import ClaimedJob
from world import HandClock


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.005)


class LoadedClock(HandClock):
    """A clock of a thread that works as long as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.worked = 0.0

    def used(self) -> float:
        return self.worked


def test_the_pauses_grow() -> None:
    assert all(earlier < later for earlier, later in pairwise(MESSAGES.pauses))


def test_run_once_delivers_everything_that_is_due_and_nothing_else(database_url: str) -> None:
    async def run() -> None:
        async with Relay() as relay, PostOffice(database_url, relay.transport()) as office:
            ids = [await office.order(f"bob{number}@example.com") for number in range(3 * AT_ONCE + 1)]
            assert await office.worker.run_once() == len(ids)
            assert await office.worker.run_once() == 0
            assert office.worker.sent == len(ids)
            found = {(mail.recipients[0], mail.message["To"]) for mail in relay.received}
            assert found == {(f"TO:<bob{n}@example.com>", f"bob{n}@example.com") for n in range(len(ids))}
            for order_id in ids:
                assert (await office.row(order_id)).sent_at == office.clock.now()

    asyncio.run(run())


class Slow(Flaky):
    """A database whose next write aside waits for what the test does meanwhile."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def write_aside(self, fn: Callable[[Tx], T]) -> T:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return await super().write_aside(fn)


def test_run_once_sees_the_room_that_is_made_while_it_claims(database_url: str) -> None:
    """The second of two jobs to one place has waited for the first, which ends after the claim counted it."""

    async def run() -> None:
        async with PostOffice(database_url, MailboxTransport()) as office:
            database, ended = Slow(office.database), asyncio.Event()

            async def end_the_first() -> None:
                ended.set()
                await until(lambda: worker.sent == 2)

            async def handle(job: ClaimedJob) -> None:
                if job.recipient == "other@example.net":
                    database.meanwhile = end_the_first  # the next claim is that after this job
                elif job.id == first:
                    await ended.wait()

            worker = Worker(database, office.clock, [JobType("test", handle, to_one_destination=1)])
            first = await office.order("one@example.com", channel="test")
            await office.order("two@example.com", channel="test")
            await office.order("other@example.net", channel="test")
            assert await worker.run_once() == 3
            assert worker.sent == 3

    asyncio.run(run())


def test_a_message_is_tried_on_the_written_table_until_it_expires(database_url: str) -> None:
    async def run() -> None:
        async with (
            Relay({"GREETING": "421 busy"}) as relay,
            PostOffice(database_url, relay.transport()) as office,
        ):
            order_id = await office.order(life=HOUR)
            start = office.clock.now()
            tries = []
            while (row := await office.row(order_id)).failed_at is None:
                office.clock.advance(row.due_at - office.clock.now())
                if await office.worker.run_once():
                    tries.append(office.clock.now() - start)
            assert [later - earlier for earlier, later in pairwise(tries)] == [*MESSAGES.pauses, 15 * MINUTE]
            assert row.failed_at == start + HOUR
            assert row.last_error == f"expired: localhost:{relay.port}: SMTPConnectResponseError 421"
            assert (office.worker.retried, office.worker.dropped, office.worker.failed) == (10, 1, 0)

    asyncio.run(run())


def test_a_hanging_delivery_keeps_no_other_waiting(database_url: str) -> None:
    async def run() -> None:
        goes_on = asyncio.Event()

        async def accept(content: bytes) -> None:
            if b"slow@" in content:
                await goes_on.wait()

        async with Relay(accept=accept) as relay, PostOffice(database_url, relay.transport(timeout=60.0)) as office:
            for number in range(AT_ONCE - 1):
                await office.order(f"slow@host{number}.example")
            for number in range(20):
                await office.order(f"quick{number}@example.com")
            stop = asyncio.Event()
            running = asyncio.create_task(office.worker.run(stop))
            await until(lambda: office.worker.sent == 20)
            await office.order("late@example.com")
            office.worker.wake()
            await until(lambda: office.worker.sent == 21)
            goes_on.set()
            await until(lambda: office.worker.sent == 21 + AT_ONCE - 1)
            stop.set()
            office.worker.wake()
            await running

    asyncio.run(run())


def test_a_stopping_worker_does_not_wait_for_ever_and_the_message_comes_back(database_url: str) -> None:
    async def run() -> None:
        reached = asyncio.Event()

        async def accept(_content: bytes) -> None:
            reached.set()
            await asyncio.Event().wait()

        async with Relay(accept=accept) as relay, PostOffice(database_url, relay.transport(timeout=60.0)) as office:
            order_id = await office.order()
            worker = Worker(office.database, office.clock, office.job_types, stop_seconds=0.05)
            stop = asyncio.Event()
            running = asyncio.create_task(worker.run(stop))
            await reached.wait()
            stop.set()
            worker.wake()
            async with asyncio.timeout(30):
                await running
            relay._accept = None
            row = await office.row(order_id)
            assert (row.worker, row.due_at) == (None, office.clock.now() + 2 * MINUTE)  # the relay may have it
            office.clock.advance(2 * MINUTE)
            await office.worker.run_once()
            assert (await office.row(order_id)).sent_at is not None
            assert len(relay.received) == 1

    asyncio.run(run())


def test_a_message_that_cannot_be_rendered_stops_no_other_and_shows_nothing_of_itself(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url, MailboxTransport()) as office:
            poison = [
                await office.order(template="no_such_message"),
                await office.order(params='{"brand": "secret-042917"}'),
                await office.order(params="secret-042917, and no JSON"),
                await office.order(params='["secret-042917"]'),
                await office.order(params='{"brand": {"x": "secret-042917"}}'),
            ]
            good = await office.order()
            with structlog.testing.capture_logs() as logs:
                assert await office.worker.run_once() == len(poison) + 1
            assert (await office.row(good)).sent_at is not None
            for order_id in poison:
                row = await office.row(order_id)
                assert (row.sent_at, row.failed_at) == (None, None)
                assert "secret" not in str(row.last_error)
                assert " in " in str(row.last_error)
            assert "secret" not in str(logs)
            assert (office.worker.sent, office.worker.retried) == (1, len(poison))

    asyncio.run(run())


def test_the_log_shows_neither_address_nor_contents(database_url: str) -> None:
    async def run() -> None:
        async with (
            Relay({"RCPT": "550 5.1.1 <robert.smith@example.com>: unknown"}) as relay,
            PostOffice(database_url, relay.transport()) as office,
        ):
            with structlog.testing.capture_logs() as logs:
                await office.order("robert.smith@example.com")
                await office.worker.run_once()
                relay.script["RCPT"] = "450 4.2.1 <robert.smith@example.com>: later"
                await office.order("robert.smith@example.com")
                await office.worker.run_once()
                relay.script.clear()
                office.clock.advance(MINUTE)
                await office.worker.run_once()
            assert [log["event"] for log in logs] == ["message_failed", "message_delayed", "message_sent"]
            assert {log["to"] for log in logs} == {"r***@example.com"}
            assert logs[0]["cause"].endswith("the recipient was refused: 550 5.1.1")
            assert not any(secret in str(logs) for secret in ("robert", "042917", "confirm/", "alice"))

    asyncio.run(run())


def test_without_a_mailer_messages_wait_for_one(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            worker = Worker(office.database, office.clock, ())
            order_id = await office.order()
            assert await worker.run_once() == 1
            row = await office.row(order_id)
            assert (row.failed_at, row.last_error) == (None, "there is no transport for email")

    asyncio.run(run())


def test_an_expired_message_is_dropped_and_not_sent(database_url: str) -> None:
    async def run() -> None:
        async with Relay() as relay, PostOffice(database_url, relay.transport()) as office:
            order_id = await office.order(life=MINUTE)
            office.clock.advance(MINUTE)
            assert await office.worker.run_once() == 0
            assert (office.worker.dropped, relay.verbs) == (1, [])
            assert (await office.row(order_id)).params == ""

    asyncio.run(run())


def test_a_try_ends_when_its_message_expires(database_url: str) -> None:
    async def run() -> None:
        async with (
            Relay({"EHLO": HANG}) as hanging,
            Relay() as next_one,
            PostOffice(database_url, hanging.transport(timeout=60.0), next_one.transport()) as office,
        ):
            order_id = await office.order(life=300)
            async with asyncio.timeout(30):
                await office.worker.run_once()
            # The clock stands still in this test: the message is not expired for the database, but its time was over.
            assert next_one.verbs == []
            assert (await office.row(order_id)).last_error == "timeout"
            office.clock.advance(300)
            assert await office.worker.run_once() == 0
            assert (await office.row(order_id)).last_error == "expired: timeout"

    asyncio.run(run())


def test_a_result_that_the_database_cannot_take_is_noted_later(database_url: str) -> None:
    async def run() -> None:
        databases: list[Flaky] = []

        async def accept(_content: bytes) -> None:
            databases[0].refusals = 1

        async with Relay(accept=accept) as relay, PostOffice(database_url, relay.transport()) as office:
            databases.append(Flaky(office.database))
            worker = Worker(databases[0], office.clock, office.job_types)
            order_id = await office.order()
            await worker.run_once()
            assert (await office.row(order_id)).sent_at is not None
            assert len(relay.received) == 1

    asyncio.run(run())


def test_run_goes_on_when_the_database_is_gone_for_a_while(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url, MailboxTransport()) as office:
            database = Flaky(office.database)
            worker = Worker(database, office.clock, office.job_types)
            await office.order()
            database.refusals = 2
            stop = asyncio.Event()
            running = asyncio.create_task(worker.run(stop))
            await until(lambda: database.refusals < 2)
            worker.wake()
            await until(lambda: database.refusals == 0)
            worker.wake()
            await until(lambda: worker.sent == 1)
            stop.set()
            worker.wake()
            await running

    asyncio.run(run())


def test_a_message_of_another_process_is_seen_without_a_call(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url, MailboxTransport()) as office:
            stop = asyncio.Event()
            running = asyncio.create_task(office.worker.run(stop))
            await asyncio.sleep(0.05)
            await office.order()  # and no wake()
            await until(lambda: office.worker.sent == 1)
            stop.set()
            office.worker.wake()
            await running

    asyncio.run(run())


def test_stopping_finishes_what_is_under_way_and_begins_nothing(database_url: str) -> None:
    async def run() -> None:
        goes_on, reached = asyncio.Event(), asyncio.Event()

        async def accept(_content: bytes) -> None:
            reached.set()
            await goes_on.wait()

        async with Relay(accept=accept) as relay, PostOffice(database_url, relay.transport()) as office:
            under_way = await office.order()
            stop = asyncio.Event()
            running = asyncio.create_task(office.worker.run(stop))
            await reached.wait()
            stop.set()
            office.worker.wake()
            waiting = await office.order()
            await asyncio.sleep(0.05)
            assert not running.done()
            goes_on.set()
            await running
            assert (await office.row(under_way)).sent_at is not None
            assert (await office.row(waiting)).attempts == 0

    asyncio.run(run())


def test_two_workers_send_each_message_once(database_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        clock = HandClock()
        via = FileTransport(directory=str(tmp_path / "out"))
        async with (
            PostOffice(database_url, via, clock=clock) as one,
            PostOffice(database_url, via, clock=clock) as other,
        ):
            for _ in range(40):
                await one.order()
            tried = await asyncio.gather(one.worker.run_once(), other.worker.run_once())
            assert sum(tried) == one.worker.sent + other.worker.sent == 40
            assert len(list((tmp_path / "out").iterdir())) == 40

    asyncio.run(run())


def test_a_worker_leaves_the_processor_to_a_busy_server_and_goes_on(database_url: str) -> None:
    async def run() -> None:
        clock = LoadedClock()
        async with PostOffice(database_url, MailboxTransport(), clock=clock) as office:
            worker = office.worker
            stop, busy = asyncio.Event(), True

            async def serve() -> None:
                while busy:
                    clock.worked += 0.01  # as a crowd of requests would
                    await asyncio.sleep(0)

            for number in range(200):
                await office.order(f"bob{number}@example.com")
            serving = asyncio.create_task(serve())
            running = asyncio.create_task(worker.run(stop))
            await asyncio.sleep(2)
            await until(lambda: worker.sent > 0)
            under_load, busy = worker.sent, False
            await serving
            await until(lambda: worker.sent == 200)
            stop.set()
            worker.wake()
            await running
            assert under_load < 120

    asyncio.run(run())


def test_two_callers_together_begin_no_more_than_one_and_wait_for_each_others(database_url: str) -> None:
    async def run() -> None:
        async with Relay() as relay, PostOffice(database_url, relay.transport()) as office:
            for number in range(3 * AT_ONCE):
                await office.order(f"bob{number}@example.com")
            most = at_once = 0

            async def watch(order: outbox.ClaimedJob) -> None:
                nonlocal most, at_once
                at_once += 1
                most = max(most, at_once)
                try:
                    await office.job_types[0].handler(order)
                finally:
                    at_once -= 1

            office.deliver_by(JobType("email", watch))
            worker = office.worker
            await asyncio.gather(*(worker.run_once() for _ in range(4)))
            assert (most, worker.sent) == (AT_ONCE, 3 * AT_ONCE)
            await office.order("late@example.com")

            async def sent_after_one() -> int:
                await worker.run_once()
                return worker.sent

            assert set(await asyncio.gather(sent_after_one(), sent_after_one())) == {3 * AT_ONCE + 1}

    asyncio.run(run())
