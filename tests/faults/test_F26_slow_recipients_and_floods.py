"""F26: slow recipients hold up only themselves, and a flood only its own caller: codes first, and everybody in turn."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mail_relay import HANG, PostOffice, Relay
from sms_gateway import HANG as NO_ANSWER
from sms_gateway import Gateway
from threepid.clock import DAY, HOUR, MINUTE, SECOND
from threepid.config import Sms
from threepid.delivery.attempt import Attempt
from threepid.delivery.errors import DeliveryError
from threepid.delivery.job import JobType
from threepid.delivery.jobs.messages import text_messages
from threepid.delivery.sms import SmsSender
from threepid.delivery.traffic import AT_ONCE, MOST, OF_ONE, RESTS, TO_ONE_DESTINATION, Gaps, Rests
from threepid.domain.messages import EXAMPLES
from threepid.domain.outbox import destination
from threepid.storage import outbox
from threepid.storage.engine.database import Tx
from threepid.storage.engine.queries import Query
from threepid.storage.outbox import ClaimedJob, Waiting
from world import HandClock, World, settings

KINDS = {example.template: example for example in EXAMPLES}


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


class Slow:
    """A sender of mails that takes its time over some recipients, before it hands them over."""

    def __init__(self, *domains: str) -> None:
        self.domains = domains
        self.goes_on = asyncio.Event()
        self.begun: list[str] = []
        self.done: list[str] = []

    async def send(self, order: ClaimedJob) -> None:
        self.begun.append(order.recipient)
        if order.recipient.partition("@")[2] in self.domains or "*" in self.domains:
            await self.goes_on.wait()
        self.done.append(order.recipient)


@pytest.mark.parametrize("domains", [1, 3, 24])
def test_slow_recipients_hold_up_no_mail_to_another_domain(database_url: str, domains: int) -> None:
    async def run() -> None:
        slow = Slow(*(f"slow{number}.example" for number in range(domains)))
        async with PostOffice(database_url) as office:
            office.deliver_by(JobType("email", slow.send))
            for number in range(24):
                await office.order(f"someone{number}@slow{number % domains}.example", caller=f"caller{number % 5}")
            stop = asyncio.Event()
            running = asyncio.create_task(office.worker.run(stop))
            await until(lambda: len(slow.begun) == min(24, domains * TO_ONE_DESTINATION))
            await office.order("bob@example.com", caller="bob")
            office.worker.wake()
            await until(lambda: slow.done == ["bob@example.com"])
            slow.goes_on.set()
            await until(lambda: office.worker.sent == 25)
            stop.set()
            office.worker.wake()
            await running

    asyncio.run(run())


def test_a_code_passes_a_flood_of_another_caller(database_url: str) -> None:
    async def run() -> None:
        sent: list[str] = []

        async def send(order: ClaimedJob) -> None:
            await asyncio.sleep(0.02)
            sent.append(order.recipient)

        async with PostOffice(database_url) as office:
            office.deliver_by(JobType("email", send))
            for number in range(300):
                await office.order(f"victim{number}@big.example", caller="flood")
            stop = asyncio.Event()
            running = asyncio.create_task(office.worker.run(stop))
            await until(lambda: len(sent) > AT_ONCE)
            office.clock.advance(SECOND)
            await office.order("bob@big.example", caller="bob")
            before = len(sent)
            office.worker.wake()
            await until(lambda: "bob@big.example" in sent)
            assert sent.index("bob@big.example") - before <= 3 * AT_ONCE
            stop.set()
            office.worker.wake()
            await running

    asyncio.run(run())


def test_a_code_passes_notices_and_these_pass_invitations(database_url: str) -> None:
    async def run() -> None:
        sent: list[str] = []

        async def send(order: ClaimedJob) -> None:
            sent.append(order.template)

        async with PostOffice(database_url) as office:
            office.deliver_by(JobType("email", send))
            for template in ("invitation", "password_changed", "reset_password"):
                for number in range(20):
                    await office.order(f"a{number}@{template.replace('_', '-')}.example", message=KINDS[template])
                office.clock.advance(MINUTE)
            await office.worker.run_once()
            assert sent == ["reset_password"] * 20 + ["password_changed"] * 20 + ["invitation"] * 20

    asyncio.run(run())


def test_a_backlog_of_a_relay_that_was_down_is_sent_in_that_order_too(database_url: str) -> None:
    async def run() -> None:
        sent: list[tuple[str, str]] = []
        down = True

        async def send(order: ClaimedJob) -> None:
            if down:
                raise DeliveryError("down", retry=True)
            sent.append((order.template, order.caller))

        async with PostOffice(database_url) as office:
            office.deliver_by(JobType("email", send))
            for number in range(40):
                await office.order(f"a{number}@i{number}.example", message=KINDS["invitation"], caller="flood")
            for number in range(40):
                await office.order(f"a{number}@b{number}.example", caller="flood")
            await office.worker.run_once()
            down = False
            await office.order("late@late.example", caller="late")
            office.clock.advance(6 * SECOND)
            await office.worker.run_once()
            templates = [template for template, _ in sent]
            assert templates == ["confirm_address"] * 41 + ["invitation"] * 40
            assert [caller for _, caller in sent].index("late") <= AT_ONCE

    asyncio.run(run())


def test_one_caller_and_one_destination_leave_room_for_others() -> None:
    gaps = Gaps((), {}, {})
    taken = sum(gaps.take(Waiting(str(number), "email", f"email:d{number}.example", "flood")) for number in range(MOST))
    assert taken == OF_ONE < MOST
    assert gaps.closed_callers == ["flood"]
    assert gaps.take(Waiting("other", "email", "email:d1.example", "other"))
    gaps = Gaps((), {}, {})
    assert (
        sum(gaps.take(Waiting(str(n), "email", "email:d.example", f"c{n}")) for n in range(MOST)) == TO_ONE_DESTINATION
    )
    assert gaps.closed_destinations == ["email:d.example"]
    # What waits for its answer does not count, as long as it is not half of all.
    attempts = [
        Attempt(ClaimedJob(str(n), "email", "", "", "", "", 0, 1, 1, "email:d.example"), began=0) for n in range(OF_ONE)
    ]
    for attempt in attempts:
        attempt.handed_over = True
    assert Gaps(attempts[:-1], {}, {}).take(Waiting("next", "email", "email:d.example", "c"))
    assert not Gaps(attempts, {}, {}).take(Waiting("next", "email", "email:d.example", "c"))


def test_a_domain_that_does_not_answer_is_left_alone_and_then_tried_with_one_mail(database_url: str) -> None:
    async def run() -> None:
        async with Relay({"RCPT": HANG}) as relay, PostOffice(database_url, relay.transport(timeout=3.0)) as office:
            for number in range(3 * TO_ONE_DESTINATION):
                await office.order(f"a{number}@example.com", life=DAY)
            assert await office.worker.run_once() == TO_ONE_DESTINATION
            assert await office.worker.run_once() == 0
            relay.script.clear()
            await office.order("bob@elsewhere.example")
            assert await office.worker.run_once() == 1  # the relay itself is not to blame
            relay.script["RCPT"] = HANG
            office.clock.advance(RESTS[0])
            assert await office.worker.run_once() == 1
            assert await office.worker.run_once() == 0
            office.clock.advance(RESTS[0])
            assert await office.worker.run_once() == 0  # the second rest is longer
            relay.script.clear()
            office.clock.advance(RESTS[1])
            await office.worker.run_once()
            assert len(relay.received) == 3 * TO_ONE_DESTINATION + 1

    asyncio.run(run())


def test_one_full_mailbox_is_not_its_domain_s_fault(database_url: str) -> None:
    async def run() -> None:
        async with Relay({"RCPT": "452 4.2.2 full"}) as relay, PostOffice(database_url, relay.transport()) as office:
            await office.order("full@example.com")
            await office.worker.run_once()
            relay.script.clear()
            await office.order("bob@example.com")
            assert await office.worker.run_once() == 1
            relay.script["RCPT"] = "451 4.4.1 no answer from its host"
            await office.order("carol@example.com")
            await office.worker.run_once()
            relay.script.clear()
            await office.order("dave@example.com")
            assert await office.worker.run_once() == 0

    asyncio.run(run())


def test_rests_grow_end_with_a_success_and_are_no_endless_table() -> None:
    clock = HandClock()
    rests = Rests(clock)
    for pause in (*RESTS, RESTS[-1]):
        rests.begin("email:a.example")
        rests.begin("email:a.example")  # what was begun at the same time fails as well, and that is no further failure
        assert rests.left("email:a.example") == pause
        clock.advance(pause)
        assert rests.left("email:a.example") == 0
        assert rests.most() == {"email:a.example": 1}
    rests.end("email:a.example")
    rests.begin("email:a.example")
    assert rests.left("email:a.example") == RESTS[0]
    rests.begin("email:b.example", HOUR)
    assert rests.left("email:b.example") == HOUR
    clock.advance(-DAY)
    assert rests.left("email:b.example") == 0
    for number in range(5_000):
        rests.begin(f"email:{number}.example")
    assert len(rests) <= 1_000


def test_a_gateway_that_is_down_is_not_asked_for_each_text(database_url: str) -> None:
    async def run() -> None:
        async with (
            Gateway("429 Too Many\r\nRetry-After: 60") as first,
            Gateway() as second,
            PostOffice(database_url) as office,
        ):
            via = (first.transport(), second.transport())
            sender = SmsSender(Sms(via=via, countries=("DE",)), office.clock)
            office.deliver_by(text_messages(sender, office.renderer, office.clock))
            for number in range(3):
                await office.order(f"+491511234567{number}", channel="sms")
                assert await office.worker.run_once() == 1
            assert (len(first.asked), len(second.asked)) == (1, 3)
            first.answer = "200 OK"
            office.clock.advance(MINUTE)
            await office.order("+4915112345679", channel="sms")
            await office.worker.run_once()
            assert (len(first.asked), len(second.asked)) == (2, 3)

    asyncio.run(run())


def test_a_text_waits_as_long_as_the_only_gateway_said(database_url: str) -> None:
    async def run() -> None:
        async with Gateway("429 Too Many\r\nRetry-After: 60") as gateway, PostOffice(database_url) as office:
            sender = SmsSender(Sms(via=(gateway.transport(),), countries=("DE",)), office.clock)
            office.deliver_by(text_messages(sender, office.renderer, office.clock))
            ids = [await office.order(f"+491511234567{number}", channel="sms") for number in range(2)]
            await office.worker.run_once()
            assert len(gateway.asked) <= 2
            assert [(await office.row(one)).due_at - office.clock.now() for one in ids] == [MINUTE, MINUTE]

    asyncio.run(run())


def test_a_gateway_that_hangs_swallows_no_further_texts(database_url: str) -> None:
    """Each that it got would be given up, because it may have been sent."""

    async def run() -> None:
        async with Gateway(NO_ANSWER) as first, Gateway() as second, PostOffice(database_url) as office:
            via = (first.transport(timeout=2.0), second.transport())
            sender = SmsSender(Sms(via=via, countries=("DE",)), office.clock)
            office.deliver_by(text_messages(sender, office.renderer, office.clock))
            for number in range(3):
                await office.order(f"+491511234567{number}", channel="sms")
                await office.worker.run_once()
            assert (len(first.asked), len(second.asked)) == (1, 2)

    asyncio.run(run())


def test_a_destination_is_a_domain_a_gateway_or_a_server(tmp_path: Path) -> None:
    via = [
        {"transport": "http", "url": "https://fr.example/send", "body": "{to}{text}", "countries": ["FR"]},
        {"transport": "http", "url": "https://all.example/send", "body": "{to}{text}"},
    ]
    config = settings(tmp_path, sms__countries=["DE", "FR"], sms__via=via)
    assert destination(config, "email", "Bob@Example.com") == "email:example.com"
    assert destination(config, "sms", "+33612345678") == "sms:fr.example"
    assert destination(config, "sms", "+4915112345678") == "sms:all.example"
    assert destination(config, "onbind", "HS.example:8448") == "onbind:hs.example:8448"
    assert destination(settings(tmp_path), "sms", "+4915112345678") == "sms:"


# -- who is a caller, in the whole application

_CALLERS = Query("test", *["SELECT string_agg(caller, ' ' ORDER BY id) FROM outbox"] * 2)


def callers(world: World) -> list[str]:
    def read(tx: Tx) -> str:
        return str(tx.value(_CALLERS))

    return world.run(world.server.context.database.read(read)).split(" ")


def ask(world: World, client: str, number: int) -> None:
    body = {"client_secret": "secret", "email": f"a{number}@example.com", "send_attempt": 1}
    path = "/_matrix/client/v3/register/email/requestToken"
    assert world.post(path, body, headers={"X-Forwarded-For": client}).status_code == 200
    world.clock.advance(1)


def test_a_caller_is_an_address_or_a_large_network_and_is_kept_as_a_hash(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as world:
        clients = ["192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1", "2001:db8:1::1", "2001:db8:1:ffff::1", "2001:db8:2::1"]
        for number, client in enumerate(clients):
            ask(world, client, number)
        one, two, mapped, v6, same, other = callers(world)
        assert one == mapped != two
        assert v6 == same != other
        assert len({one, two, v6, other}) == 4
        assert all(len(caller) == 32 and int(caller, 16) for caller in (one, two, v6, other))


def test_a_flood_s_places_in_the_line_are_a_second_apart(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as world:
        for number in range(30):
            ask(world, "192.0.2.1", number)
        ask(world, "192.0.2.2", 30)
        now = world.clock.now()
        line = world.run(world.server.context.database.write(lambda tx: outbox.in_line(tx, now=now, count=100)))
        last = callers(world)[-1]
        assert [one.caller for one in line].index(last) == 1
        assert len(line) == 31
