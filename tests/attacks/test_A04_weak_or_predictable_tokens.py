"""A04: what must not be guessed has 128 random bits or more, and comes from the system's source."""

import math
import re
from collections import Counter
from pathlib import Path

import pytest

import threepid
from threepid.clock import Entropy
from world import World

SOURCE = Path(threepid.__file__).parent
MANY = 20_000


@pytest.mark.parametrize(("count", "length"), [(16, 22), (24, 32), (32, 43)])
def test_tokens_are_long_unique_and_uniform(count: int, length: int) -> None:
    entropy = Entropy()
    tokens = [entropy.token(count=count) for _ in range(MANY)]
    assert len(set(tokens)) == MANY
    assert {len(token) for token in tokens} == {length}
    for position in range(length - 1):  # the last character carries fewer bits
        assert chi_square([token[position] for token in tokens], 64) < limit(63)


def test_codes_are_uniform() -> None:
    entropy = Entropy()
    codes = [entropy.digits(6) for _ in range(MANY)]
    for position in range(6):
        assert chi_square([code[position] for code in codes], 10) < limit(9)


def chi_square(values: list[str], choices: int) -> float:
    expected = len(values) / choices
    counts = Counter(values)
    return sum((count - expected) ** 2 / expected for count in counts.values()) + expected * (choices - len(counts))


def limit(freedom: int) -> float:
    """The value that chance exceeds once in about 10^7 times (Wilson and Hilferty)."""
    return freedom * (1 - 2 / (9 * freedom) + 5.2 * math.sqrt(2 / (9 * freedom))) ** 3


def test_sessions_and_tokens_of_the_api_are_not_short(world: World) -> None:
    token = world.register()
    identity = world.identity_token(token)
    sid = world.request_token(identity)
    assert len(token.removeprefix("tp_")) >= 43
    assert len(identity.removeprefix("tpi_")) >= 43
    assert len(sid) >= 22
    assert len(world.mail().link.removeprefix("/confirm/")) >= 32
    uia = world.post("/_matrix/client/v3/register", {"username": "x", "password": "long enough"}).json()["session"]
    assert len(uia) >= 32


def test_no_module_but_the_clock_knows_chance() -> None:
    for file in SOURCE.rglob("*.py"):
        if file.name != "clock.py":
            found = re.findall(r"^\s*(?:import|from) (random|secrets|uuid)\b", file.read_text(), re.MULTILINE)
            assert not found, file
