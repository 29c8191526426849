"""A11: nobody earns by having us text their numbers: countries, kinds, caps by prefix, country and in all, and a guard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from threepid.clock import HOUR
from threepid.domain import limits
from world import PASSWORD, World

_H: Final = 3_600_000
C: Final = "/_matrix/client/v3"
WAYS: Final = [
    f"{C}/register/msisdn/requestToken",
    f"{C}/account/3pid/msisdn/requestToken",
    f"{C}/account/password/msisdn/requestToken",
    "/_matrix/identity/v2/validate/msisdn/requestToken",
]
PLENTY: Final = {"burst": 1_000_000, "per_hour": 1}
MESSAGES: Final = ["message_to_address", "message_from_client", "message_total"]
TEXTS: Final = ["sms_to_prefix", "sms_to_country", "sms_total"]


class Pumper:
    """Asks for texts in every way, each time with another secret and from another network."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.identity = world.identity_token(world.register("mallory"), "mallory")
        self.count = 0

    def ask(self, number: str, country: str = "GB", *, at: World | None = None, source: str = "") -> httpx.Response:
        self.count += 1
        way = WAYS[self.count % 4]
        return (at or self.world).post(
            way,
            {"client_secret": f"s{self.count}", "country": country, "phone_number": number, "send_attempt": 1},
            token=self.identity if "identity" in way else None,
            headers={
                "X-Forwarded-For": source
                or f"198.{18 + self.count // 65536}.{self.count // 256 % 256}.{self.count % 256}"
            },
        )

    def sent(self, count: int, *, prefix: str = "+447400", start: int = 100_000, **more: Any) -> int:
        """How many of so many sequential numbers are texted."""
        answers = [self.ask(f"{prefix}{start + number:06}", **more) for number in range(count)]
        assert {answer.status_code for answer in answers} <= {200, 429}
        return sum(answer.status_code == 200 for answer in answers)


def opened(database_url: str, tmp_path: Path, **changes: Any) -> World:
    settings = {"limits__all": "on", "server__trusted_proxies": ["127.0.0.1"], "sms__countries": ["GB", "DE"]}
    return World(database_url, tmp_path, **{**settings, **changes})


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with opened(database_url, tmp_path) as made:
        yield made


def test_no_number_is_texted_until_a_country_is_named(database_url: str, tmp_path: Path) -> None:
    with opened(database_url, tmp_path, sms__countries=[]) as world:
        pumper = Pumper(world)
        for _ in WAYS:
            answer = pumper.ask("+447400123456")
            assert (answer.status_code, answer.json()["errcode"]) == (400, "M_THREEPID_MEDIUM_NOT_SUPPORTED")
        assert world.texts() == []


@pytest.mark.parametrize(
    "number",
    [
        "+881612345678",
        "+882 13000000",
        "+883510012345",
        "+870301234567",
        "+800 12345678",
        "+979123456789",
        "00881612345678",
        "+１８７６２１０１２３４",
        "+447781123456",
        "+33612345678",
        "+449012345678",
        "09012345678",
        "+447012345678",
        "07012345678",
        "+448001234567",
        "+447640123456",
        "+4918012345",
        "+499001234567",
    ],
)
def test_the_country_that_is_said_does_not_count_and_costly_kinds_are_refused(world: World, number: str) -> None:
    pumper = Pumper(world)
    for country in ("GB", "DE"):
        for _ in WAYS:
            answer = pumper.ask(number, country)
            assert answer.status_code in (400, 403), number
            assert answer.json()["errcode"] in (
                "M_THREEPID_DENIED",
                "M_INVALID_PARAM",
                "M_INVALID_ADDRESS",
                "M_DESTINATION_REJECTED",
            )
    assert world.texts() == []


def test_of_a_thousand_sequential_numbers_the_cap_of_their_prefix_is_texted(world: World) -> None:
    pumper = Pumper(world)
    assert pumper.sent(1000) == 30
    assert len(world.texts()) == 30
    world.clock.advance(HOUR)
    assert pumper.sent(100, start=180_000) == 5
    assert len(world.texts()) == 35


def test_the_caps_are_spent_in_every_process_and_after_a_restart(database_url: str, tmp_path: Path) -> None:
    with opened(database_url, tmp_path) as world:
        pumper = Pumper(world)
        assert pumper.sent(20) == 20
        with world.again() as other:
            assert pumper.sent(20, start=120_000, at=other) == 10
        clock = world.clock
    with World(database_url, tmp_path, clock=clock, seed="restarted", **world._changes) as restarted:
        assert pumper.sent(20, start=140_000, at=restarted) == 0


def test_asking_at_the_same_time_gets_no_more(world: World) -> None:
    def ask(number: int) -> Any:
        body = {
            "client_secret": f"p{number}",
            "country": "GB",
            "phone_number": f"+447400{number:06}",
            "send_attempt": 1,
        }
        headers = {"X-Forwarded-For": f"203.0.113.{number % 256}"}
        return lambda: world.acall("POST", WAYS[0], body, headers=headers)

    answers = world.together(*(ask(100_000 + number) for number in range(80)))
    assert sum(answer.status_code == 200 for answer in answers) == 30
    assert len(world.texts()) == 30


@pytest.mark.parametrize(
    ("limit", "numbers"),
    [
        ("sms_to_prefix", [f"+4474001{number:05}" for number in range(12)]),
        ("sms_to_country", [f"+447{400 + number}100000" for number in range(12)]),
        (
            "sms_total",
            [f"+447400{number}00000" for number in range(6)] + [f"+49151{number}3456789" for number in range(6)],
        ),
        (
            "message_total",
            [f"+447400{number}00000" for number in range(6)] + [f"+49151{number}3456789" for number in range(6)],
        ),
        ("message_to_address", ["+447400123456"] * 12),
    ],
)
def test_each_cap_holds_by_itself(database_url: str, tmp_path: Path, limit: str, numbers: list[str]) -> None:
    caps = {**dict.fromkeys([*MESSAGES, *TEXTS], PLENTY), limit: {"burst": 5, "per_hour": 1}}
    with opened(database_url, tmp_path, limits={"all": "on", **caps}) as world:
        pumper = Pumper(world)
        answers = [pumper.ask(number) for number in numbers]
        # The last one to an address is kept for callers whom its account knows.
        most = 4 if limit == "message_to_address" else 5
        assert [answer.status_code for answer in answers] == [200] * most + [429] * (12 - most)
        assert answers[-1].json()["retry_after_ms"] <= HOUR
        assert len(world.texts()) == most


def test_one_caller_causes_so_many_and_no_more(world: World) -> None:
    pumper = Pumper(world)
    answers = [pumper.ask(f"+447{400 + number}100000", source="203.0.113.7") for number in range(20)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 10


def test_a_prefix_whose_codes_nobody_hands_in_is_closed_and_the_operator_can_see_it(
    database_url: str, tmp_path: Path
) -> None:
    caps = dict.fromkeys([*MESSAGES, *TEXTS], PLENTY)
    with opened(database_url, tmp_path, limits={"all": "on", **caps}) as world:
        pumper = Pumper(world)
        assert pumper.sent(200) == 50
        assert world.run(limits.closed_prefixes(world.server.context)) == 1
        with world.again() as other:
            assert pumper.sent(10, start=190_000, at=other) == 0
        assert pumper.sent(10, prefix="+447500") == 10
        world.clock.advance(3 * 24 * HOUR)
        assert world.run(limits.closed_prefixes(world.server.context)) == 0
        assert pumper.sent(10, start=150_000) == 10


def test_a_prefix_of_people_stays_open(database_url: str, tmp_path: Path) -> None:
    caps = dict.fromkeys([*MESSAGES, *TEXTS], PLENTY)
    with opened(database_url, tmp_path, limits={"all": "on", **caps}) as world:
        pumper = Pumper(world)
        for number in range(5):
            body = {
                "client_secret": "s",
                "country": "GB",
                "phone_number": f"+447400{199_990 + number}",
                "send_attempt": 1,
            }
            sid = world.post(WAYS[0], body).json()["sid"]
            confirmed = {"sid": sid, "client_secret": "s", "token": world.text().code}
            assert world.post("/_threepid/client/v1/submit_token", confirmed).status_code == 200
        assert pumper.sent(45) == 45
        assert world.run(limits.closed_prefixes(world.server.context)) == 0
        assert pumper.ask("+447400150000").status_code == 200


def test_notices_do_not_pump_either(database_url: str, tmp_path: Path) -> None:
    caps = {**dict.fromkeys([*MESSAGES, *TEXTS], PLENTY), "sms_to_prefix": {"burst": 3, "per_hour": 1}}
    with opened(database_url, tmp_path, limits={"all": "on", **caps}) as world:
        token = world.register()
        body = {"client_secret": "s", "country": "GB", "phone_number": "+447400123456", "send_attempt": 1}
        sid = world.post(WAYS[1], body, token=token).json()["sid"]
        confirmed = {"sid": sid, "client_secret": "s", "token": world.text().code}
        world.post("/_threepid/client/v1/submit_token", confirmed)
        auth = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
        added = world.post(f"{C}/account/3pid/add", {"sid": sid, "client_secret": "s", "auth": auth}, token=token)
        assert added.status_code == 200
        before = len(world.texts())
        for _ in range(6):
            body = {"new_password": PASSWORD, "logout_devices": False, "auth": auth}
            assert world.post(f"{C}/account/password", body, token=token).status_code == 200
        assert len(world.texts()) == before + 3


def test_one_caller_closes_no_prefix(database_url: str, tmp_path: Path) -> None:
    reset = "/_matrix/client/v3/account/password/msisdn/requestToken"
    proxies = ["127.0.0.1"]
    with World(
        database_url, tmp_path, limits={"all": "on"}, server__trusted_proxies=proxies, sms__countries=["DE"]
    ) as world:

        def ask(number: int, client: str) -> int:
            body = {
                "client_secret": "s",
                "country": "DE",
                "phone_number": f"+49151234{number:05}",
                "send_attempt": 1,
            }
            return world.post(reset, body, headers={"X-Forwarded-For": client}).status_code

        statuses = []
        for number in range(2 * 24):
            statuses.append(ask(number, "198.51.100.1"))
            world.clock.advance(HOUR)
        assert 20 <= statuses.count(200) < 50
        assert world.run(limits.closed_prefixes(world.server.context)) == 0
        assert ask(99_999, "198.51.100.2") == 200
