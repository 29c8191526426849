"""A36: a refresh token is good until what came of it is used, and after that ends its whole family.

Every short sequence of uses is walked in tests/domain/test_devices.py; here is what clients and thieves see.
"""

import asyncio
from typing import Any, Final, cast

import httpx
import pytest

from threepid.clock import DAY, HOUR
from world import BASE, PASSWORD, World

C: Final = "/_matrix/client/v3"
PASSWORD_STAGE: Final = {"type": "m.login.password", "user": "alice", "password": PASSWORD}


@pytest.fixture
def login(world: World) -> dict[str, Any]:
    world.register()
    return log_in(world)


def log_in(world: World, **more: Any) -> dict[str, Any]:
    body = {**PASSWORD_STAGE, "device_id": "PHONE", "refresh_token": True, **more}
    answer = world.post(f"{C}/login", body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refresh(world: World, tokens: dict[str, Any], path: str = f"{C}/refresh") -> httpx.Response:
    return world.post(path, {"refresh_token": tokens["refresh_token"]})


def use(world: World, tokens: dict[str, Any]) -> httpx.Response:
    return world.get(f"{C}/account/whoami", token=tokens["access_token"])


def refused(answer: httpx.Response, *, soft: bool = False) -> bool:
    """Is it the specification's refusal, which says whether a refresh can help?"""
    body = answer.json()
    return (answer.status_code, body["errcode"], body.get("soft_logout", False)) == (401, "M_UNKNOWN_TOKEN", soft)


@pytest.mark.parametrize("path", [f"{C}/refresh", "/_matrix/client/v1/refresh", "/_matrix/client/r0/tokenrefresh"])
def test_the_old_token_is_good_until_the_new_one_is_used_and_ends_everything_after_that(
    world: World, login: dict[str, Any], path: str
) -> None:
    lost = refresh(world, login, path).json()
    got = refresh(world, login, path).json()
    assert use(world, login).status_code == 200
    assert use(world, got).status_code == 200
    assert refused(use(world, login))
    assert refused(use(world, lost))
    assert refused(refresh(world, lost, path))
    assert use(world, got).status_code == 200
    assert refused(refresh(world, login, path))
    assert refused(use(world, got))
    assert refused(refresh(world, got, path))


def test_a_thief_who_is_first_is_found_out_when_the_owner_comes(world: World, login: dict[str, Any]) -> None:
    stolen = refresh(world, login).json()
    assert use(world, stolen).status_code == 200
    stolen = refresh(world, stolen).json()
    assert use(world, stolen).status_code == 200
    assert refused(use(world, login))
    assert refused(refresh(world, login))
    assert refused(use(world, stolen))
    assert refused(refresh(world, stolen))
    assert use(world, log_in(world)).status_code == 200


def test_using_the_new_refresh_token_is_a_use_too(world: World, login: dict[str, Any]) -> None:
    first = refresh(world, login).json()
    second = refresh(world, first).json()
    assert refused(refresh(world, login))
    for tokens in (first, second):
        assert refused(use(world, tokens))
        assert refused(refresh(world, tokens))


def test_of_fifty_parallel_refreshes_in_two_processes_never_two_lines_live(world: World, login: dict[str, Any]) -> None:
    async def run() -> None:
        server = await world._open()
        transport = httpx.ASGITransport(app=cast(Any, server.asgi))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as elsewhere:
            processes = (world.http, elsewhere)

            async def ask(number: int, tokens: dict[str, Any]) -> httpx.Response:
                body = {"refresh_token": tokens["refresh_token"]}
                return await processes[number % 2].post(f"{C}/refresh", json=body)

            async def try_out(number: int, tokens: dict[str, Any]) -> int:
                headers = {"Authorization": f"Bearer {tokens['access_token']}"}
                return (await processes[number % 2].get(f"{C}/account/whoami", headers=headers)).status_code

            current = login
            for _ in range(3):
                answers = await asyncio.gather(*(ask(number, current) for number in range(50)))
                pairs = [answer.json() for answer in answers if answer.status_code == 200]
                assert len(pairs) == 50
                assert len({pair["refresh_token"] for pair in pairs}) == 50
                statuses = await asyncio.gather(*(try_out(*numbered) for numbered in enumerate(pairs)))
                assert sorted(set(statuses)) == [200, 401]
                assert statuses.count(200) == 1
                current = pairs[statuses.index(200)]
                others = [pair for pair in pairs if pair is not current]
                assert {(await ask(number, pair)).status_code for number, pair in enumerate(others)} == {401}
                assert await try_out(1, current) == 200
        await server.stop()

    world.run(run())


def test_soft_logout_is_said_only_when_a_refresh_can_help(world: World, login: dict[str, Any]) -> None:
    assert login["expires_in_ms"] == HOUR
    assert refused(world.get(f"{C}/account/whoami", token="tp_nosuch"))
    world.clock.advance(HOUR)
    assert refused(use(world, login), soft=True)
    got = refresh(world, login).json()
    assert use(world, got).status_code == 200
    assert refused(use(world, login))
    world.clock.advance(90 * DAY)
    assert refused(use(world, got))
    assert refused(refresh(world, got))


def test_soft_logout_is_not_said_of_a_family_that_ended(world: World, login: dict[str, Any]) -> None:
    got = refresh(world, login).json()
    assert use(world, got).status_code == 200
    assert refused(refresh(world, login))
    world.clock.advance(HOUR)
    for tokens in (login, got):
        assert refused(use(world, tokens))


@pytest.mark.parametrize("end", ["logout", "logout/all", "delete_devices", "login", "password"])
def test_the_family_ends_with_its_device(world: World, login: dict[str, Any], end: str) -> None:
    other = log_in(world, device_id="TABLET")
    offered = refresh(world, login).json()
    if end == "login":
        log_in(world)
    else:
        path, body, tokens = {
            "logout": ("/logout", {}, login),
            "logout/all": ("/logout/all", {}, other),
            "delete_devices": ("/delete_devices", {"devices": ["PHONE"], "auth": PASSWORD_STAGE}, other),
            "password": ("/account/password", {"new_password": "another long one", "auth": PASSWORD_STAGE}, other),
        }[end]
        assert world.post(C + path, body, token=tokens["access_token"]).status_code == 200
    with world.again() as process:
        for tokens in (login, offered):
            assert refused(refresh(process, tokens))
            assert refused(use(process, tokens))


def test_the_device_that_changed_the_password_refreshes_on(world: World, login: dict[str, Any]) -> None:
    body = {"new_password": "another long one", "auth": PASSWORD_STAGE}
    assert world.post(f"{C}/account/password", body, token=login["access_token"]).status_code == 200
    got = refresh(world, login)
    assert got.status_code == 200
    assert use(world, got.json()).status_code == 200


def test_no_token_stands_in_for_another_kind(world: World, login: dict[str, Any]) -> None:
    identity = world.identity_token(login["access_token"])
    login_token = world.post(
        "/_matrix/client/v1/login/get_token", {"auth": PASSWORD_STAGE}, token=login["access_token"]
    ).json()["login_token"]
    for token in (login["access_token"], identity, login_token):
        assert refused(refresh(world, {"refresh_token": token}))
    for token in (login["refresh_token"], identity, login_token):
        assert refused(world.get(f"{C}/account/whoami", token=token))
    for token in (login["refresh_token"], login["access_token"], identity):
        body = {"type": "m.login.token", "token": token}
        assert world.post(f"{C}/login", body).status_code == 403


def test_tokens_are_kept_as_hashes_only(world: World, login: dict[str, Any]) -> None:
    from threepid.storage.queries import Query

    statement = "SELECT COUNT(*) FROM {} WHERE token_hash = :token"
    secret = login["refresh_token"].encode()
    for table in ("access_tokens", "refresh_tokens"):
        sqlite = statement.format(table)
        query = Query("test", sqlite, sqlite.replace(":token", "%(token)s"))
        assert world.run(world.server.context.database.read(lambda tx, query=query: tx.value(query, token=secret))) == 0  # type: ignore[misc]
