"""Turns: how many may work at once, who waits, who is turned away, and that places are never lost."""

import asyncio
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from threepid.clock import Clock
from threepid.domain.secrets.hashing import OF_ONE_ACCOUNT, QUEUE_SECONDS, QUICK, TOGETHER, Turns
from threepid.spec.errors import LimitExceeded

pytestmark = pytest.mark.alone

T = TypeVar("T")


class JumpingClock(Clock):
    """A clock that somebody lets jump."""

    def __init__(self) -> None:
        self.jumped = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.jumped


class StandingClock(Clock):
    """For which all work is quick and nobody waits long, however slow the machine is."""

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def turns(clock: Clock) -> Iterator[Turns]:
    made = Turns(clock, "test", 0.0)
    yield made
    made.close()


@pytest.fixture
def quick_turns() -> Iterator[Turns]:
    made = Turns(StandingClock(), "test", 0.0)
    yield made
    made.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 120))


class Held:
    """Work that takes every thread until somebody lets it go."""

    def __init__(self, turns: Turns) -> None:
        self._begun = threading.Barrier(turns.width + 1, timeout=180)
        self.go_on = threading.Event()
        self._tasks = [asyncio.create_task(turns.do(self._work)) for _ in range(turns.width)]

    def _work(self) -> None:
        self._begun.wait()
        self.go_on.wait(60)

    async def begun(self) -> None:
        await asyncio.to_thread(self._begun.wait)

    async def end(self) -> None:
        self.go_on.set()
        await asyncio.gather(*self._tasks)


def test_what_the_work_answers_or_raises_goes_to_who_waits_for_it(turns: Turns) -> None:
    def fail() -> None:
        raise ValueError("what went wrong")

    async def work() -> None:
        assert await turns.do(lambda one, other: one + other, "a", "b") == "ab"
        with pytest.raises(ValueError, match="what went wrong"):
            await turns.do(fail)
        assert turns.waiting == 0

    run(work())


def test_a_flood_is_turned_away_and_a_caller_who_leaves_frees_no_place(turns: Turns) -> None:
    async def work() -> None:
        held = Held(turns)
        await held.begun()
        turns.seconds_each = 1.0
        room = int(QUEUE_SECONDS) * turns.width + 1 - turns.width
        tasks = [asyncio.create_task(turns.do(int)) for _ in range(room)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        late = asyncio.create_task(turns.do(int))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not late.done()  # those who are refused at once, and never wait, would keep the loop busy
        with pytest.raises(LimitExceeded) as refused:
            await late
        assert refused.value.headers() == {"Retry-After": "2"}
        await held.end()
        while turns.waiting:
            await asyncio.sleep(0.01)
        assert await turns.do(int) == 0

    run(work())


def test_nobody_waits_longer_for_a_turn_than_two_seconds_even_right_after_the_start(turns: Turns) -> None:
    async def work() -> int:
        answers = await asyncio.gather(*(turns.do(time.sleep, 0.02) for _ in range(1000)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {type(None), LimitExceeded}
        return answers.count(None)

    taken = run(work())
    assert turns.width < taken < 2 * QUEUE_SECONDS / 0.02 * turns.width  # each of them takes 0.02 s or more


def test_requests_go_before_work(turns: Turns) -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id() if sys.platform == "linux" else 0)

    before = niceness()
    assert run(turns.do(niceness)) == (min(before + 5, 19) if sys.platform == "linux" else before)
    assert niceness() == before


def test_who_waited_too_long_on_a_machine_that_became_slow_is_turned_away(clock: JumpingClock, turns: Turns) -> None:
    async def work() -> None:
        held = Held(turns)
        await held.begun()
        late = asyncio.create_task(turns.do(int))
        await asyncio.sleep(0)
        clock.jumped = 3.0
        held.go_on.set()
        with pytest.raises(LimitExceeded):
            await late
        await held.end()
        assert turns.waiting == 0
        assert await turns.do(int) == 0

    run(work())


def test_closing_leaves_nobody_waiting(turns: Turns) -> None:
    async def work() -> list[object]:
        held = Held(turns)
        await held.begun()
        waiting = [asyncio.create_task(turns.do(int)) for _ in range(12)]
        await asyncio.sleep(0)
        turns.close()
        ended: list[object] = list(await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 60))
        held.go_on.set()
        return ended

    assert {type(ended) for ended in run(work())} == {asyncio.CancelledError}


def test_a_machine_that_slept_while_it_worked_goes_on_working(clock: JumpingClock, turns: Turns) -> None:
    def sleep() -> None:
        clock.jumped += 86_400.0

    async def work() -> None:
        for _ in range(3):
            await turns.do(sleep)
        for _ in range(30):
            await turns.do(int)
        assert turns.seconds_each < 1.0

    run(work())


class CountingTurns(Turns):
    """Knows how many answers were handed back together."""

    def __init__(self) -> None:
        super().__init__(StandingClock(), "test", 0.001)
        self.handed: list[int] = []

    def _hand_back(self) -> None:
        self.handed.append(len(self._done))
        super()._hand_back()


def test_answers_are_handed_back_together_while_others_wait_and_at_once_when_none_does() -> None:
    turns = CountingTurns()

    async def work() -> None:
        await turns.do(int)
        assert turns.handed == [1]
        await asyncio.gather(*(turns.do(time.sleep, 0.001) for _ in range(20 * TOGETHER)))

    try:
        run(work())
    finally:
        turns.close()
    assert sum(turns.handed) == 1 + 20 * TOGETHER
    assert len(turns.handed) < 10 * TOGETHER


def test_of_slow_work_each_answer_is_handed_back_at_once(turns: Turns) -> None:
    turns.seconds_each = 2 * QUICK
    go_on = threading.Event()

    async def work() -> None:
        first = asyncio.create_task(turns.do(int))
        others = [asyncio.create_task(turns.do(go_on.wait, 60)) for _ in range(3 * turns.width)]
        assert await first == 0
        assert not any(task.done() for task in others)
        go_on.set()
        await asyncio.gather(*others)

    run(work())


@pytest.mark.parametrize("seed", range(20))
def test_no_place_is_lost_whatever_callers_do(quick_turns: Turns, seed: int) -> None:
    turns = quick_turns
    chance = random.Random(seed)

    def failing() -> None:
        raise ValueError

    def ways() -> list[Callable[[], Coroutine[Any, Any, object]]]:
        return [lambda: turns.do(time.sleep, chance.random() / 500), lambda: turns.do(failing)]

    async def work() -> None:
        tasks = []
        for _ in range(300):
            tasks.append(asyncio.create_task(chance.choice(ways())()))
            if chance.random() < 0.3:
                await asyncio.sleep(chance.random() / 300)
            if chance.random() < 0.5:
                chance.choice(tasks).cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(answer) for answer in answers} <= {type(None), ValueError, asyncio.CancelledError}
        while turns.waiting:
            await asyncio.sleep(0.001)
        assert (turns._at_work, turns._done) == (0, [])
        assert await asyncio.gather(*(turns.do(int) for _ in range(2 * TOGETHER))) == [0] * 2 * TOGETHER

    run(work())


# -- known callers have a queue of their own


def test_a_flood_of_strangers_takes_half_of_the_pool_from_known_callers_at_most(turns: Turns) -> None:
    order: list[str] = []

    async def work() -> None:
        held = Held(turns)
        await held.begun()
        strangers = [asyncio.create_task(turns.do(order.append, "stranger")) for _ in range(40)]
        await asyncio.sleep(0)
        known = [asyncio.create_task(turns.do(order.append, "known", account=f"@{number}")) for number in range(10)]
        await asyncio.sleep(0)
        await held.end()
        await asyncio.gather(*strangers, *known)

    run(work())
    assert len(order) == 50
    # One in two, though they came last: the threads append in the order of their turns, give or take one for each.
    assert order[: 20 + 2 * turns.width].count("known") >= 10 - turns.width
    assert order[:20].count("stranger") >= 10 - turns.width


def test_where_strangers_have_no_place_known_callers_have_one_and_where_known_have_none_neither(turns: Turns) -> None:
    async def work() -> None:
        held = Held(turns)
        await held.begun()
        turns.seconds_each = 1.0
        waiting = [
            asyncio.create_task(turns.do(int)) for _ in range(int(QUEUE_SECONDS) * turns.width + 1 - turns.width)
        ]
        await asyncio.sleep(0)
        with pytest.raises(LimitExceeded):
            await turns.refuse_if_full()
        places = int(QUEUE_SECONDS) * turns.width // 2 + 1
        for number in range(places):
            await turns.refuse_if_full(f"@{number}")
            waiting.append(asyncio.create_task(turns.do(int, account=f"@{number}")))
            await asyncio.sleep(0)
        with pytest.raises(LimitExceeded):
            await turns.refuse_if_full("@another")
        turns.seconds_each = 0.0
        await held.end()
        assert await asyncio.gather(*waiting) == [0] * len(waiting)
        assert turns.waiting == 0

    run(work())


def test_one_account_takes_few_places_of_the_known_from_others(turns: Turns) -> None:
    async def work() -> None:
        held = Held(turns)
        await held.begun()
        turns.seconds_each = 0.001
        # What is more than that waits among everybody: it is done, when there is nothing else to do.
        waiting = [asyncio.create_task(turns.do(int, account="@mallory")) for _ in range(5 * OF_ONE_ACCOUNT)]
        await asyncio.sleep(0)
        assert len(turns._waiting_known) == OF_ONE_ACCOUNT
        waiting.append(asyncio.create_task(turns.do(int, account="@alice")))
        await asyncio.sleep(0)
        assert len(turns._waiting_known) == OF_ONE_ACCOUNT + 1
        await held.end()
        assert await asyncio.gather(*waiting) == [0] * len(waiting)

    run(work())
