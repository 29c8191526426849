"""`/sync`: an honest empty one, which tells a waiting client of the end of its token."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from rig import ServerProcess, register
from threepid.clock import HOUR
from threepid.domain.accounts.waiting import MOST
from world import World

PATH = "/_matrix/client/v3/sync"
ALICE = "@alice:example.org"
EMPTY = {
    "next_batch": "empty",
    "account_data": {"events": []},
    "presence": {"events": []},
    "to_device": {"events": []},
    "device_lists": {"changed": [], "left": []},
    "device_one_time_keys_count": {},
    "rooms": {"join": {}, "invite": {}, "knock": {}, "leave": {}},
}


def soon(world: World, *work: Callable[[], Awaitable[Any]]) -> list[Any]:
    """The results of all. Clients wait for thirty seconds here, so what ends long before that waited for something else."""

    async def ended() -> list[Any]:
        async with asyncio.timeout(10):
            return list(await asyncio.gather(*(one() for one in work)))

    return world.run(ended())


def waiting(world: World, token: str, milliseconds: int = 30_000) -> Callable[[], Coroutine[Any, Any, httpx.Response]]:
    return lambda: world.acall("GET", f"{PATH}?since=empty&timeout={milliseconds}", token=token)


async def until_waiting(world: World, count: int) -> None:
    async with asyncio.timeout(10):
        while world.homeserver.waiting.count(ALICE) != count:
            await asyncio.sleep(0.01)


def test_the_first_is_answered_at_once(world: World) -> None:
    token = world.register()
    for query in (
        "",
        "?timeout=30000",
        "?timeout=30000&since=empty&full_state=true",
        "?since=empty",
        "?since=&timeout=0",
    ):
        (answer,) = soon(world, partial(world.acall, "GET", PATH + query, token=token))
        assert (answer.status_code, answer.json()) == (200, EMPTY)


def test_what_clients_send_besides_is_read_past(world: World) -> None:
    token = world.register()
    query = {
        "filter": '{"room":{"timeline":{"limit":1}}}',
        "set_presence": "offline",
        "full_state": "false",
        "use_state_after": "true",
        "org.matrix.msc4222.use_state_after": "true",
        "timeout": "0",
        "since": "s72594_4483_1934",
        "_cacheBuster": "1",
    }
    assert world.get(PATH, params=query, token=token).json() == EMPTY
    assert world.get(f"/_matrix/client/r0/sync?access_token={token}").json() == EMPTY


@pytest.mark.parametrize(
    "query", ["timeout=-1", "timeout=soon", "timeout=1.5", "full_state=perhaps", f"timeout={2**64}"]
)
def test_what_is_no_time_is_refused(world: World, query: str) -> None:
    answer = world.get(f"{PATH}?since=empty&{query}", token=world.register())
    assert answer.status_code == 400
    assert answer.json()["errcode"].startswith("M_")


def test_the_next_waits_as_long_as_it_wants(world: World) -> None:
    token = world.register()
    ended: list[int] = []

    async def wait(milliseconds: int) -> None:
        assert (await waiting(world, token, milliseconds)()).json() == EMPTY
        ended.append(milliseconds)

    soon(world, *(partial(wait, milliseconds) for milliseconds in (900, 0, 300)))
    assert ended == [0, 300, 900]


def test_the_end_of_the_token_ends_the_wait(world: World) -> None:
    token = world.register()

    async def log_out() -> httpx.Response:
        await until_waiting(world, 1)
        return await world.acall("POST", "/_matrix/client/v3/logout", {}, token=token)

    (answer, out) = soon(world, waiting(world, token), log_out)
    assert out.status_code == 200
    assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNKNOWN_TOKEN")
    assert world.homeserver.waiting.count(ALICE) == 0


def test_the_token_may_be_ended_by_another_process(world: World) -> None:
    token = world.register()
    with world.again() as again:

        async def log_out() -> None:
            await until_waiting(world, 1)
            await asyncio.to_thread(again.post, "/_matrix/client/v3/logout", token=token)

        (answer, _) = soon(world, waiting(world, token), log_out)
    assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNKNOWN_TOKEN")


def test_an_expired_token_ends_the_wait_and_says_that_a_refresh_helps(world: World) -> None:
    body = {"username": "alice", "password": "long enough", "refresh_token": True, "auth": {"type": "m.login.dummy"}}
    made = world.post("/_matrix/client/v3/register", body).json()
    assert made["refresh_token"]

    async def expire() -> None:
        await until_waiting(world, 1)
        world.clock.advance(2 * HOUR)

    (answer, _) = soon(world, waiting(world, made["access_token"]), expire)
    assert answer.status_code == 401
    assert answer.json()["errcode"] == "M_UNKNOWN_TOKEN"
    assert answer.json()["soft_logout"] is True


def test_of_an_accounts_waiting_clients_the_first_makes_room(world: World) -> None:
    token = world.register()
    bob = world.register("bob")

    async def ordered() -> list[int]:
        others = asyncio.create_task(waiting(world, bob)())
        tasks = []
        for count in range(1, MOST + 1):
            tasks.append(asyncio.create_task(waiting(world, token, 20_000)()))
            await until_waiting(world, count)
        for number in range(3):
            tasks.append(asyncio.create_task(waiting(world, token, 20_000)()))
            answer = await asyncio.wait_for(tasks[number], 10)
            assert answer.json() == EMPTY
            await until_waiting(world, MOST)
        assert [task.done() for task in tasks] == [True] * 3 + [False] * MOST
        assert not others.done()
        await world.acall("POST", "/_matrix/client/v3/logout/all", {}, token=token)
        rest = await asyncio.gather(*tasks[3:])
        assert not others.done()
        await world.acall("POST", "/_matrix/client/v3/logout/all", {}, token=bob)
        assert (await others).status_code == 401
        return [answer.status_code for answer in rest]

    assert world.run(ordered()) == [401] * MOST
    assert world.homeserver.waiting.count(ALICE) == 0


def test_a_cancelled_wait_is_forgotten(world: World) -> None:
    token = world.register()

    async def leave() -> None:
        task = asyncio.create_task(waiting(world, token)())
        await until_waiting(world, 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until_waiting(world, 0)

    world.run(leave())


def test_the_end_of_the_server_ends_every_wait(world: World) -> None:
    token = world.register()

    async def end() -> None:
        await until_waiting(world, 2)
        world.server.end_waiting()

    (first, second, _) = soon(world, waiting(world, token), waiting(world, token), end)
    assert first.json() == second.json() == EMPTY
    (late,) = soon(world, waiting(world, token))
    assert late.json() == EMPTY


def test_a_server_that_is_told_to_stop_answers_who_waits_and_stops(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server").start()

    async def run() -> tuple[list[httpx.Response], int]:
        with server.client() as http:
            headers = {"Authorization": f"Bearer {register(http, 'alice')}"}
        before = server.sockets()
        async with httpx.AsyncClient(base_url=server.base, timeout=60, headers=headers) as client:
            tasks = [asyncio.create_task(client.get(f"{PATH}?since=empty&timeout=30000")) for _ in range(10)]
            while server.sockets() < before + 10:
                await asyncio.sleep(0.05)
            await asyncio.sleep(1.5)
            assert not any(task.done() for task in tasks)
            async with asyncio.timeout(25):  # less than what they would wait
                status = await asyncio.to_thread(server.stop)
                return list(await asyncio.gather(*tasks)), status

    answers, status = asyncio.run(run())
    assert [answer.json() for answer in answers] == [EMPTY] * 10
    assert status == 0
