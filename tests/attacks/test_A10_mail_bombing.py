"""A10: one mailbox gets three mails, then one an hour, whoever asks by whatever way and spelling.

The last of the three is kept for callers whom the account of the address knows: test_A13_lockout_as_a_weapon.py.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from world import World

HOUR = 3_600_000
SPELLINGS = ["victim@example.com", "VICTIM@example.com", "victim@EXAMPLE.com", "ViCtIm@example.com"]


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path, limits__all="on", server__trusted_proxies=["127.0.0.1"]) as made:
        yield made


class Attacker:
    """Asks by every way, each time with another secret and another source address."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.identity = world.identity_token(world.register("mallory"), "mallory")
        self.count = 0

    def ask(self, way: str, address: str, source: str | None = None) -> httpx.Response:
        self.count += 1
        body: dict[str, Any] = {"client_secret": f"s{self.count}", "email": address, "send_attempt": 1}
        token = self.identity if "identity" in way else None
        headers = {"X-Forwarded-For": source or f"198.51.100.{self.count % 250}"}
        return self.world.post(way, body, token=token, headers=headers)


WAYS = [
    "/_matrix/client/v3/register/email/requestToken",
    "/_matrix/client/v3/account/3pid/email/requestToken",
    "/_matrix/client/v3/account/password/email/requestToken",
    "/_matrix/identity/v2/validate/email/requestToken",
]


def test_all_ways_and_spellings_share_one_budget_that_refills_by_one_an_hour(world: World) -> None:
    attacker = Attacker(world)
    answers = [attacker.ask(WAYS[number % 4], SPELLINGS[number // 4 % 4]) for number in range(40)]
    assert [answer.status_code for answer in answers] == [200] * 2 + [429] * 38
    refused = answers[-1]
    assert refused.json()["errcode"] == "M_LIMIT_EXCEEDED"
    assert refused.json()["retry_after_ms"] == HOUR
    assert refused.headers["Retry-After"] == "3600"
    assert len(world.mails()) == 2
    for hour in range(1, 4):
        world.clock.advance(HOUR)
        assert [attacker.ask(way, SPELLINGS[0]).status_code for way in WAYS] == [200, 429, 429, 429]
        assert len(world.mails()) == 2 + hour


def test_the_budget_is_spent_in_every_process_and_after_a_restart(world: World) -> None:
    attacker = Attacker(world)
    for _ in range(2):
        attacker.ask(WAYS[0], SPELLINGS[0])
    with world.again() as other:
        body = {"client_secret": "other", "email": SPELLINGS[1], "send_attempt": 1}
        assert other.post(WAYS[0], body, headers={"X-Forwarded-For": "203.0.113.1"}).status_code == 429


def test_asking_at_the_same_time_gets_no_more(world: World) -> None:
    def ask(number: int) -> Any:
        body = {"client_secret": f"p{number}", "email": SPELLINGS[number % 4], "send_attempt": 1}
        return lambda: world.acall("POST", WAYS[0], body, headers={"X-Forwarded-For": f"198.51.100.{number}"})

    answers = world.together(*(ask(number) for number in range(40)))
    assert sum(answer.status_code == 200 for answer in answers) == 2
    assert len(world.mails()) == 2


def test_a_repeated_request_costs_nothing(world: World) -> None:
    attacker = Attacker(world)
    for _ in range(10):
        attacker.count = 0
        assert attacker.ask(WAYS[0], SPELLINGS[0]).status_code == 200
    assert len(world.mails()) == 1


@pytest.mark.parametrize(
    "sources",
    [["203.0.113.7"] * 20, [f"2001:db8:1:2::{number:x}" for number in range(20)], ["::ffff:203.0.113.7"] * 20],
)
def test_one_caller_causes_so_many_and_no_more(world: World, sources: list[str]) -> None:
    attacker = Attacker(world)
    answers = [attacker.ask(WAYS[0], f"v{number}@example.com", source) for number, source in enumerate(sources)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 10
    assert attacker.ask(WAYS[0], "another@example.com", "2001:db8:1:3::1").status_code == 200


def test_the_whole_server_has_a_ceiling(database_url: str, tmp_path: Path) -> None:
    ceiling = {"burst": 5, "per_hour": 1}
    with World(database_url, tmp_path, limits={"all": "on", "message_total": ceiling}) as world:
        attacker = Attacker(world)
        answers = [attacker.ask(WAYS[0], f"v{number}@example.com") for number in range(8)]
        assert sum(answer.status_code == 200 for answer in answers) == 5


def test_neither_addresses_nor_callers_are_kept_in_the_clear(world: World) -> None:
    from threepid.storage.engine.queries import Query

    Attacker(world).ask(WAYS[0], SPELLINGS[0], "203.0.113.7")
    statement = "SELECT COUNT(*) FROM limits WHERE key LIKE '%example%' OR key LIKE '%203.0%'"
    query = Query("test", statement, statement.replace("%", "%%"))
    assert world.run(world.server.context.database.read(lambda tx: tx.value(query))) == 0


def test_the_owner_has_the_third_mail_and_no_fourth(world: World) -> None:
    """What is kept for the owner is one of the three, not one more."""
    attacker = Attacker(world)
    owner = world.register("owner")
    identity = world.identity_token(owner, "owner")
    sid = world.request_token(identity, SPELLINGS[0])
    body = {"sid": sid, "client_secret": "secret", "token": world.mail().code}
    assert world.post("/_threepid/client/v1/submit_token", body).json() == {"success": True}
    assert world.add(owner, sid).status_code == 200
    world.clock.advance(24 * HOUR)
    before = len(world.mails())
    answers = [attacker.ask(WAYS[number % 4], SPELLINGS[0]).status_code for number in range(20)]
    assert answers == [200] * 2 + [429] * 18
    mine = {"email": SPELLINGS[0], "send_attempt": 1}
    for number, status in enumerate([200, 429, 429]):
        path = "/_matrix/client/v3/account/password/email/requestToken"
        assert world.post(path, {**mine, "client_secret": f"m{number}"}).status_code == status
    assert len(world.mails()) == before + 3
