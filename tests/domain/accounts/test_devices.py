"""Refresh tokens: every short sequence of uses against a table, and devices that are opened, refreshed and ended."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from threepid import background
from threepid.clock import DAY, HOUR, MINUTE
from threepid.domain.accounts.devices import Device, Devices, Login
from threepid.domain.origin import Origin
from threepid.spec.errors import LimitExceeded, UnknownToken
from threepid.storage import accounts
from threepid.storage.engine.database import Tx
from world import World

ALICE: Final = "@alice:example.org"
PHONE: Final = Device(device_id="PHONE", refreshes=True, client="192.0.2.1", user_agent="Phone/1")
LONGEST: Final = 5
_callers: Final = itertools.count()

# -- the table. A pair (access and refresh token) is
#   offered: answered to a refresh, and neither token was used yet
#   current: one of them was used, or the login answered it
#   spent:   something that was got with its refresh token came into use
#   gone:    another answer to the same refresh came into use first, or all tokens of the device were ended
# What is done to a pair, and its state: is it answered, and what becomes of the pairs?
TABLE: Final = {
    ("use", "offered"): (True, "confirm"),
    ("use", "current"): (True, ""),
    ("use", "spent"): (False, ""),
    ("use", "gone"): (False, ""),
    ("refresh", "offered"): (True, "confirm, offer"),
    ("refresh", "current"): (True, "offer"),
    ("refresh", "spent"): (False, "end"),
    ("refresh", "gone"): (False, ""),
}


class Model:
    """What the table says of one device. `parents` are the pairs by whose refresh token each pair was got."""

    def __init__(self) -> None:
        self.states = ["current"]
        self.parents = [-1]

    def do(self, action: str, pair: int) -> bool:
        answered, effects = TABLE[action, self.states[pair]]
        if "confirm" in effects:
            parent = self.parents[pair]
            self.states = [
                "gone" if self.parents[other] == parent else "spent" if other == parent else state
                for other, state in enumerate(self.states)
            ]
            self.states[pair] = "current"
        if "offer" in effects:
            self.states.append("offered")
            self.parents.append(pair)
        if "end" in effects:
            self.states = ["gone" for _ in self.states]
        return answered


def sequences(length: int) -> Iterator[tuple[tuple[str, int], ...]]:
    """Every sequence of so many actions on pairs that exist by then."""
    if length == 0:
        yield ()
        return
    for beginning in sequences(length - 1):
        model = Model()
        for action, pair in beginning:
            model.do(action, pair)
        for action in ("use", "refresh"):
            for pair in range(len(model.states)):
                yield (*beginning, (action, pair))


def test_the_model_knows_every_state_in_which_a_token_can_be_used() -> None:
    seen = set()
    for sequence in sequences(LONGEST):
        model = Model()
        for action, pair in sequence:
            seen.add((action, model.states[pair]))
            model.do(action, pair)
    assert seen == TABLE.keys()


class House(Struct):
    """The devices of one server with one account."""

    world: World
    devices: Devices

    async def open(self, device: Device = PHONE) -> Login:
        return await self.world.server.context.database.write(lambda tx: self.devices.open(tx, ALICE, device))

    async def refresh(self, token: str | None) -> Login | None:
        """The answer to a refresh, or None if it was refused."""
        assert token is not None
        try:
            # Each from another network: the same caller would get the same answer again, as test_A36 shows.
            caller = next(_callers)
            client = f"192.0.{caller // 256 % 256}.{caller % 256}"
            return await self.devices.refresh(token, client=client, user_agent="Phone/2")
        except UnknownToken:
            return None

    async def works(self, login: Login) -> bool:
        """Is the access token taken?"""
        try:
            return await self.devices.whose_token(login.access_token) is not None
        except UnknownToken:
            return False

    async def soft(self, login: Login) -> bool:
        """Is it refused, and told that its device lives on?"""
        try:
            found = await self.devices.whose_token(login.access_token)
        except UnknownToken as error:
            return bool(error.fields["soft_logout"])
        assert found is None
        return False


@pytest.fixture
def house(world: World) -> House:
    return made_in(world)


def made_in(world: World) -> House:
    def step(tx: Tx) -> None:
        accounts.insert(tx, user_id=ALICE, password_hash=None, created_at=0)

    world.run(world.server.context.database.write(step))
    return House(world, world.homeserver.devices)


async def walk(house: House, number: int, sequence: tuple[tuple[str, int], ...]) -> list[str]:
    """Where the server differs from the table."""
    model = Model()
    pairs = [await house.open(Device(device_id=f"D{number}", refreshes=True))]
    wrong = []
    for place, (action, pair) in enumerate(sequence):
        if action == "use":
            answered = await house.works(pairs[pair])
        else:
            refreshed = await house.refresh(pairs[pair].refresh_token)
            answered = refreshed is not None
            pairs += [] if refreshed is None else [refreshed]
        expected = model.do(action, pair)
        if answered != expected or len(pairs) != len(model.states):
            wrong.append(f"{sequence[: place + 1]}: {answered}, but the table says {expected}")
            break
    return wrong


def test_every_sequence_of_uses_and_refreshes_goes_as_the_table_says(house: House) -> None:
    numbered = list(enumerate(sequences(LONGEST)))
    assert len(numbered) > 900

    async def run() -> list[str]:
        found: list[str] = []
        for start in range(0, len(numbered), 200):
            walks = (walk(house, *one) for one in numbered[start : start + 200])
            found += [line for lines in await asyncio.gather(*walks) for line in lines]
            await house.devices.log_out_everywhere(ALICE, Origin())  # an account has 500 devices at most
        return found

    assert house.world.run(run()) == []


def test_both_tokens_of_a_pair_are_refused_after_their_time(house: House) -> None:
    async def run() -> None:
        clock = house.world.clock
        login = await house.open()
        assert login.expires_in_ms == HOUR
        clock.advance(HOUR - 1)
        assert await house.works(login)
        clock.advance(1)
        assert await house.soft(login)
        clock.advance(90 * DAY - HOUR - 1)
        assert await house.soft(login)
        clock.advance(1)
        assert await house.soft(login)
        assert await house.refresh(login.refresh_token) is None
        await house.devices.log_out_everywhere(ALICE, Origin())
        assert not await house.soft(login)

    house.world.run(run())


def test_a_refresh_begins_both_lives_anew(house: House) -> None:
    async def run() -> None:
        clock = house.world.clock
        login: Login | None = await house.open()
        for _ in range(4):
            assert login is not None
            clock.advance(89 * DAY)
            login = await house.refresh(login.refresh_token)
            assert login is not None
            assert await house.works(login)

    house.world.run(run())


@pytest.mark.parametrize("first", ["access token", "refresh token"])
def test_an_answer_that_is_used_first_after_the_end_of_its_parent_is_good(house: House, first: str) -> None:
    async def run() -> None:
        world = house.world
        login = await house.open()
        world.clock.advance(90 * DAY - 30 * MINUTE)
        refreshed = await house.refresh(login.refresh_token)
        assert refreshed is not None
        world.clock.advance(45 * MINUTE if first == "access token" else 60 * DAY)
        await background.run_once(world.server.context)
        if first == "access token":
            assert await house.works(refreshed)
        else:
            assert await house.soft(refreshed)
        assert await house.refresh(refreshed.refresh_token) is not None

    house.world.run(run())


def test_of_two_answers_one_is_good_after_the_end_of_their_parent_too(house: House) -> None:
    async def run() -> None:
        world = house.world
        login = await house.open()
        world.clock.advance(90 * DAY - 30 * MINUTE)
        one, other = await house.refresh(login.refresh_token), await house.refresh(login.refresh_token)
        assert one is not None
        assert other is not None
        world.clock.advance(45 * MINUTE)
        await background.run_once(world.server.context)
        assert await house.works(other)
        assert not await house.works(one)
        assert await house.refresh(one.refresh_token) is None
        assert await house.refresh(other.refresh_token) is not None

    house.world.run(run())


def test_tokens_that_are_not_refreshed_do_not_expire(house: House) -> None:
    async def run() -> None:
        login = await house.open(Device(device_id="OLD"))
        assert (login.refresh_token, login.expires_in_ms) == (None, None)
        house.world.clock.advance(3650 * DAY)
        await background.run_once(house.world.server.context)
        assert await house.works(login)

    house.world.run(run())


def test_an_access_token_does_not_refresh_and_a_refresh_token_gives_no_access(house: House) -> None:
    async def run() -> None:
        login = await house.open()
        assert await house.refresh(login.access_token) is None
        assert await house.devices.whose_token(str(login.refresh_token)) is None
        assert await house.works(login)

    house.world.run(run())


def test_a_device_that_logs_in_again_keeps_its_name_and_loses_its_older_tokens(house: House) -> None:
    async def run() -> None:
        named = Device(device_id="PHONE", display_name="My phone", refreshes=True, client="192.0.2.1")
        old = await house.open(named)
        middle = await house.refresh(old.refresh_token)
        assert middle is not None
        new = await house.open(Device(device_id="PHONE", display_name="Other", client="192.0.2.2"))
        assert not await house.works(old)
        assert not await house.works(middle)
        assert await house.refresh(old.refresh_token) is None
        assert await house.refresh(middle.refresh_token) is None
        assert await house.works(new)
        (device,) = await house.devices.of(ALICE)
        assert (device.display_name, device.seen_from) == ("My phone", "192.0.2.2")

    house.world.run(run())


def test_a_stolen_token_ends_its_device_and_no_other(house: House) -> None:
    async def run() -> None:
        phone, tablet = await house.open(), await house.open(Device(device_id="TABLET", refreshes=True))
        refreshed = await house.refresh(phone.refresh_token)
        assert refreshed is not None
        assert await house.works(refreshed)
        assert await house.refresh(phone.refresh_token) is None
        assert not await house.works(refreshed)
        assert await house.works(tablet)
        assert await house.refresh(tablet.refresh_token) is not None
        assert {device.device_id for device in await house.devices.of(ALICE)} == {"PHONE", "TABLET"}

    house.world.run(run())


def test_a_refresh_is_noted_as_the_last_that_was_heard_of_the_device(house: House) -> None:
    async def run() -> None:
        login = await house.open()
        house.world.clock.advance(MINUTE)
        await house.devices.refresh(str(login.refresh_token), client="192.0.2.9", user_agent="P" * 1000)
        (device,) = await house.devices.of(ALICE)
        assert (device.seen_at, device.seen_from) == (house.world.clock.now(), "192.0.2.9")
        assert device.user_agent == "P" * 256

    house.world.run(run())


def test_refreshes_are_limited_by_account_and_a_refused_one_changes_nothing(database_url: str, tmp_path: Path) -> None:
    limits = {"all": "on", "authentication_from_client": {"burst": 2, "per_hour": 1}}
    with World(database_url, tmp_path, limits=limits) as world:
        house = made_in(world)

        async def run() -> None:
            login = await house.open()
            token = str(login.refresh_token)
            for _ in range(2):
                await house.devices.refresh(token, client="192.0.2.1", user_agent="")
            with pytest.raises(LimitExceeded):
                await house.devices.refresh(token, client="192.0.2.1", user_agent="")
            with pytest.raises(LimitExceeded):
                await house.devices.refresh(token, client="192.0.2.2", user_agent="")
            world.clock.advance(HOUR)
            await house.devices.refresh(token, client="192.0.2.1", user_agent="")

        world.run(run())


# -- two at the same time, on any engine


@contextlib.asynccontextmanager
async def other_process(world: World) -> AsyncIterator[Devices]:
    """The devices as another process of the same server sees them, on the same event loop."""
    server = await world._open()
    try:
        assert server.services.homeserver is not None
        yield server.services.homeserver.devices
    finally:
        await server.stop()


def test_of_fifty_parallel_refreshes_one_answer_becomes_the_line(house: House) -> None:
    async def run() -> None:
        async with other_process(house.world) as others:
            elsewhere = House(house.world, others)
            login = await house.open()
            token = str(login.refresh_token)
            answers = await asyncio.gather(*((house, elsewhere)[number % 2].refresh(token) for number in range(50)))
            pairs = [answer for answer in answers if answer is not None]
            assert len(pairs) == 50
            used = await asyncio.gather(
                *((house, elsewhere)[number % 2].works(one) for number, one in enumerate(pairs))
            )
            assert sum(used) == 1
            (line,) = (one for one, works in zip(pairs, used, strict=True) if works)
            assert await elsewhere.works(line)
            for one in pairs:
                if one is not line:
                    assert await elsewhere.refresh(one.refresh_token) is None
            assert await house.works(line)
            assert await house.refresh(line.refresh_token) is not None

    house.world.run(run())


def test_parallel_logins_of_one_device_leave_one_of_them(house: House) -> None:
    async def run() -> None:
        async with other_process(house.world) as others:
            elsewhere = House(house.world, others)
            for _ in range(10):
                await house.open()
                logins = await asyncio.gather(*((house, elsewhere)[number % 2].open() for number in range(8)))
                assert sum([await house.works(login) for login in logins]) == 1
                refreshed = [await house.refresh(login.refresh_token) for login in logins]
                assert sum(one is not None for one in refreshed) == 1

    house.world.run(run())


def test_a_refresh_beside_a_login_of_the_device_leaves_the_login(house: House) -> None:
    async def run() -> None:
        async with other_process(house.world) as others:
            elsewhere = House(house.world, others)
            for _ in range(20):
                before = await house.open()
                refreshed, login = await asyncio.gather(elsewhere.refresh(before.refresh_token), house.open())
                assert refreshed is None or not await house.works(refreshed)
                assert refreshed is None or await house.refresh(refreshed.refresh_token) is None
                assert await house.works(login)

    house.world.run(run())


def test_a_refresh_beside_a_logout_is_answered_or_refused_and_leaves_nothing(house: House) -> None:
    async def run() -> None:
        async with other_process(house.world) as others:
            elsewhere = House(house.world, others)
            for _ in range(20):
                before = await house.open()
                refreshed, _ = await asyncio.gather(
                    elsewhere.refresh(before.refresh_token), house.devices.log_out_everywhere(ALICE, Origin())
                )
                assert refreshed is None or not await house.works(refreshed)
                assert refreshed is None or await house.refresh(refreshed.refresh_token) is None
                assert await house.devices.of(ALICE) == []

    house.world.run(run())
