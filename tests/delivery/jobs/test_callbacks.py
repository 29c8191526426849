"""Homeservers that hang or fail hold up neither mails nor each other."""

import asyncio

from mail_relay import PostOffice, Relay
from threepid.clock import DAY, HOUR, MINUTE, SECOND
from threepid.delivery.jobs.callbacks import AT_ONCE, PAUSES, callbacks
from threepid.delivery.traffic import AT_ONCE as PLACES
from threepid.delivery.traffic import Rests
from threepid.domain.identity.callbacks import Callbacks
from threepid.remote.guard import RemoteError
from threepid.storage.outbox import ClaimedJob
from world import HandClock


class Scripted(Callbacks):
    """Hands over what it is told to: at once, not at all, or when `released` is set."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.handed: list[str] = []
        self.hanging: set[str] = set()
        self.failing: set[str] = set()
        self.released = asyncio.Event()

    async def hand_over(self, order: ClaimedJob) -> None:
        self.called.append(order.recipient)
        if order.recipient in self.hanging:
            await self.released.wait()
        if order.recipient in self.failing:
            raise RemoteError("status 500")
        self.handed.append(order.recipient)


async def call(office: PostOffice, server: str) -> str:
    return await office.order(server, channel="onbind", template="onbind", params="{}", life=30 * DAY)


def test_some_places_stay_free_for_mails(database_url: str) -> None:
    assert AT_ONCE <= PLACES // 2

    async def run() -> None:
        async with Relay() as relay, PostOffice(database_url, relay.transport()) as office:
            invites = Scripted()
            invites.hanging = {f"s{number}.example" for number in range(AT_ONCE)}
            office.deliver_by(callbacks(invites))
            for server in [*sorted(invites.hanging), "s0.example", "another.example"]:
                await call(office, server)
            working = asyncio.create_task(office.worker.run_once())
            while len(invites.called) < AT_ONCE:
                await asyncio.sleep(0.01)
            for number in range(PLACES):
                await office.order(f"bob{number}@example.com")
            other = asyncio.create_task(office.worker.run_once())
            while len(relay.received) < PLACES:
                await asyncio.sleep(0.01)
            assert sorted(invites.called) == sorted(invites.hanging)
            invites.released.set()
            await asyncio.gather(working, other)
            assert sorted(invites.handed) == sorted([*invites.hanging, "s0.example", "another.example"])

    asyncio.run(run())


def test_one_homeserver_is_called_once_at_a_time(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            invites = Scripted()
            invites.hanging = {"slow.example"}
            office.deliver_by(callbacks(invites))
            await call(office, "slow.example")
            await call(office, "slow.example")
            await call(office, "other.example")
            working = asyncio.create_task(office.worker.run_once())
            while "other.example" not in invites.handed:
                await asyncio.sleep(0.01)
            assert invites.called.count("slow.example") == 1
            invites.released.set()
            await working
            assert invites.handed.count("slow.example") == 2

    asyncio.run(run())


def test_one_that_failed_is_left_alone_by_everything_that_waits_for_it(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            invites = Scripted()
            invites.failing = {"down.example"}
            office.deliver_by(callbacks(invites))
            await call(office, "down.example")
            await office.worker.run_once()
            for _ in range(3):
                await call(office, "down.example")
            await call(office, "up.example")
            office.clock.advance(PAUSES.after(1) - 1)
            await office.worker.run_once()
            assert invites.called == ["down.example", "up.example"]
            office.clock.advance(1)
            await office.worker.run_once()
            assert invites.called == ["down.example", "up.example", "down.example"]
            invites.failing.clear()
            for _ in range(3):
                office.clock.advance(10 * MINUTE)
                await office.worker.run_once()
            assert invites.handed.count("down.example") == 4

    asyncio.run(run())


def test_names_of_servers_fill_no_memory() -> None:
    rests = Rests(HandClock())
    for number in range(5_000):
        rests.begin(f"onbind:s{number}.example", PAUSES.after(1))
    assert len(rests) <= 1_000


def test_the_pauses_grow_to_six_hours() -> None:
    assert [PAUSES.after(attempts) // SECOND for attempts in (1, 2, 3, 4)] == [15, 30, 60, 120]
    assert PAUSES.after(11) < PAUSES.after(12) == PAUSES.after(1_000) == 6 * HOUR
