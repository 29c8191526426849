"""A70: login, OpenID and identity tokens have a number and a limit, and end with the device that got them."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import httpx
import pytest

from fake_homeserver import FakeHomeserver, homeserver
from threepid import background
from threepid.clock import DAY, HOUR, MINUTE
from threepid.storage.engine.queries import Query
from world import BASE, PASSWORD, World

C: Final = "/_matrix/client/v3"
REGISTER: Final = "/_matrix/identity/v2/account/register"
ACCOUNT: Final = "/_matrix/identity/v2/account"
USERINFO: Final = "/_matrix/federation/v1/openid/userinfo"
REQUEST: Final = f"{C}/user/@alice:example.org/openid/request_token"
GET_TOKEN: Final = "/_matrix/client/v1/login/get_token"
STAGE: Final = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
MOST: Final = 50


@pytest.fixture
def alice(world: World) -> str:
    return world.register()


def log_in(world: World, device_id: str) -> str:
    answer = world.post(f"{C}/login", {**STAGE, "device_id": device_id})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def count(world: World, table: str) -> int:
    statement = f"SELECT COUNT(*) FROM {table}"
    return int(world.run(world.server.context.database.read(lambda tx: tx.value(Query(table, statement, statement)))))


def openid(world: World, token: str) -> dict[str, Any]:
    answer = world.post(REQUEST, token=token)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def names_alice(world: World, openid_token: dict[str, Any]) -> bool:
    return world.get(f"{USERINFO}?access_token={openid_token['access_token']}").status_code == 200


def works(world: World, identity: str) -> bool:
    answer = world.get(ACCOUNT, token=identity)
    assert answer.status_code == 200 or (answer.status_code, answer.json()["errcode"]) == (401, "M_UNAUTHORIZED")
    return answer.status_code == 200


# -- a number


def test_a_user_has_fifty_identity_tokens_and_the_oldest_goes(world: World, alice: str) -> None:
    bob = world.identity_token(world.register("bob"), "bob")
    one = openid(world, alice)
    got = [str(world.post(REGISTER, one).json()["token"]) for _ in range(MOST + 5)]
    assert [works(world, token) for token in got] == [False] * 5 + [True] * MOST
    assert count(world, "identity_tokens") == MOST + 1
    assert works(world, bob)
    # One that was logged out makes room: nobody else's place is taken for it.
    assert world.post(f"{ACCOUNT}/logout", token=got[-1]).status_code == 200
    got.append(world.post(REGISTER, one).json()["token"])
    assert works(world, got[5])


def test_an_account_has_fifty_openid_and_login_tokens_and_the_oldest_goes(world: World, alice: str) -> None:
    tokens = [openid(world, alice) for _ in range(MOST + 5)]
    assert [names_alice(world, token) for token in tokens] == [False] * 5 + [True] * MOST
    assert world.post(REGISTER, tokens[0]).status_code == 401
    logins = [world.post(GET_TOKEN, {"auth": STAGE}, token=alice).json()["login_token"] for _ in range(MOST + 2)]
    assert count(world, "login_tokens") == MOST
    statuses = [
        world.post(f"{C}/login", {"type": "m.login.token", "token": token}).status_code
        for token in (logins[0], logins[1], logins[2], logins[-1])
    ]
    assert statuses == [403, 403, 200, 200]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[FakeHomeserver]:
    with homeserver() as made:
        yield made


def test_users_of_other_homeservers_have_fifty_for_their_time(
    database_url: str, tmp_path: Path, elsewhere: FakeHomeserver
) -> None:
    """Also when many are made at one moment in two processes, where there is no row that could be locked."""
    with World(database_url, tmp_path, **elsewhere.settings) as world:
        zoe = elsewhere.openid("zoe")
        first = world.post(REGISTER, zoe).json()["token"]

        async def run() -> list[int]:
            server = await world._open()
            transport = httpx.ASGITransport(app=cast(Any, server.asgi))
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as there:
                both = (world.http, there)
                answers = await asyncio.gather(*(both[number % 2].post(REGISTER, json=zoe) for number in range(70)))
            await server.stop()
            return [answer.status_code for answer in answers]

        assert set(world.run(run())) == {200}
        assert count(world, "identity_tokens") == MOST
        assert not works(world, first)
        last = world.post(REGISTER, zoe).json()["token"]
        # What ends at our homeserver is no matter of theirs.
        assert world.post(f"{C}/logout/all", token=world.register()).status_code == 200
        world.clock.advance(365 * DAY - 1)
        world.run(background.run_once(world.server.context))
        assert works(world, last)
        world.clock.advance(1)
        assert not works(world, last)


# -- a limit


def test_openid_tokens_are_limited_by_account_over_all_its_devices_and_processes(
    database_url: str, tmp_path: Path
) -> None:
    limits = {"all": "on", "openid_tokens_of_account": {"burst": 3, "per_hour": 6}}
    with World(database_url, tmp_path, limits=limits) as world, world.again() as process:
        alice, bob = world.register(), world.register("bob")
        tokens = [alice, log_in(world, "OTHER"), alice, alice]
        servers = [world, process, world, process]
        answers = [server.post(REQUEST, token=token) for server, token in zip(servers, tokens, strict=True)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].json()["errcode"] == "M_LIMIT_EXCEEDED"
        assert answers[-1].json()["retry_after_ms"] == 10 * MINUTE
        assert count(world, "openid_tokens") == 3
        path = f"{C}/user/@bob:example.org/openid/request_token"
        assert world.post(path, token=bob).status_code == 200
        world.clock.advance(10 * MINUTE)
        assert world.post(REQUEST, token=alice).status_code == 200


def test_one_openid_token_is_exchanged_so_often(database_url: str, tmp_path: Path) -> None:
    limits = {"all": "on", "identity_tokens_of_user": {"burst": 3, "per_hour": 6}}
    with World(database_url, tmp_path, limits=limits) as world:
        one = openid(world, world.register())
        assert [world.post(REGISTER, one).status_code for _ in range(5)] == [200] * 3 + [429] * 2
        assert count(world, "identity_tokens") == 3


def test_a_flood_with_the_usual_limits_leaves_few_rows(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, limits={"all": "on"}) as world:
        alice = world.register()

        async def flood() -> list[int]:
            body = (await world.acall("POST", REQUEST, {}, token=alice)).json()
            asked = [world.acall("POST", REQUEST, {}, token=alice) for _ in range(200)]
            exchanged = [world.acall("POST", REGISTER, body) for _ in range(200)]
            return [answer.status_code for answer in await asyncio.gather(*asked, *exchanged)]

        statuses = world.run(flood())
        assert sorted(set(statuses)) == [200, 429]
        assert statuses.count(200) == 49 + 50
        assert count(world, "openid_tokens") <= MOST
        assert count(world, "identity_tokens") <= MOST


# -- an end

End = Callable[[World, str, str], httpx.Response]
ENDS: Final[dict[str, End]] = {
    "logout": lambda world, this, other: world.post(f"{C}/logout", token=this),
    "deleted": lambda world, this, other: world.call("DELETE", f"{C}/devices/THIS", {"auth": STAGE}, token=other),
    "deleted by itself": lambda world, this, other: world.post(
        f"{C}/delete_devices", {"devices": ["THIS"], "auth": STAGE}, token=this
    ),
    "logout of all": lambda world, this, other: world.post(f"{C}/logout/all", token=other),
    "password changed": lambda world, this, other: world.post(
        f"{C}/account/password", {"new_password": "another long one", "auth": STAGE}, token=other
    ),
    "deactivated": lambda world, this, other: world.post(f"{C}/account/deactivate", {"auth": STAGE}, token=other),
}
ONLY_THIS: Final = ("logout", "deleted", "deleted by itself")


@pytest.mark.parametrize("end", ENDS)
def test_all_that_a_device_got_ends_with_it(world: World, alice: str, end: str) -> None:
    this, other = log_in(world, "THIS"), log_in(world, "OTHER")
    openid_tokens = {name: openid(world, token) for name, token in (("this", this), ("other", other))}
    identities = {name: str(world.post(REGISTER, one).json()["token"]) for name, one in openid_tokens.items()}
    logins = {
        name: str(world.post(GET_TOKEN, {"auth": STAGE}, token=token).json()["login_token"])
        for name, token in (("this", this), ("other", other))
    }
    answer = ENDS[end](world, this, other)
    assert answer.status_code == 200, answer.text
    expected = {"this": False, "other": end in ONLY_THIS}
    with world.again() as process:
        assert {name: names_alice(process, one) for name, one in openid_tokens.items()} == expected
        assert {name: process.post(REGISTER, one).status_code == 200 for name, one in openid_tokens.items()} == expected
        assert {name: works(process, token) for name, token in identities.items()} == expected
        found = {
            name: process.post(f"{C}/login", {"type": "m.login.token", "token": token}).status_code == 200
            for name, token in logins.items()
        }
        assert found == expected


def test_a_device_that_is_back_under_its_old_name_does_not_bring_them_back(world: World, alice: str) -> None:
    one = openid(world, log_in(world, "THIS"))
    identity = world.post(REGISTER, one).json()["token"]
    assert ENDS["deleted"](world, "", alice).status_code == 200
    log_in(world, "THIS")
    assert not names_alice(world, one)
    assert not works(world, identity)


def test_an_identity_token_outlives_the_hour_of_its_openid_token(world: World, alice: str) -> None:
    one = openid(world, alice)
    identity = world.post(REGISTER, one).json()["token"]
    world.clock.advance(HOUR)
    world.run(background.run_once(world.server.context))
    assert not names_alice(world, one)
    assert count(world, "openid_tokens") == 0
    assert works(world, identity)
    world.clock.advance(30 * DAY)
    world.run(background.run_once(world.server.context))
    assert works(world, identity)
    assert world.post(f"{C}/logout", token=alice).status_code == 200
    assert not works(world, identity)


def test_an_identity_token_outlives_the_refreshes_of_its_device(world: World, alice: str) -> None:
    tokens = world.post(f"{C}/login", {**STAGE, "device_id": "THIS", "refresh_token": True}).json()
    identity = world.post(REGISTER, openid(world, tokens["access_token"])).json()["token"]
    for _ in range(3):
        world.clock.advance(2 * HOUR)
        tokens = world.post(f"{C}/refresh", {"refresh_token": tokens["refresh_token"]}).json()
        assert world.get(f"{C}/account/whoami", token=tokens["access_token"]).status_code == 200
        world.run(background.run_once(world.server.context))
    assert works(world, identity)


@pytest.mark.parametrize("end", ["logout", "logout/all"])
def test_nothing_slips_in_while_the_device_ends(world: World, alice: str, end: str) -> None:
    async def run() -> None:
        server = await world._open()
        transport = httpx.ASGITransport(app=cast(Any, server.asgi))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as there:
            for number in range(20):
                body = {**STAGE, "device_id": f"D{number}"}
                token = (await world.acall("POST", f"{C}/login", body)).json()["access_token"]
                one = (await world.acall("POST", REQUEST, {}, token=token)).json()
                headers = {"Authorization": f"Bearer {token}"}
                ended, exchanged, asked = await asyncio.gather(
                    world.acall("POST", f"{C}/{end}", {}, token=token),
                    there.post(REGISTER, json=one),
                    there.post(REQUEST, json={}, headers=headers),
                )
                assert ended.status_code == 200
                assert exchanged.status_code in (200, 401)
                assert asked.status_code in (200, 401)
        await server.stop()

    world.run(run())
    assert count(world, "openid_tokens") == count(world, "identity_tokens") == 0
