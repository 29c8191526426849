"""F15: a clock that is wrong for a moment puts no message off for longer than it was to wait."""

import asyncio
from pathlib import Path

import pytest

from mail_relay import PostOffice, Relay
from threepid.clock import DAY, HOUR, MINUTE, SECOND
from threepid.delivery.errors import DeliveryError
from threepid.delivery.job import MESSAGES, JobType
from threepid.storage.outbox import ClaimedJob
from world import World

JUMPS = [DAY, 365 * DAY, HOUR]


@pytest.mark.parametrize("jump", JUMPS)
def test_a_try_while_the_clock_was_ahead_is_repeated_after_its_own_pause(database_url: str, jump: int) -> None:
    async def run() -> None:
        async with (
            Relay({"GREETING": "421 busy"}) as relay,
            PostOffice(database_url, relay.transport()) as office,
        ):
            order_id = await office.order(life=500 * DAY)
            office.clock.advance(jump)
            await office.worker.run_once()
            assert (await office.row(order_id)).due_at == office.clock.now() + MESSAGES.pauses[0]
            office.clock.advance(-jump)
            relay.script.clear()
            assert await office.worker.run_once() == 0  # it waits, but not for the jump
            assert (await office.row(order_id)).due_at == office.clock.now() + MESSAGES.pauses[0]
            office.clock.advance(MESSAGES.pauses[0])
            assert await office.worker.run_once() == 1
            assert len(relay.received) == 1

    asyncio.run(run())


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_is_set_back_lengthens_no_pause(database_url: str, jump: int) -> None:
    async def run() -> None:
        async with (
            Relay({"GREETING": "421 busy"}) as relay,
            PostOffice(database_url, relay.transport()) as office,
        ):
            await office.order(life=500 * DAY)
            await office.worker.run_once()
            relay.script.clear()
            office.clock.advance(-jump)
            assert await office.worker.run_once() == 0
            office.clock.advance(MESSAGES.pauses[0])
            assert await office.worker.run_once() == 1
            assert len(relay.received) == 1

    asyncio.run(run())


def test_another_process_mends_it_too(database_url: str) -> None:
    """The one with the wrong clock may be gone, or another machine."""

    async def run() -> None:
        async with (
            Relay({"GREETING": "421 busy"}) as relay,
            PostOffice(database_url, relay.transport()) as ahead,
            PostOffice(database_url, relay.transport()) as office,
        ):
            await ahead.order(life=500 * DAY)
            ahead.clock.advance(DAY)
            await ahead.worker.run_once()
            relay.script.clear()
            assert await office.worker.run_once() == 0
            office.clock.advance(MESSAGES.pauses[0])
            assert await office.worker.run_once() == 1

    asyncio.run(run())


def test_clocks_of_two_servers_may_differ_by_half_a_minute(database_url: str) -> None:
    """What one of them has put off is not mended by the other at each look: that would put it off for ever."""

    async def run() -> None:
        async with (
            Relay({"GREETING": "421 busy"}) as relay,
            PostOffice(database_url, relay.transport()) as ahead,
            PostOffice(database_url, relay.transport()) as office,
        ):
            ahead.clock.advance(30 * SECOND)
            order_id = await ahead.order(life=HOUR)
            await ahead.worker.run_once()
            due_at = (await office.row(order_id)).due_at
            for _ in range(5):
                await office.worker.run_once()
                office.clock.advance(SECOND)
            assert (await office.row(order_id)).due_at == due_at

    asyncio.run(run())


def test_nothing_that_is_in_hand_is_taken_by_another_worker_when_the_clock_jumps(database_url: str) -> None:
    async def run() -> None:
        goes_on, reached = asyncio.Event(), asyncio.Event()

        async def accept(_content: bytes) -> None:
            reached.set()
            await goes_on.wait()

        async with (
            Relay(accept=accept) as relay,
            PostOffice(database_url, relay.transport()) as office,
            PostOffice(database_url, relay.transport(), clock=office.clock) as other,
        ):
            order_id = await office.order(life=500 * DAY)
            sending = asyncio.create_task(office.worker.run_once())
            await reached.wait()
            for jump in (DAY, -2 * DAY, 366 * DAY, -365 * DAY):
                office.clock.advance(jump)
                assert await other.worker.run_once() == 0
            goes_on.set()
            await sending
            assert (await office.row(order_id)).sent_at is not None
            assert len(relay.received) == 1

    asyncio.run(run())


@pytest.mark.parametrize("jump", JUMPS)
def test_a_code_that_was_asked_for_while_the_clock_was_ahead_comes_at_once(
    database_url: str, tmp_path: Path, jump: int
) -> None:
    with World(database_url, tmp_path) as world:
        world.clock.advance(jump)
        body = {"client_secret": "secret", "email": "a@example.com", "send_attempt": 1}
        assert world.post("/_matrix/client/v3/register/email/requestToken", body).status_code == 200
        world.clock.advance(-jump)
        assert "10 minutes" in world.mail().text  # and promises no more than it was to live


def test_a_destination_that_failed_is_not_left_alone_for_the_jump(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            sent: list[str] = []

            async def send(order: ClaimedJob) -> None:
                if not sent:
                    sent.append("failed")
                    raise DeliveryError("hangs", retry=True, rest=MINUTE)
                sent.append(order.id)

            office.deliver_by(JobType("email", send))
            office.clock.advance(DAY)
            await office.order("a@example.com", life=500 * DAY)
            await office.worker.run_once()
            office.clock.advance(-DAY)
            late = await office.order("b@example.com", life=500 * DAY)
            await office.worker.run_once()
            assert sent == ["failed", late]

    asyncio.run(run())
