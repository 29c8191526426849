"""A54: nobody enumerates phone numbers by lookups, and a pepper that is replaced meanwhile misleads nobody."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from threepid.clock import HOUR, MINUTE
from threepid.domain.identity.peppers import Work
from threepid.spec.lookup_hash import lookup_hash
from threepid.storage import associations
from threepid.storage.associations import Association
from threepid.storage.engine.database import Tx
from world import World

V2 = "/_matrix/identity/v2"
NUMBERS = 100_000
EACH = 5_000
PUBLISHED = 3_000


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(
        database_url,
        tmp_path,
        limits__all="on",
        limits__registration_from_client={"burst": 100, "per_hour": 100},
        server__trusted_proxies=["127.0.0.1"],
    ) as made:
        yield made


def publish(world: World, count: int) -> None:
    def step(tx: Tx) -> None:
        for number in range(count):
            associations.bind(tx, Association("msisdn", phone(number), mxid(number), 1, 1, 2**42))

    world.run(world.server.context.database.write(step))


def phone(number: int) -> str:
    return f"4477009{number:05}"


def mxid(number: int) -> str:
    return f"@u{number}:example.org"


def tokens(world: World, count: int) -> list[str]:
    names = [f"mallory{number}" for number in range(count)]
    return [world.identity_token(world.register(name), name) for name in names]


def pepper_of(world: World, token: str) -> str:
    return str(world.get(f"{V2}/hash_details", token=token).json()["lookup_pepper"])


def ask(world: World, token: str, numbers: range, source: str) -> httpx.Response:
    pepper = pepper_of(world, token)
    hashes = [lookup_hash(phone(number), "msisdn", pepper) for number in numbers]
    body = {"algorithm": "sha256", "pepper": pepper, "addresses": hashes}
    return world.post(f"{V2}/lookup", body, token=token, headers={"X-Forwarded-For": source})


def test_one_user_gets_a_fifth_of_a_hundred_thousand_numbers(world: World) -> None:
    publish(world, 100)
    (token,) = tokens(world, 1)
    answers = [
        ask(world, token, range(first, first + EACH), f"198.51.100.{first // EACH}")
        for first in range(0, NUMBERS, EACH)
    ]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 16
    assert len(answers[0].json()["mappings"]) == 100
    assert answers[-1].json()["errcode"] == "M_LIMIT_EXCEEDED"
    # One at a time is no way around it.
    assert {ask(world, token, range(90_000 + n, 90_001 + n), "198.51.100.1").status_code for n in range(500)} >= {429}


def test_twenty_users_of_one_network_get_no_more_than_three(world: World) -> None:
    answers = [
        ask(world, token, range(number * EACH, (number + 1) * EACH), "198.51.100.7")
        for number, token in enumerate(tokens(world, 20))
    ]
    counts = Counter(answer.status_code for answer in answers)
    assert counts.keys() == {200, 429}
    assert 11 <= counts[200] <= 12
    assert {answer.json()["errcode"] for answer in answers if answer.status_code == 429} == {"M_LIMIT_EXCEEDED"}


def test_no_more_than_a_request_holds_is_answered_at_once(world: World) -> None:
    (token,) = tokens(world, 1)
    answer = ask(world, token, range(EACH + 1), "198.51.100.7")
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_TOO_LARGE")


def test_in_the_clear_nothing_is_answered_unless_the_operator_wants_it(world: World) -> None:
    (token,) = tokens(world, 1)
    assert world.get(f"{V2}/hash_details", token=token).json()["algorithms"] == ["sha256"]
    body = {"algorithm": "none", "pepper": pepper_of(world, token), "addresses": [f"{phone(1)} msisdn"]}
    answer = world.post(f"{V2}/lookup", body, token=token)
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_INVALID_PARAM")


def test_peppers_replaced_under_load_lead_to_no_miss_and_no_wrong_answer(world: World) -> None:
    publish(world, PUBLISHED)
    users = tokens(world, 4)
    lookup = world.identity.lookup
    assert lookup is not None
    seen: Counter[str] = Counter()
    peppers: set[str] = set()
    done = False

    async def client(token: str, numbers: range) -> None:
        """Asks for known and unknown numbers with the pepper it knows, until another one is named."""
        pepper = (await world.acall("GET", f"{V2}/hash_details", token=token)).json()["lookup_pepper"]
        while not done:
            peppers.add(pepper)
            hashes = {lookup_hash(phone(number), "msisdn", pepper): number for number in numbers}
            body = {"algorithm": "sha256", "pepper": pepper, "addresses": list(hashes)}
            answer = await world.acall("POST", f"{V2}/lookup", body, token=token)
            seen[f"{answer.status_code}"] += 1
            if answer.status_code == 200:
                found = {hashes[hash_]: name for hash_, name in answer.json()["mappings"].items()}
                assert found == {number: mxid(number) for number in numbers if number < PUBLISHED}
            else:
                assert (answer.status_code, answer.json()["errcode"]) == (400, "M_INVALID_PEPPER")
                assert answer.json()["lookup_pepper"] != pepper
                pepper = answer.json()["lookup_pepper"]
            await asyncio.sleep(0)

    async def rotate() -> None:
        nonlocal done
        for _ in range(3):
            await lookup.peppers.begin(lambda _: None)
            for _ in range(2):
                while await lookup.peppers.work() is not Work.NONE:
                    await asyncio.sleep(0)
                world.clock.advance(24 * HOUR + MINUTE)
                await asyncio.sleep(0.05)
        done = True

    sets = [range(PUBLISHED - 20, PUBLISHED + 20), range(200), range(5), range(PUBLISHED - 300, PUBLISHED + 300)]
    work: list[Any] = [
        lambda token=token, which=which: client(token, which) for token, which in zip(users, sets, strict=True)
    ]
    world.together(rotate, *work)
    assert seen.keys() == {"200", "400"}
    assert len(peppers) == 4
    assert len(world.run(lookup.peppers.all_of())) == 1
