"""F25: a relay that takes long to accept a mail gets one copy, and holds up nobody."""

import asyncio
from pathlib import Path

import pytest

from mail_relay import DROP, HANG, TAKEN, PostOffice, Relay
from rig import ServerProcess, identity_token, register, request_token, wait_for, whole
from threepid.clock import HOUR, MINUTE
from threepid.config import SmtpTransport
from threepid.delivery.mail.relays import FAILURES
from threepid.delivery.traffic import TO_ONE_DESTINATION
from threepid.delivery.worker import Worker
from world import HandClock


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


class Slow:
    """Lets a relay take its time over some mails."""

    def __init__(self, *words: bytes) -> None:
        self.words = words
        self.goes_on = asyncio.Event()
        self.asked = 0

    async def accept(self, content: bytes) -> None:
        if any(word in content for word in self.words):
            self.asked += 1
            await self.goes_on.wait()


def test_an_answer_may_take_ten_minutes_and_no_other_command_may() -> None:
    transport = SmtpTransport(host="localhost")
    assert transport.answer_timeout >= 600
    assert transport.timeout <= 60


def test_a_late_yes_makes_one_copy(database_url: str) -> None:
    async def run() -> None:
        slow = Slow(b"bob@")
        async with (
            Relay(accept=slow.accept) as relay,
            PostOffice(database_url, relay.transport(timeout=2.0)) as office,
        ):
            order_id = await office.order(life=HOUR)
            stop = asyncio.Event()
            running = asyncio.create_task(office.worker.run(stop))
            await until(lambda: slow.asked)
            await asyncio.sleep(3)  # half as much again as everything before may take
            office.clock.advance(9 * MINUTE)
            office.worker.wake()
            await asyncio.sleep(0.3)
            slow.goes_on.set()
            await until(lambda: office.worker.sent)
            stop.set()
            office.worker.wake()
            await running
            row = await office.row(order_id)
            assert (row.attempts, row.last_error) == (1, None)
            assert row.sent_at is not None
            assert (slow.asked, len(relay.received)) == (1, 1)

    asyncio.run(run())


def test_another_worker_sees_that_it_is_in_hand(database_url: str) -> None:
    async def run() -> None:
        slow = Slow(b"bob@")
        async with (
            Relay(accept=slow.accept) as relay,
            PostOffice(database_url, relay.transport()) as office,
            PostOffice(database_url, relay.transport(), clock=office.clock) as other,
        ):
            await office.order(life=HOUR)
            sending = asyncio.create_task(office.worker.run_once())
            await until(lambda: slow.asked)
            for _ in range(9):
                office.clock.advance(MINUTE)
                assert await other.worker.run_once() == 0
            slow.goes_on.set()
            assert await sending == 1
            assert len(relay.received) == 1

    asyncio.run(run())


def test_the_message_may_expire_meanwhile(database_url: str) -> None:
    """The relay has it: to break off then would not bring it back, and the truth is what the relay says."""

    async def run() -> None:
        slow = Slow(b"bob@")
        async with Relay(accept=slow.accept) as relay, PostOffice(database_url, relay.transport()) as office:
            order_id = await office.order(life=2500)
            sending = asyncio.create_task(office.worker.run_once())
            await until(lambda: slow.asked)
            await asyncio.sleep(2.6)
            office.clock.advance(2550)
            await office.order("carol@example.com")
            dropping = asyncio.create_task(office.worker.run_once())  # what has expired, but not this
            await until(lambda: office.worker.sent == 1)
            slow.goes_on.set()
            await asyncio.gather(sending, dropping)
            assert (await office.row(order_id)).sent_at is not None
            assert len(relay.received) == 2

    asyncio.run(run())


def test_a_message_that_expired_meanwhile_goes_to_no_other_relay(database_url: str) -> None:
    async def run() -> None:
        async with (
            Relay({"END": HANG}) as hanging,
            Relay() as next_one,
            PostOffice(database_url, hanging.transport(answer_timeout=3.0), next_one.transport()) as office,
        ):
            order_id = await office.order(life=2500)
            await office.worker.run_once()
            assert "DATA" in hanging.verbs
            assert "DATA" not in next_one.verbs
            assert (await office.row(order_id)).sent_at is None

    asyncio.run(run())


@pytest.mark.parametrize("fault", [HANG, TAKEN, "299 perhaps"])
def test_a_mail_in_doubt_goes_to_no_other_relay_now_or_later(database_url: str, fault: str) -> None:
    """Not when its relay is down, not by another worker, and not after a crash: the outbox knows the relay."""

    async def run() -> None:
        clock = HandClock()
        async with Relay() as second:
            async with Relay({"END": fault}) as first:
                via, port = (first.transport(), second.transport()), first.port
                hurried = first.transport(answer_timeout=0.3)
                async with PostOffice(database_url, hurried, second.transport(), clock=clock) as office:
                    order_id = await office.order(life=HOUR)
                    await office.worker.run_once()
                    assert str((await office.row(order_id)).last_error).startswith(f"in doubt at localhost:{port}: ")
            async with PostOffice(database_url, *via, clock=clock) as other:
                for _ in range(FAILURES + 1):  # nobody listens there any more
                    other.clock.advance(5 * MINUTE)
                    assert await other.worker.run_once() == 1
                assert str((await other.row(order_id)).last_error).endswith("ConnectionRefusedError")
                assert second.verbs == []
                async with Relay(port=port) as first:
                    other.clock.advance(5 * MINUTE)
                    await other.worker.run_once()
                    assert (await other.row(order_id)).sent_at is not None
                assert (len(first.received), second.verbs) == (1, [])

    asyncio.run(run())


def test_a_mail_in_doubt_at_a_relay_that_is_gone_is_given_up(database_url: str) -> None:
    async def run() -> None:
        async with Relay({"END": DROP}) as first, Relay() as second:
            async with PostOffice(database_url, first.transport(), second.transport()) as office:
                order_id = await office.order(life=HOUR)
                await office.worker.run_once()
            async with PostOffice(database_url, second.transport(), clock=office.clock) as office:
                office.clock.advance(2 * MINUTE)
                await office.worker.run_once()
                row = await office.row(order_id)
            assert (row.failed_at, row.last_error) == (
                office.clock.now(),
                f"localhost:{first.port} may have sent it, and is gone",
            )
            assert second.verbs == []

    asyncio.run(run())


@pytest.mark.parametrize("domain", ["example.com", "elsewhere.example"])
def test_late_answers_hold_up_nobody_not_even_at_their_own_domain(database_url: str, domain: str) -> None:
    async def run() -> None:
        slow = Slow(b"slow")
        late = 2 * TO_ONE_DESTINATION
        async with Relay(accept=slow.accept) as relay, PostOffice(database_url, relay.transport()) as office:
            for number in range(late):
                await office.order(f"slow{number}@example.com")
            stop = asyncio.Event()
            running = asyncio.create_task(office.worker.run(stop))
            await until(lambda: slow.asked == late)
            await office.order(f"quick@{domain}")
            office.worker.wake()
            await until(lambda: office.worker.sent == 1)
            assert relay.received[0].recipients == [f"TO:<quick@{domain}>"]
            slow.goes_on.set()
            await until(lambda: office.worker.sent == late + 1)
            stop.set()
            office.worker.wake()
            await running
            assert len(relay.received) == late + 1

    asyncio.run(run())


def test_a_server_that_stops_leaves_a_doubtful_mail_alone_for_a_while(database_url: str) -> None:
    async def run() -> None:
        slow = Slow(b"bob@")
        async with (
            Relay(accept=slow.accept) as relay,
            Relay() as second,
            PostOffice(database_url, relay.transport(), second.transport()) as office,
        ):
            order_id = await office.order(life=HOUR)
            worker = Worker(office.database, office.clock, office.job_types, stop_seconds=0.05)
            stop = asyncio.Event()
            running = asyncio.create_task(worker.run(stop))
            await until(lambda: slow.asked)
            stop.set()
            worker.wake()
            async with asyncio.timeout(30):
                await running
            row = await office.row(order_id)
            assert (row.worker, row.due_at) == (None, office.clock.now() + 2 * MINUTE)
            assert "broken off" in str(row.last_error)
            assert second.verbs == []  # the relay may have it: nobody else is asked on the way out

    asyncio.run(run())


def test_a_server_that_stops_gives_back_what_no_relay_has(database_url: str) -> None:
    async def run() -> None:
        async with Relay({"RCPT": HANG}) as relay, PostOffice(database_url, relay.transport()) as office:
            order_id = await office.order(life=HOUR)
            worker = Worker(office.database, office.clock, office.job_types, stop_seconds=0.05)
            stop = asyncio.Event()
            running = asyncio.create_task(worker.run(stop))
            await until(lambda: "RCPT" in relay.verbs)
            stop.set()
            worker.wake()
            async with asyncio.timeout(30):
                await running
            row = await office.row(order_id)
            assert (row.worker, row.due_at) == (None, office.clock.now())
            relay.script.clear()
            assert await office.worker.run_once() == 1
            assert len(relay.received) == 1

    asyncio.run(run())


@pytest.mark.timeout(120)
def test_a_real_server_makes_one_copy_for_a_relay_that_answers_after_its_timeout(tmp_path: Path) -> None:
    """A whole server, whose relay takes half as long again as a command may, and longer than another mail does."""
    import threading

    asked: list[bytes] = []
    goes_on = threading.Event()
    ready = threading.Event()
    ports: list[int] = []

    def serve() -> None:
        async def accept(content: bytes) -> None:
            asked.append(content)
            if b"slow@" in content:
                await asyncio.sleep(4.5)
                while not goes_on.is_set():
                    await asyncio.sleep(0.05)

        async def run() -> None:
            async with Relay(accept=accept) as relay:
                ports.append(relay.port)
                ready.set()
                while not done.is_set():
                    await asyncio.sleep(0.05)

        asyncio.run(run())

    done = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(60)
        via = f'{{ transport = "smtp", host = "127.0.0.1", port = {ports[0]}, tls = "plain", timeout = 3.0 }}'
        with whole(ServerProcess(tmp_path / "server", via=via)) as server, server.client() as http:
            identity = identity_token(http, register(http, "alice"))
            assert request_token(http, identity, "slow@example.com").status_code == 200
            wait_for(lambda: asked)
            assert request_token(http, identity, "quick@example.com", secret="other").status_code == 200
            wait_for(lambda: server.said("message_sent") == 1, what="the mail that overtakes the slow one")
            goes_on.set()
            wait_for(lambda: server.said("message_sent") == 2, what="both mails in the log")
            request_token(http, identity, "last@example.com", secret="third")
            wait_for(lambda: server.said("message_sent") == 3, what="a mail after them")
    finally:
        done.set()
        thread.join()
    assert len(asked) == 3  # one copy of each
