"""Homeservers that hang or fail hold up neither mails nor each other."""

import asyncio

import pytest

from threepid.clock import HOUR, SECOND
from threepid.delivery.errors import DeliveryError
from threepid.delivery.jobs.callbacks import AT_ONCE, Callbacks
from threepid.delivery.traffic import AT_ONCE as PLACES
from threepid.domain.identity.invites import Invites
from threepid.remote.guard import RemoteError
from threepid.storage.outbox import Order
from world import HandClock


class Scripted(Invites):
    """Hands over what it is told to: at once, not at all, or when `released` is set."""

    def __init__(self) -> None:
        self.handed: list[str] = []
        self.hanging: set[str] = set()
        self.failing: set[str] = set()
        self.released = asyncio.Event()

    async def hand_over(self, order: Order) -> None:
        if order.recipient in self.hanging:
            await self.released.wait()
        if order.recipient in self.failing:
            raise RemoteError("status 500")
        self.handed.append(order.recipient)


def order(server: str, attempts: int = 1) -> Order:
    return Order("id", "onbind", server, "", "onbind", "{}", 0, 1, attempts)


async def refused(callbacks: Callbacks, server: str, attempts: int = 1) -> int:
    """After how long it is to be tried again."""
    with pytest.raises(DeliveryError) as failure:
        await callbacks.send(order(server, attempts))
    assert failure.value.retry
    return failure.value.after


def test_some_places_stay_free_for_mails() -> None:
    assert AT_ONCE <= PLACES // 2

    async def run() -> None:
        invites = Scripted()
        invites.hanging = {f"s{number}.example" for number in range(AT_ONCE)}
        callbacks = Callbacks(invites, HandClock())
        tasks = [asyncio.create_task(callbacks.send(order(server))) for server in sorted(invites.hanging)]
        await asyncio.sleep(0)
        assert await refused(callbacks, "another.example") == 5 * SECOND
        assert await refused(callbacks, "s0.example") == 5 * SECOND
        invites.released.set()
        await asyncio.gather(*tasks)
        await callbacks.send(order("another.example"))
        assert sorted(invites.handed) == sorted({*invites.hanging, "another.example"})

    asyncio.run(run())


def test_one_that_failed_is_left_alone_by_everything_that_waits_for_it() -> None:
    async def run() -> None:
        invites = Scripted()
        invites.failing = {"down.example"}
        clock = HandClock()
        callbacks = Callbacks(invites, clock)
        pauses = [15, 30, 60, 120, 240]
        for attempt, pause in enumerate(pauses, 1):
            assert await refused(callbacks, "down.example", attempt) == pause * SECOND
            assert await refused(callbacks, "down.example") == pause * SECOND
            await callbacks.send(order("up.example"))
            clock.advance(pause * SECOND)
        assert await refused(callbacks, "down.example", 1_000) == 6 * HOUR
        clock.advance(6 * HOUR)
        invites.failing.clear()
        await callbacks.send(order("down.example"))
        await callbacks.send(order("down.example"))
        assert invites.handed.count("down.example") == 2
        assert invites.handed.count("up.example") == len(pauses)

    asyncio.run(run())


def test_names_of_servers_fill_no_memory() -> None:
    async def run() -> None:
        invites = Scripted()
        callbacks = Callbacks(invites, HandClock())
        for number in range(5_000):
            invites.failing = {f"s{number}.example"}
            await refused(callbacks, f"s{number}.example")
        assert len(callbacks._not_before) <= 1_000

    asyncio.run(run())
