"""The time that deliveries keep the event loop busy."""

import asyncio

import pytest

from threepid.delivery.own_time import OwnTime


class Ticking:
    """A clock that stands still unless somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_work_of_others_counts_and_waiting_and_own_work_do_not() -> None:
    clock = Ticking()
    own = OwnTime(clock)

    async def work(seconds: float, turns: int) -> str:
        for _ in range(turns):
            clock.now += seconds
            await asyncio.sleep(0)
        return "done"

    async def run() -> None:
        mine = asyncio.create_task(own.watch(work(1.0, 4)))
        other = asyncio.create_task(work(100.0, 3))
        assert [await own.busy_with_others() for _ in range(2)] == [100.0, 100.0]
        await asyncio.sleep(0)  # a turn that nobody measures
        assert await own.busy_with_others() == 0.0
        assert await mine == "done"
        await other
        assert await own.busy_with_others() == 0.0

    asyncio.run(run())


def test_errors_and_cancellations_reach_the_work_and_come_back() -> None:
    own = OwnTime(Ticking())
    seen: list[str] = []

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError

    async def wait() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
        return "went on"

    async def run() -> None:
        with pytest.raises(ValueError, match=r"^$"):
            await own.watch(fail())
        task = asyncio.create_task(own.watch(wait()))
        await asyncio.sleep(0)
        task.cancel()
        assert await task == "went on"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await own.watch(asyncio.Event().wait())

    asyncio.run(run())
    assert seen == ["cancelled"]
