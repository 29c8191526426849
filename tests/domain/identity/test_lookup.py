"""Rotation of peppers and the budgets of lookups, with a hand on the clock."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from noted import entries
from threepid import background
from threepid.clock import DAY, HOUR, MINUTE
from threepid.domain.identity import lookup_budget
from threepid.domain.identity.lookup import SMALL, Lookup
from threepid.domain.identity.lookup_budget import FEW, PLACES, WAITING, LookupBudget
from threepid.domain.identity.peppers import BATCH, GRACE, LEASE, State, Work, state_of
from threepid.spec.errors import InvalidPepper, LimitExceeded
from threepid.spec.lookup_hash import lookup_hash
from threepid.storage import associations, tallies
from threepid.storage.associations import Association
from threepid.storage.engine.database import Tx
from threepid.storage.peppers import Pepper
from world import World

T = TypeVar("T")
ALICE = "@alice:example.org"
HERE = "192.0.2.1"


@pytest.fixture
def counted(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A world that counts what is looked up: 1,000 addresses a user and 1,500 a network."""
    with World(
        database_url,
        tmp_path,
        limits__all="on",
        identity__lookup_budget_per_day=1_000,
        identity__lookup_budget_of_network_per_day=1_500,
    ) as made:
        yield made


def service(world: World) -> Lookup:
    lookup = world.identity.lookup
    assert lookup is not None
    return lookup


def publish(world: World, count: int, first: int = 0) -> None:
    def step(tx: Tx) -> None:
        for number in range(first, first + count):
            associations.bind(tx, Association("email", f"a{number:05}@x.org", f"@u{number}:x", 1, 1, 2**42))

    world.run(world.server.context.database.write(step))


def pepper_of(world: World) -> str:
    return world.run(service(world).hash_details()).lookup_pepper


def ask(
    world: World, numbers: range, pepper: str | None = None, user: str = ALICE, client: str = HERE
) -> dict[str, str]:
    """What a lookup of these addresses finds, by address."""
    used = pepper_of(world) if pepper is None else pepper
    hashes = {lookup_hash(f"a{number:05}@x.org", "email", used): number for number in numbers}
    found = world.run(service(world).lookup("sha256", used, list(hashes), user_id=user, client=client))
    return {f"a{hashes[hash_]:05}": mxid for hash_, mxid in found.items()}


def work(world: World) -> list[Work]:
    """Work until there is nothing to do or somebody else does it."""
    done: list[Work] = []
    while not done or done[-1] is Work.SOME:
        done.append(world.run(service(world).peppers.work()))
    return done


# -- rotation


@pytest.mark.parametrize(
    ("pepper", "state"),
    [
        (Pepper(1, "p", 1, "", "", 0, None, None, None), State.FILLING),
        (Pepper(1, "p", 1, "", "", 0, 2, None, None), State.CURRENT),
        (Pepper(1, "p", 1, "", "", 0, 2, 101, None), State.ANSWERING),
        (Pepper(1, "p", 1, "", "", 0, 2, 100, None), State.ENDING),
        (Pepper(1, "p", 1, "", "", 0, 2, 101, 99), State.EMPTYING),
    ],
)
def test_the_state_of_a_pepper_is_in_its_timestamps(pepper: Pepper, state: State) -> None:
    assert state_of(pepper, 100) is state


def test_a_pepper_has_128_random_bits_or_more_of_letters_and_digits(world: World) -> None:
    pepper = pepper_of(world)
    assert pepper.isascii()
    assert pepper.isalnum()
    assert 62 ** len(pepper) > 2**128


def test_a_rotation_is_complete_before_clients_are_told_and_both_answer_for_a_while(world: World) -> None:
    count = BATCH * 2 + 7
    publish(world, count)
    old = pepper_of(world)
    assert world.run(service(world).peppers.begin(lambda _: None))
    assert not world.run(service(world).peppers.begin(lambda _: None))
    assert world.run(service(world).peppers.work()) is Work.SOME
    assert pepper_of(world) == old
    publish(world, 5, first=count)
    assert work(world)[-1] is Work.NONE
    new = pepper_of(world)
    assert new != old
    everybody = {f"a{number:05}": f"@u{number}:x" for number in range(count + 5)}
    assert ask(world, range(count + 50), old) == ask(world, range(count + 50), new) == everybody
    world.clock.advance(24 * HOUR - 1)
    publish(world, 1, first=count + 5)
    assert len(ask(world, range(count + 50), old)) == count + 6
    world.clock.advance(1)
    with pytest.raises(InvalidPepper) as caught:
        ask(world, range(1), old)
    assert caught.value.body()["lookup_pepper"] == new
    assert caught.value.body()["algorithm"] == "sha256"
    assert work(world) == [Work.NONE]  # answers may be under way, and clocks may differ
    world.clock.advance(GRACE)
    assert work(world) == [Work.SOME] * 4 + [Work.NONE]  # ended, and three parts
    assert [one.pepper for one in world.run(service(world).peppers.all_of())] == [new]
    assert len(ask(world, range(count + 50), new)) == count + 6


def test_one_process_does_the_work_and_another_one_goes_on_when_it_died(world: World) -> None:
    publish(world, BATCH * 3)
    world.run(service(world).peppers.begin(lambda _: None))
    world.run(service(world).peppers.work())
    with world.again() as other:
        assert work(other) == [Work.ELSEWHERE]
        world.clock.advance(LEASE)
        assert work(other)[-1] is Work.NONE
        assert len(ask(other, range(BATCH * 3))) == BATCH * 3
    assert work(world) == [Work.NONE]


def test_processes_that_work_at_the_same_time_hash_everything_once(world: World, engine: str) -> None:
    publish(world, BATCH * 3)
    world.run(service(world).peppers.begin(lambda _: None))
    world.together(*[service(world).peppers.work for _ in range(12)])
    assert work(world)[-1] is Work.NONE
    assert len(ask(world, range(BATCH * 3))) == BATCH * 3
    assert [one.hashed for one in world.run(service(world).peppers.all_of())] == [0, BATCH * 3]


def test_the_schedule_replaces_the_pepper(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity__pepper_days=7) as world:
        first = pepper_of(world)
        due = service(world).peppers._begin_if_due
        world.clock.advance(7 * DAY - MINUTE)
        world.run(due())
        assert world.run(service(world).peppers.filling()) is None
        world.clock.advance(MINUTE)
        world.run(due())
        world.run(due())
        work(world)
        assert pepper_of(world) != first
        assert len(world.run(service(world).peppers.all_of())) == 2
        assert [(one.kind, one.caller_kind) for one in entries(world)] == [("pepper_rotation_began", "server")]


def test_without_a_schedule_nothing_is_replaced(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity__pepper_days=0) as world:
        world.clock.advance(10_000 * DAY)
        world.run(service(world).peppers._begin_if_due())
        assert world.run(service(world).peppers.filling()) is None


def test_the_background_rotates_and_stops(world: World) -> None:
    publish(world, 10)
    old = pepper_of(world)

    async def run() -> None:
        stop = asyncio.Event()
        await service(world).peppers.begin(lambda _: None)
        task = asyncio.create_task(service(world).run(stop))
        while (await service(world).hash_details()).lookup_pepper == old:
            await asyncio.sleep(0.01)
        stop.set()
        await task

    world.run(run())
    assert len(ask(world, range(10))) == 10


# -- budgets


def test_asking_for_the_same_again_costs_nothing(counted: World) -> None:
    for _ in range(3):
        ask(counted, range(900))
    for number in range(0, 900, 30):
        ask(counted, range(number, number + 30))


@pytest.mark.parametrize("size", [SMALL, 250, 1000])
def test_a_user_may_ask_for_so_many_distinct_addresses_a_day(counted: World, size: int) -> None:
    for first in range(0, 1_000, size):
        ask(counted, range(first, first + size))
    with pytest.raises(LimitExceeded) as caught:
        ask(counted, range(1_000, 1_040))
    now = counted.clock.now()
    assert caught.value.retry_after_ms == DAY - now % DAY
    ask(counted, range(500))  # what was asked before still is answered
    ask(counted, range(5_000, 5_400), user="@bob:example.org")
    counted.clock.advance(caught.value.retry_after_ms)
    ask(counted, range(5_000, 5_900))


def test_a_lookup_that_is_refused_counts_nothing(counted: World) -> None:
    ask(counted, range(400))
    with pytest.raises(LimitExceeded):
        ask(counted, range(1_000, 2_000))
    ask(counted, range(2_000, 2_550))


def test_a_network_pays_for_all_its_users(counted: World) -> None:
    ask(counted, range(900), user="@one:x")
    ask(counted, range(500), user="@two:x")  # the same addresses, and another user
    with pytest.raises(LimitExceeded):
        ask(counted, range(300), user="@three:x")
    ask(counted, range(300), user="@three:x", client="192.0.2.2")
    ask(counted, range(300), user="@three:x")  # paid for there
    ask(counted, range(500), user="@five:x", client="2001:db8::1")
    ask(counted, range(900), user="@six:x", client="2001:db8::2")
    with pytest.raises(LimitExceeded):
        ask(counted, range(300), user="@seven:x", client="2001:db8::ffff:1")


def test_callers_of_the_old_api_are_counted_by_their_network(counted: World) -> None:
    def plain(first: int, count: int, client: str) -> None:
        pairs = [("email", f"a{number}@x.org") for number in range(first, first + count)]
        counted.run(service(counted).lookup_plain(pairs, client=client))

    plain(0, 900, HERE)
    plain(0, 900, HERE)
    with pytest.raises(LimitExceeded):
        plain(1_000, 300, HERE)
    plain(1_000, 300, "192.0.2.2")


def test_what_tells_whether_an_address_is_known_is_counted_too(counted: World) -> None:
    def charge(first: int, count: int) -> None:
        addresses = [f"a{number}@x.org email" for number in range(first, first + count)]
        counted.run(service(counted).charge(addresses, user_id=ALICE, client=HERE))

    for first in range(0, 1_000, 40):
        charge(first, 40)
    charge(0, 40)
    with pytest.raises(LimitExceeded):
        charge(1_000, 40)
    with pytest.raises(LimitExceeded):
        ask(counted, range(40))


def test_processes_share_what_was_counted(counted: World) -> None:
    ask(counted, range(900))
    with counted.again() as other:
        with pytest.raises(LimitExceeded):
            ask(other, range(2_000, 2_300))
        # Small lookups wait in memory, and are seen by others a little later.
        ask(counted, range(3_000, 3_040))
        ask(other, range(3_000, 3_040))
        counted.run(service(counted).budget.save())
        other.run(service(other).budget.save())
        with pytest.raises(LimitExceeded):
            ask(other, range(4_000, 4_080))
        ask(other, range(4_000, 4_040))


@pytest.mark.parametrize("size", [1, 30, 240])
def test_each_process_answers_at_most_one_lookup_over_the_budget(counted: World, size: int) -> None:
    """Even where one asks for little, and another meanwhile for all that is left."""

    def answered(world: World, first: int, count: int) -> int:
        try:
            ask(world, range(first, first + count))
        except LimitExceeded:
            return 0
        return count

    with counted.again() as other:
        total = sum(answered(counted, first, size) for first in range(0, 240, size))
        for count in (300, 100, size):
            for number in range(6):
                total += answered(other, 10_000 + 2_000 * count + number * count, count)
        for number in range(6):
            total += answered(counted, 900_000 + number * size, size)
        # The count itself is right within a percent.
        assert total <= 1_020 + 2 * size


def test_near_the_end_of_a_networks_budget_all_processes_count_at_once(counted: World) -> None:
    ask(counted, range(900), user="@one:x")
    ask(counted, range(460), user="@two:x")
    answered = 0
    with counted.again() as other:
        for number in range(10):
            for world in (counted, other):
                try:
                    ask(world, range(20), user=f"@{id(world)}{number}:x")
                except LimitExceeded:
                    continue
                answered += 20
        assert [service(world).budget._waiting_networks for world in (counted, other)] == [{}, {}]
    assert answered == 140


def test_the_networks_around_a_network_have_four_and_sixteen_times_its_budget(
    database_url: str, tmp_path: Path
) -> None:
    with World(
        database_url,
        tmp_path,
        limits__all="on",
        identity__lookup_budget_per_day=0,
        identity__lookup_budget_of_network_per_day=100,
    ) as world:

        def more(client: str, user: str) -> bool:
            addresses = [f"{client}{number} email" for number in range(100)]
            try:
                world.run(service(world).charge(addresses, user_id=user, client=client))
            except LimitExceeded:
                return False
            world.run(service(world).budget.save())
            return True

        allowed = [more(f"2001:db8:1:{number:x}::1", f"@u{number}:x") for number in range(8)]
        assert allowed == [True] * 4 + [False] * 4
        allowed = [more(f"2001:db8:1:{number:x}::1", f"@u{number}:x") for number in range(0x100, 0x1600, 0x100)]
        assert allowed == [True] * 12 + [False] * 9
        assert more("2001:db8:2::1", "@v:x")
        # Whoever has an account that has used the network shares nothing with strangers around.
        home = "2001:db8:1:ffff::1"
        assert not more(home, ALICE)
        world.clock.advance(1)
        with World(
            database_url, tmp_path, clock=world.clock, seed="again", server__trusted_proxies=["127.0.0.1"]
        ) as other:
            body = {"username": "alice", "password": "long enough", "auth": {"type": "m.login.dummy"}}
            path = "/_matrix/client/v3/register"
            assert other.post(path, body, headers={"X-Forwarded-For": home}).status_code == 200
        assert more(home, ALICE)
        assert not more(home, "@bob:example.org")
        assert not more("2001:db8:1:fffe::1", ALICE)


def test_no_more_than_some_hundred_marks_of_a_user_wait_in_memory(counted: World) -> None:
    for number in range(0, 1_000, 40):
        ask(counted, range(number, number + 40))
        budget = service(counted).budget
        assert max(map(len, budget._waiting.values()), default=0) <= WAITING
    counted.run(service(counted).budget.save())
    assert (budget._waiting, budget._waiting_networks) == ({}, {})


def test_lookups_at_the_same_time_do_not_pass_the_budget(counted: World) -> None:
    lookup, pepper = service(counted), pepper_of(counted)

    async def one(number: int) -> int:
        hashes = [lookup_hash(f"a{one:05}@x.org", "email", pepper) for one in range(number, number + 200)]
        try:
            await lookup.lookup("sha256", pepper, hashes, user_id=ALICE, client=HERE)
        except LimitExceeded:
            return 0
        return 200

    allowed = counted.together(*[lambda number=number: one(number) for number in range(0, 8_000, 200)])
    assert 800 <= sum(allowed) <= 1_000 + WAITING


def test_yesterdays_marks_are_forgotten(counted: World) -> None:
    ask(counted, range(900))
    day = counted.clock.now() // DAY
    asker = service(counted).budget.asker(ALICE, HERE)
    assert asker is not None
    network = counted.server.context.vault.hash_limit_key(f"lookups from {HERE}")

    def stored(tx: Tx) -> tuple[bool, int]:
        return tallies.get(tx, day, asker.who) is not None, tallies.asked_from(tx, day, network)

    database = counted.server.context.database
    kept, asked = counted.run(database.read(stored))
    assert kept
    assert 880 <= asked <= 900
    counted.clock.advance(DAY)
    counted.run(background.run_once(counted.server.context))
    assert counted.run(database.read(stored)) == (False, 0)


def test_as_many_addresses_as_allowed_are_allowed_and_two_percent_more_are_not(counted: World) -> None:
    asker = service(counted).budget.asker(ALICE, HERE)
    settings = counted.config.identity
    assert asker is not None
    assert settings is not None

    def allowing(allowed: int) -> int:
        changed = msgspec.structs.replace(settings, lookup_budget_per_day=allowed)
        return LookupBudget(counted.server.context, changed)._marks_allowed

    for count in (10, 1_000, 20_000, 100_000):
        marked = len(lookup_budget._places(asker.key, (f"address {number}" for number in range(count))))
        assert allowing(round(count * 0.98) - 1) < marked <= allowing(count)


def test_marks_stay_what_they_are_however_many_there_are() -> None:
    chance = random.Random(1)
    expected: set[int] = set()
    tally = None
    sizes = set()
    for _ in range(60):
        asked = {chance.randrange(PLACES) for _ in range(40)} | set(chance.sample(sorted(expected), len(expected) // 9))
        new = lookup_budget._unmarked(tally, asked)
        assert new == asked - expected
        tally = lookup_budget._marked_too(tally, new)
        expected |= asked
        assert tally.marked == len(expected)
        assert lookup_budget._unmarked(tally, expected) == set()
        sizes.add(len(tally.marks))
    assert len(expected) > FEW
    assert min(sizes) <= 80
    assert max(sizes) == PLACES // 8


def test_nothing_that_is_stored_is_the_same_for_two_users_or_days(counted: World) -> None:
    budget = service(counted).budget
    first, other = budget.asker(ALICE, HERE), budget.asker("@bob:x", HERE)
    counted.clock.advance(DAY)
    next_day = budget.asker(ALICE, HERE)
    assert first is not None
    assert other is not None
    assert next_day is not None
    assert len({first.who, other.who, next_day.who}) == 3
    addresses = [f"address {number}" for number in range(500)]
    places = [lookup_budget._places(asker.key, addresses) for asker in (first, other, next_day)]
    assert len(places[0] & places[1]) < 30
    assert len(places[0] & places[2]) < 30


def test_where_limits_are_off_nothing_is_counted(world: World) -> None:
    assert service(world).budget.asker(ALICE, HERE) is None
