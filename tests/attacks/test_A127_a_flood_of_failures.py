"""A127: strangers fill the audit log with failed logins and rejected requests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from threepid.background import run_once
from threepid.clock import DAY, MINUTE
from threepid.domain.sums import MOST_NAMED, Kind
from threepid.storage import audit
from world import World

AT = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "nobody"}, "password": "wrong"}


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    limits = {"all": "on", "guesses_from_client": {"burst": 3, "per_hour": 1}}
    with World(database_url, tmp_path, limits=limits, server__trusted_proxies=["127.0.0.1"]) as made:
        yield made


def fail(world: World, source: str) -> int:
    return world.post("/_matrix/client/v3/login", AT, headers={"X-Forwarded-For": source}).status_code


def sums(world: World) -> list[tuple[str, str, int]]:
    world.run(world.server.services.sums.write())
    found = world.run(world.server.services.trail.sums(since=0, count=1000))
    return [(one.event, one.network, one.count) for one in found]


def test_failures_are_counted_by_minute_and_network(world: World) -> None:
    assert [fail(world, "203.0.113.7") for _ in range(6)] == [403, 403, 403, 429, 429, 429]
    fail(world, "2001:db8::1")
    fail(world, "2001:db8::2")
    assert sums(world) == [
        ("limit_exceeded", "203.0.113.7", 3),
        ("login_failed", "2001:db8::/64", 2),
        ("login_failed", "203.0.113.7", 6),
    ]
    world.clock.advance(MINUTE)
    fail(world, "203.0.113.7")
    assert len(sums(world)) == 5
    assert world.run(world.database.read(lambda tx: audit.oldest(tx, audit.Which(), after=None, count=10))) == []


def test_many_networks_are_few_rows(world: World) -> None:
    for number in range(MOST_NAMED + 200):
        world.server.services.sums.count(Kind.LOGIN_FAILED, f"203.0.{number // 250}.{number % 250}")
    found = sums(world)
    assert len(found) == MOST_NAMED + 1
    assert found[0] == ("login_failed", "", 200)


def test_sums_are_forgotten_after_their_time(world: World) -> None:
    fail(world, "203.0.113.7")
    assert sums(world) != []
    world.clock.advance(world.config.audit.retention_days * DAY + DAY)
    world.run(run_once(world.server.context))
    assert sums(world) == []
