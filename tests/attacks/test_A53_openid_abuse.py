"""A53: a token of the identity server is given for what the asked homeserver itself says of its own user, and ends."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fake_homeserver import FakeHomeserver, homeserver
from fake_identity_server import DROP, HANG
from threepid import background
from threepid.clock import DAY
from threepid.remote.guard import CALLS_PER_HOST
from threepid.remote.patience import Patience
from threepid.storage.engine.queries import Query
from world import PASSWORD, World

REGISTER = "/_matrix/identity/v2/account/register"
ACCOUNT = "/_matrix/identity/v2/account"
USERINFO = "/_matrix/federation/v1/openid/userinfo"
ONE_AN_HOUR = {"burst": 1, "per_hour": 1}
PLENTY = {"burst": 1_000, "per_hour": 1_000}
COUNT = "SELECT COUNT(*) FROM identity_tokens"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[FakeHomeserver]:
    with homeserver() as made:
        yield made


@pytest.fixture
def world(database_url: str, tmp_path: Path, elsewhere: FakeHomeserver) -> Iterator[World]:
    with World(database_url, tmp_path, patience=Patience(call=4.0), **elsewhere.settings) as made:
        yield made


def register(world: World, elsewhere: FakeHomeserver, **changes: Any) -> httpx.Response:
    return world.post(REGISTER, {**elsewhere.openid("zoe"), **changes})


def tokens(world: World) -> int:
    """How many tokens of the identity server there are."""

    return int(world.run(world.server.context.database.read(lambda tx: tx.value(Query("test", COUNT, COUNT)))))


def refused(world: World, answer: httpx.Response, status: int = 502) -> None:
    """There is no token, and nothing is told but that the homeserver could not be asked."""
    assert answer.status_code == status
    if status == 502:
        assert answer.json() == {"errcode": "M_UNKNOWN", "error": "The homeserver is unreachable."}
    assert "token" not in answer.json()


def test_the_users_own_homeserver_is_believed(world: World, elsewhere: FakeHomeserver) -> None:
    answer = register(world, elsewhere)
    assert answer.status_code == 200
    token = answer.json()["token"]
    assert world.get(ACCOUNT, token=token).json() == {"user_id": elsewhere.user_id("zoe")}
    assert [asked.uri for asked in elsewhere.asked] == [f"{USERINFO}?access_token=zoe"]
    assert elsewhere.asked[0].headers["host"] == elsewhere.name


@pytest.mark.parametrize(
    "sub",
    [
        "@zoe:example.org", "@zoe:matrix.org", "@zoe:localhost", "@zoe:{name}.example.org", "@zoe:{name}:1", "@zoe:x:{name}",
        "@zoe:{upper}", "@zoe:evil-{name}", "@zoe:{name} ", " @zoe:{name}", "@zoe:{name}\n", "@zoe:{name}\x00", "zoe:{name}",
        "@@zoe", "@zoe", "@:", "@zoe:", ":{name}", "{name}", "", "@zoe\n:{name}", "@zo e:{name}", "@zoé:{name}", "@zoe:[::1]",
        "!zoe:{name}", "#zoe:{name}", "@" + "z" * 300 + ":{name}", "@zoe@{name}", "@zoe:{name}/", "@zoe:{name}#", "@zoe:{name}?",
        "@zoe:127.0.0.1:{port}", "@zoe:localhost.:{port}", "@zoe:0{port}",
        None, True, 1, 1.5, [], ["@zoe:{name}"], {}, {"sub": "@zoe:{name}"},
    ],
)  # fmt: skip
def test_no_other_subject_gets_a_token(world: World, elsewhere: FakeHomeserver, sub: Any) -> None:
    port = str(elsewhere.port)

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return value.format(name=elsewhere.name, upper=elsewhere.name.upper(), port=port)
        if isinstance(value, list):
            return [fill(one) for one in value]
        return {key: fill(one) for key, one in value.items()} if isinstance(value, dict) else value

    elsewhere.replies[USERINFO] = 200, {"sub": fill(sub)}
    refused(world, register(world, elsewhere))
    assert tokens(world) == 0


ANSWERS: dict[str, Any] = {
    "nothing": (200, b""),
    "a page": (200, b"<html>@zoe</html>"),
    "an array": (200, b"[]"),
    "no subject": (200, {"user": "@zoe"}),
    "another status": (202, {"sub": "SUB"}),
    "an error with a subject": (401, {"sub": "SUB"}),
    "a failure": (500, {"sub": "SUB", "errcode": "M_UNKNOWN"}),
    "a redirect": (302, {"sub": "SUB"}),
    "the subject twice": (200, b'{"sub": "@mallory:example.org", "sub": "SUB"}'),
    "too much": (200, {"sub": "SUB", "more": "x" * 5_000}),
    "not UTF-8": (200, b'{"sub": "SUB", "x": "\xff"}'),
    "too deep": (200, b'{"sub": "SUB", "x": ' + b"[" * 100 + b"]" * 100 + b"}"),
    "no answer": DROP,
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_not_as_it_should_be_gets_no_token(
    world: World, elsewhere: FakeHomeserver, name: str
) -> None:
    answer = ANSWERS[name]
    if answer != DROP:
        status, content = answer
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        answer = status, raw.replace(b"SUB", elsewhere.user_id("zoe").encode())
    elsewhere.replies[USERINFO] = answer
    refused(world, register(world, elsewhere))
    assert tokens(world) == 0


def test_five_kilobytes_are_enough_and_no_more(world: World, elsewhere: FakeHomeserver) -> None:
    body = {"sub": elsewhere.user_id("zoe"), "more": ""}
    body["more"] = "x" * (5_000 - len(json.dumps(body)))
    elsewhere.replies[USERINFO] = 200, body
    assert register(world, elsewhere).status_code == 200
    body["more"] += "x"
    refused(world, register(world, elsewhere))


def test_an_openid_token_that_the_homeserver_no_longer_knows_is_worth_nothing(
    world: World, elsewhere: FakeHomeserver
) -> None:
    assert register(world, elsewhere).status_code == 200
    elsewhere.replies[USERINFO] = 401, {"errcode": "M_UNKNOWN_TOKEN", "error": "Expired."}
    for expires_in in (3600, 10**15, -1):
        answer = register(world, elsewhere, expires_in=expires_in)
        refused(world, answer, 401)
        assert answer.json()["errcode"] == "M_UNAUTHORIZED"
    assert tokens(world) == 1


def test_an_openid_token_of_our_own_homeserver_ends_too(world: World) -> None:
    alice = world.register()
    openid = world.post("/_matrix/client/v3/user/@alice:example.org/openid/request_token", token=alice).json()
    assert world.post(REGISTER, openid).status_code == 200
    world.clock.advance(openid["expires_in"] * 1000)
    refused(world, world.post(REGISTER, openid), 401)
    # Nor is it one of another homeserver, nor of this one under another name.
    for name in ("EXAMPLE.ORG", "example.org.", "example.org:443", "matrix.example.org"):
        assert world.post(REGISTER, {**openid, "matrix_server_name": name}).status_code in (401, 502)
    assert tokens(world) == 1


def test_a_homeserver_is_asked_for_the_token_as_it_came(world: World, elsewhere: FakeHomeserver) -> None:
    hostile = "zoe&access_token=admin#?/../ %00é\r\nX: y"
    register(world, elsewhere, access_token=hostile)
    (asked,) = elsewhere.asked
    assert asked.uri.startswith(f"{USERINFO}?access_token=zoe%26access_token%3Dadmin%23")
    assert "x" not in asked.headers


def test_a_slow_homeserver_ends_in_an_error_and_keeps_nobody_else_waiting(
    world: World, elsewhere: FakeHomeserver
) -> None:
    elsewhere.replies[USERINFO] = HANG
    ended: list[str] = []

    async def slow() -> None:
        refused(world, await world.acall("POST", REGISTER, elsewhere.openid("zoe")))
        ended.append("slow")

    async def others() -> None:
        while len(elsewhere.asked) < CALLS_PER_HOST:
            await asyncio.sleep(0.01)
        assert (await world.acall("GET", "/_matrix/identity/v2")).status_code == 200
        assert (await world.acall("GET", ACCOUNT, token="none")).status_code == 401
        ended.append("others")

    world.together(*[slow] * 12, others)
    assert ended == ["others", *["slow"] * 12]
    assert tokens(world) == 0


@pytest.mark.parametrize("name", ["other.example", "localhost", "*", "LOCALHOST:1", "localhost:8448"])
def test_only_listed_homeservers_are_asked(
    database_url: str, tmp_path: Path, elsewhere: FakeHomeserver, name: str
) -> None:
    with World(database_url, tmp_path, **elsewhere.settings, identity__homeservers_allowed=["other.example"]) as world:
        answer = register(world, elsewhere)
        assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")
        if name != "other.example":
            assert register(world, elsewhere, matrix_server_name=name).status_code == 403
    assert elsewhere.asked == []


# -- a token's end


def test_a_token_ends_after_its_life_and_is_forgotten(
    database_url: str, tmp_path: Path, elsewhere: FakeHomeserver
) -> None:
    with World(database_url, tmp_path, **elsewhere.settings, identity__token_days=30) as world:
        token = register(world, elsewhere).json()["token"]
        world.clock.advance(30 * DAY - 1)
        assert world.get(ACCOUNT, token=token).status_code == 200
        world.run(background.run_once(world.server.context))
        assert tokens(world) == 1
        world.clock.advance(1)
        assert world.get(ACCOUNT, token=token).json()["errcode"] == "M_UNAUTHORIZED"
        world.run(background.run_once(world.server.context))
        assert tokens(world) == 0


def test_a_token_lasts_a_year_unless_it_is_to_last_for_ever(
    world: World, database_url: str, elsewhere: FakeHomeserver
) -> None:
    token = register(world, elsewhere).json()["token"]
    with world.again(identity__token_days=0) as lasting:
        for_ever = register(lasting, elsewhere).json()["token"]
    world.clock.advance(365 * DAY)
    world.run(background.run_once(world.server.context))
    assert world.get(ACCOUNT, token=token).status_code == 401
    assert world.get(ACCOUNT, token=for_ever).status_code == 200


def test_a_token_is_revoked_by_logout_and_by_the_end_of_its_account(world: World, elsewhere: FakeHomeserver) -> None:
    zoe = [register(world, elsewhere).json()["token"] for _ in range(2)]
    assert world.post(f"{ACCOUNT}/logout", token=zoe[0]).status_code == 200
    assert [world.get(ACCOUNT, token=token).status_code for token in zoe] == [401, 200]
    alice = world.register()
    of_alice = [world.identity_token(alice) for _ in range(3)]
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    assert world.post("/_matrix/client/v3/account/deactivate", {"auth": auth}, token=alice).status_code == 200
    with world.again() as other:
        assert [other.get(ACCOUNT, token=token).status_code for token in of_alice] == [401] * 3
        assert other.get(ACCOUNT, token=zoe[1]).status_code == 200


# -- how often


def limited(**narrow: dict[str, float]) -> dict[str, Any]:
    return {"all": "on", "outbound_from_client": PLENTY, "outbound_to_server": PLENTY, **narrow}


def test_one_caller_asks_so_often_whatever_homeserver_it_names(
    database_url: str, tmp_path: Path, elsewhere: FakeHomeserver
) -> None:
    limits = limited(outbound_from_client={"burst": 3, "per_hour": 6})
    proxies: dict[str, Any] = {"server__trusted_proxies": ["127.0.0.1/32"]}
    with World(database_url, tmp_path, **elsewhere.settings, **proxies, limits=limits) as world:

        def ask(client: str, name: str) -> int:
            body = {**elsewhere.openid("zoe"), "matrix_server_name": name}
            return world.post(REGISTER, body, headers={"X-Forwarded-For": client}).status_code

        names = [elsewhere.name, "10.0.0.1", f"localhost:{elsewhere.port}"]
        assert [ask("192.0.2.1", name) for name in names] == [200, 502, 200]
        with world.again() as other:
            answer = other.post(REGISTER, elsewhere.openid("zoe"), headers={"X-Forwarded-For": "192.0.2.1"})
            assert answer.json()["errcode"] == "M_LIMIT_EXCEEDED"
            assert answer.json()["retry_after_ms"] == 10 * 60_000
            assert answer.headers["retry-after"] == "600"
        count = len(elsewhere.asked)
        assert ask("192.0.2.1", elsewhere.name) == 429
        assert len(elsewhere.asked) == count
        assert ask("192.0.2.2", elsewhere.name) == 200
        # An IPv6 network is one caller.
        assert [ask(f"2001:db8::{number}", elsewhere.name) for number in range(1, 5)] == [200] * 3 + [429]
        world.clock.advance(10 * 60_000)
        assert ask("192.0.2.1", elsewhere.name) == 200


def test_one_homeserver_is_asked_so_often_whoever_wants_it(
    database_url: str, tmp_path: Path, elsewhere: FakeHomeserver
) -> None:
    limits = limited(outbound_to_server={"burst": 3, "per_hour": 6})
    proxies: dict[str, Any] = {"server__trusted_proxies": ["127.0.0.1/32"]}
    with World(database_url, tmp_path, **elsewhere.settings, **proxies, limits=limits) as world:

        def ask(number: int, name: str) -> int:
            body = {**elsewhere.openid("zoe"), "matrix_server_name": name}
            return world.post(REGISTER, body, headers={"X-Forwarded-For": f"192.0.2.{number}"}).status_code

        answers = [ask(number, elsewhere.name if number % 2 else elsewhere.name.upper()) for number in range(6)]
        assert answers.count(429) == 3
        assert len(elsewhere.asked) == 3
        assert ask(7, "10.0.0.1") == 502
        # Our own homeserver is asked without a call, so it is not held up.
        assert world.identity_token(world.register())
