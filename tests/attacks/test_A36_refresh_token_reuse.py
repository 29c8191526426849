"""A36: a refresh token is good until what came of it is used, and after that ends its whole family.

For 30 seconds a repeat from the same network and user agent gets the same answer again: two tabs of one browser.
Every short sequence of uses is walked in tests/domain/accounts/test_devices.py; here is what clients and thieves see.
"""

import asyncio
import itertools
from pathlib import Path
from typing import Any, Final, cast

import httpx
import pytest

from threepid import background
from threepid.clock import DAY, HOUR, MINUTE, SECOND
from threepid.domain.accounts.devices import forget_sealed_pairs
from threepid.storage.engine.queries import Query
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


_networks: Final = (f"10.{number >> 8 & 255}.{number & 255}.1" for number in itertools.count())


def new_network() -> str:
    """The IP address of somebody who did not call yet."""
    return next(_networks)


def refresh(
    world: World, tokens: dict[str, Any], path: str = f"{C}/refresh", *, client: str | None = None, agent: str = "Tab/1"
) -> httpx.Response:
    """A refresh, from another network than all others unless `client` is given."""
    headers = {"X-Forwarded-For": client or new_network(), "User-Agent": agent}
    return world.post(path, {"refresh_token": tokens["refresh_token"]}, headers=headers)


def use(world: World, tokens: dict[str, Any]) -> httpx.Response:
    return world.get(f"{C}/account/whoami", token=tokens["access_token"])


def refused(answer: httpx.Response, *, lives: bool = True) -> bool:
    """Is it the specification's refusal, which says whether the device lives on?"""
    body = answer.json()
    return (answer.status_code, body["errcode"], body.get("soft_logout", False)) == (401, "M_UNKNOWN_TOKEN", lives)


def spent(answer: httpx.Response, path: str) -> bool:
    """Is it the refusal of a spent refresh token? That of 2016 is a failed exchange, 403 `M_FORBIDDEN`."""
    if path.endswith("/tokenrefresh"):
        body = answer.json()
        return (answer.status_code, body["errcode"], body.keys()) == (403, "M_FORBIDDEN", {"errcode", "error"})
    return refused(answer)


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
    assert spent(refresh(world, lost, path), path)
    assert use(world, got).status_code == 200
    assert spent(refresh(world, login, path), path)
    assert refused(use(world, got))
    assert spent(refresh(world, got, path), path)


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
                headers = {"X-Forwarded-For": new_network()}
                return await processes[number % 2].post(f"{C}/refresh", json=body, headers=headers)

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


def test_soft_logout_is_said_while_the_device_lives(world: World, login: dict[str, Any]) -> None:
    assert login["expires_in_ms"] == HOUR
    assert refused(world.get(f"{C}/account/whoami", token="tp_nosuch"), lives=False)
    world.clock.advance(HOUR)
    assert refused(use(world, login))
    got = refresh(world, login).json()
    assert use(world, got).status_code == 200
    assert refused(use(world, login))
    world.clock.advance(90 * DAY)
    assert refused(use(world, got))
    assert refused(refresh(world, got))


def test_soft_logout_is_said_of_a_family_that_ended(world: World, login: dict[str, Any]) -> None:
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
    lives = end == "login"
    with world.again() as process:
        for tokens in (login, offered):
            assert refused(refresh(process, tokens), lives=lives)
            assert refused(use(process, tokens), lives=lives)


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
        assert refused(refresh(world, {"refresh_token": token}), lives=False)
    for token in (login["refresh_token"], identity, login_token):
        assert refused(world.get(f"{C}/account/whoami", token=token), lives=False)
    for token in (login["refresh_token"], login["access_token"], identity):
        body = {"type": "m.login.token", "token": token}
        assert world.post(f"{C}/login", body).status_code == 403


def test_tokens_are_kept_as_hashes_only(world: World, login: dict[str, Any]) -> None:
    statement = "SELECT COUNT(*) FROM {} WHERE token_hash = :token"
    secret = login["refresh_token"].encode()
    for table in ("access_tokens", "refresh_tokens"):
        sqlite = statement.format(table)
        query = Query("test", sqlite, sqlite.replace(":token", "%(token)s"))
        assert world.run(world.server.context.database.read(lambda tx, query=query: tx.value(query, token=secret))) == 0  # type: ignore[misc]


# -- two tabs of one browser

HOME: Final = "192.0.2.1"


def pair(answer: httpx.Response) -> tuple[str, str]:
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"], answer.json()["refresh_token"]


def test_two_tabs_that_refresh_at_the_same_moment_stay_logged_in(world: World, login: dict[str, Any]) -> None:
    """Sixty times, in two processes: one tab may use what it got before the other one asks."""

    async def run() -> None:
        server = await world._open()
        transport = httpx.ASGITransport(app=cast(Any, server.asgi))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as there:

            async def tab(http: httpx.AsyncClient, tokens: dict[str, Any], late: float) -> dict[str, Any]:
                await asyncio.sleep(late)
                body = {"refresh_token": tokens["refresh_token"]}
                headers = {"X-Forwarded-For": HOME, "User-Agent": "Browser/1"}
                answer = await http.post(f"{C}/refresh", json=body, headers=headers)
                assert answer.status_code == 200, answer.text
                got: dict[str, Any] = answer.json()
                headers = {"Authorization": f"Bearer {got['access_token']}"}
                assert (await http.get(f"{C}/account/whoami", headers=headers)).status_code == 200
                return got

            tokens = login
            for number in range(60):
                one, other = await asyncio.gather(
                    tab(world.http, tokens, 0), tab(there, tokens, number % 4 * 0.02 * (number % 3 > 0))
                )
                assert one["refresh_token"] == other["refresh_token"]
                tokens = one
        await server.stop()

    world.run(run())


@pytest.mark.parametrize("used", [False, True])
def test_the_same_caller_gets_the_very_same_pair_for_30_seconds(
    world: World, login: dict[str, Any], used: bool
) -> None:
    first = refresh(world, login, client=HOME)
    if used:
        assert use(world, first.json()).status_code == 200
    world.clock.advance(30 * SECOND - 1)
    with world.again() as process:
        again = refresh(process, login, client=HOME)
    assert pair(again) == pair(first)
    assert again.json()["expires_in_ms"] == HOUR - 30 * SECOND + 1
    assert use(world, again.json()).status_code == 200


@pytest.mark.parametrize("other", [{"client": "192.0.2.2"}, {"client": HOME, "agent": "Tab/2"}])
def test_another_caller_gets_another_pair_before_the_use_and_ends_the_family_after_it(
    world: World, login: dict[str, Any], other: dict[str, str]
) -> None:
    first = refresh(world, login, client=HOME)
    second = refresh(world, login, **other)
    assert not set(pair(first)) & set(pair(second))
    assert pair(refresh(world, login, client=HOME)) == pair(first)
    assert pair(refresh(world, login, **other)) == pair(second)
    assert use(world, first.json()).status_code == 200
    assert refused(refresh(world, login, **other))
    assert refused(use(world, first.json()))
    assert refused(refresh(world, login, client=HOME))


@pytest.mark.parametrize("seconds", [30, 31, 3600])
def test_a_repeat_after_30_seconds_ends_the_family(world: World, login: dict[str, Any], seconds: int) -> None:
    first = refresh(world, login, client=HOME)
    assert use(world, first.json()).status_code == 200
    world.clock.advance(10 * SECOND)
    assert pair(refresh(world, login, client=HOME)) == pair(first)  # which does not begin the time anew
    world.clock.advance((seconds - 10) * SECOND)
    assert refused(refresh(world, login, client=HOME))
    assert refused(use(world, first.json()))
    assert refused(refresh(world, first.json(), client=HOME))


def test_a_repeat_after_30_seconds_is_answered_anew_while_nothing_was_used(world: World, login: dict[str, Any]) -> None:
    first = refresh(world, login, client=HOME)
    world.clock.advance(31 * SECOND)
    second = refresh(world, login, client=HOME)
    assert not set(pair(first)) & set(pair(second))
    assert use(world, first.json()).status_code == 200
    assert refused(use(world, second.json()))


def test_a_pair_that_was_refreshed_is_not_given_again(world: World, login: dict[str, Any]) -> None:
    first = refresh(world, login, client=HOME)
    second = refresh(world, first.json(), client=HOME)
    assert pair(refresh(world, first.json(), client=HOME)) == pair(second)
    assert refused(refresh(world, login, client=HOME))
    for answer in (first, second):
        assert refused(use(world, answer.json()))
        assert refused(refresh(world, answer.json(), client=HOME))


@pytest.mark.parametrize("end", ["logout", "logout/all", "login"])
def test_a_pair_is_not_given_again_after_the_end_of_its_device(world: World, login: dict[str, Any], end: str) -> None:
    first = refresh(world, login, client=HOME).json()
    if end == "login":
        log_in(world)
    else:
        assert world.post(f"{C}/{end}", token=first["access_token"]).status_code == 200
        log_in(world)  # a new device of that name
    assert refused(refresh(world, login, client=HOME), lives=end == "login")


def test_an_ipv6_network_is_one_caller(world: World, login: dict[str, Any]) -> None:
    first = refresh(world, login, client="2001:db8::1")
    assert pair(refresh(world, login, client="2001:db8::2")) == pair(first)
    assert pair(refresh(world, login, client="2001:db8:1::1")) != pair(first)


@pytest.mark.parametrize("jump", [DAY, -HOUR, HOUR, -DAY])
def test_a_jump_of_the_clock_does_not_lengthen_the_time(world: World, login: dict[str, Any], jump: int) -> None:
    first = refresh(world, login, client=HOME)
    assert use(world, first.json()).status_code == 200
    world.clock.advance(jump)
    if jump < 0:
        world.run(background.run_once(world.server.context))
    assert refused(refresh(world, login, client=HOME))
    assert refused(use(world, first.json()))


def test_a_small_step_of_the_clock_logs_nobody_out(world: World, login: dict[str, Any]) -> None:
    first = refresh(world, login, client=HOME)
    assert use(world, first.json()).status_code == 200
    world.clock.advance(-2 * SECOND)
    world.run(background.run_once(world.server.context))
    assert pair(refresh(world, login, client=HOME)) == pair(first)


def test_the_pair_is_sealed_and_forgotten_after_30_seconds(world: World, login: dict[str, Any]) -> None:
    def sealed() -> list[bytes]:
        statement = "SELECT sealed_pair FROM refresh_tokens WHERE sealed_pair IS NOT NULL"
        found = world.run(world.server.context.database.read(lambda tx: tx.value(Query("t", statement, statement))))
        return [] if found is None else [bytes(found)]

    answer = refresh(world, login, client=HOME)
    (kept,) = sealed()
    vault = world.server.context.vault
    for secret in (*pair(answer), HOME):
        assert secret.encode() not in kept
        assert secret.encode().hex().encode() not in kept
    assert answer.json()["refresh_token"].encode() in vault.unseal(login["refresh_token"], kept)
    world.clock.advance(30 * SECOND - 1)
    world.run(forget_sealed_pairs(world.server.context))
    assert sealed() == [kept]
    world.clock.advance(1)
    world.run(forget_sealed_pairs(world.server.context))
    assert sealed() == []
    assert use(world, answer.json()).status_code == 200
    refresh(world, answer.json())
    assert len(sealed()) == 1
    world.clock.advance(MINUTE)
    world.run(background.run_once(world.server.context))
    assert sealed() == []


def test_repeats_are_limited_by_caller_too(database_url: str, tmp_path: Path) -> None:
    limits = {"all": "on", "authentication_from_client": {"burst": 3, "per_hour": 1}}
    with World(database_url, tmp_path, limits=limits) as world:
        world.register()
        login = log_in(world)
        statuses = [refresh(world, login, client=HOME).status_code for _ in range(5)]
        assert statuses == [200] * 3 + [429] * 2


def test_unused_answers_to_one_refresh_are_bounded(world: World, login: dict[str, Any]) -> None:
    async def ask() -> httpx.Response:
        body = {"refresh_token": login["refresh_token"]}
        return await world.http.post(f"{C}/refresh", json=body, headers={"X-Forwarded-For": new_network()})

    for _ in range(110):
        world.clock.advance(1)
        assert world.run(ask()).status_code == 200
    statement = "SELECT COUNT(*) FROM refresh_tokens WHERE parent_hash IS NOT NULL"
    count = world.run(world.server.context.database.read(lambda tx: tx.value(Query("t", statement, statement))))
    assert count == 100
    assert use(world, world.run(ask()).json()).status_code == 200


# -- soft logout


def test_the_last_twenty_tokens_that_ended_are_known_for_30_days(world: World, login: dict[str, Any]) -> None:
    tokens = [login]
    for _ in range(25):
        world.clock.advance(MINUTE)
        tokens.append(refresh(world, tokens[-1]).json())
        assert use(world, tokens[-1]).status_code == 200
    whether = [use(world, one).json().get("soft_logout", False) for one in tokens[:-1]]
    assert whether == [False] * 5 + [True] * 20
    assert world.run(count_ended(world)) == 20
    world.clock.advance(30 * DAY - 20 * MINUTE)
    world.run(background.run_once(world.server.context))
    assert refused(use(world, tokens[-2]))
    world.clock.advance(20 * MINUTE)
    assert refused(use(world, tokens[-2]), lives=False)
    world.run(background.run_once(world.server.context))
    assert world.run(count_ended(world)) == 0


async def count_ended(world: World) -> int:
    statement = "SELECT COUNT(*) FROM ended_tokens"
    return int(await world.server.context.database.read(lambda tx: tx.value(Query("t", statement, statement))))


EVERYWHERE: Final = [
    ("GET", f"{C}/account/whoami"), ("GET", f"{C}/account/3pid"), ("GET", f"{C}/devices"), ("GET", f"{C}/sync"),
    ("POST", f"{C}/logout"), ("POST", f"{C}/logout/all"), ("POST", f"{C}/account/password"),
    ("POST", f"{C}/account/deactivate"), ("DELETE", f"{C}/devices/PHONE"), ("POST", f"{C}/delete_devices"),
    ("POST", "/_matrix/client/r0/account/3pid"), ("POST", "/_matrix/client/v1/login/get_token"),
]  # fmt: skip


@pytest.mark.parametrize("how", ["expired", "revoked", "family", "opened", "logged out"])
def test_every_endpoint_tells_whether_the_device_lives(world: World, login: dict[str, Any], how: str) -> None:
    if how == "expired":
        world.clock.advance(2 * HOUR)
    elif how == "logged out":
        assert world.post(f"{C}/logout", token=login["access_token"]).status_code == 200
    elif how == "opened":
        log_in(world)
    else:
        assert use(world, refresh(world, login).json()).status_code == 200
        if how == "family":
            refresh(world, login)
    with world.again() as process:
        for method, path in EVERYWHERE:
            answer = process.call(method, path, token=login["access_token"])
            assert refused(answer, lives=how != "logged out"), path


def test_a_device_that_is_back_under_its_old_name_is_another_one(world: World, login: dict[str, Any]) -> None:
    got = refresh(world, login).json()
    assert use(world, got).status_code == 200
    assert refused(use(world, login))
    assert world.post(f"{C}/logout", token=got["access_token"]).status_code == 200
    log_in(world)
    for tokens in (login, got):
        assert refused(use(world, tokens), lives=False)
        assert refused(refresh(world, tokens), lives=False)


def test_tokens_of_a_device_that_was_long_away_are_known_for_30_days_more(world: World, login: dict[str, Any]) -> None:
    world.clock.advance(90 * DAY)
    world.run(background.run_once(world.server.context))
    assert refused(use(world, login))
    assert refused(refresh(world, login))
    world.clock.advance(30 * DAY)
    assert refused(use(world, login), lives=False)
    assert refused(refresh(world, login), lives=False)


def test_the_end_of_a_stolen_family_ends_what_its_device_got(world: World, login: dict[str, Any]) -> None:
    got = refresh(world, login).json()
    openid = world.post(f"{C}/user/@alice:example.org/openid/request_token", token=got["access_token"]).json()
    identity = world.post("/_matrix/identity/v2/account/register", openid).json()["token"]
    assert world.get("/_matrix/identity/v2/account", token=identity).status_code == 200
    assert refused(refresh(world, login))
    assert world.get("/_matrix/identity/v2/account", token=identity).status_code == 401
    assert world.post("/_matrix/identity/v2/account/register", openid).status_code == 401
