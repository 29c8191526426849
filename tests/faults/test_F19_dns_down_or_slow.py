"""F19: when DNS is down, slow or hangs, only what needs a name waits, and not for long."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dns_server import HANG, SERVFAIL, DnsServer, dns_server
from fake_identity_server import V2, FakeIdentityServer, identity_server
from rig import ServerProcess, free_port, identity_token, register, request_token
from threepid.clock import MINUTE
from threepid.storage import outbox
from world import World

IS = "/_matrix/identity/v2"
C = "/_matrix/client/v3/account/3pid"
UNREACHED = (502, "M_UNKNOWN")


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with dns_server() as made:
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[FakeIdentityServer]:
    with identity_server() as made:
        made.binds("email", "alice@example.com")
        made.unbinds()
        yield made


@pytest.fixture
def world(database_url: str, tmp_path: Path, dns: DnsServer, other: FakeIdentityServer) -> Iterator[World]:
    with World(database_url, tmp_path, **other.settings, outbound__nameservers=[dns.address]) as made:
        yield made


def openid(name: str) -> dict[str, Any]:
    return {"access_token": "x", "matrix_server_name": name}


def unbind(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    header = f'X-Matrix origin="{name}",key="ed25519:1",sig="{"A" * 86}"'
    body = {"mxid": f"@zoe:{name}", "threepid": {"medium": "email", "address": "zoe@example.com"}}
    return body, {"Authorization": header}


def creds(name: str) -> dict[str, Any]:
    return {"sid": "1", "client_secret": "secret", "id_server": name, "id_access_token": "x"}


async def timed(answer: Any) -> tuple[httpx.Response, float]:
    start = time.monotonic()
    return await answer, time.monotonic() - start


@pytest.mark.parametrize("fault", [HANG, SERVFAIL, "nobody listens"])
def test_what_needs_a_name_ends_in_one_error_and_the_rest_goes_on(
    database_url: str, tmp_path: Path, dns: DnsServer, fault: str
) -> None:
    dns.fault = fault
    nameserver = f"127.0.0.1:{free_port()}" if fault == "nobody listens" else dns.address
    with World(database_url, tmp_path, outbound__nameservers=[nameserver]) as world:
        token = world.register()

        async def needs_name(number: int) -> tuple[httpx.Response, float]:
            name = f"a{number}.example"
            if number % 3 == 0:
                return await timed(world.acall("POST", f"{IS}/account/register", openid(name)))
            if number % 3 == 1:
                body, headers = unbind(name)
                return await timed(world.acall("POST", f"{IS}/3pid/unbind", body, headers=headers))
            return await timed(world.acall("POST", f"{C}/bind", creds(name), token=token))

        async def needs_none() -> float:
            slowest = 0.0
            for _ in range(40):
                _, took = await timed(world.acall("GET", C, token=token))
                slowest = max(slowest, took)
                await asyncio.sleep(0.02)
            return slowest

        async def run() -> None:
            undisturbed = await needs_none()
            asked = [asyncio.create_task(needs_name(number)) for number in range(60)]
            # A question that hangs does so for twenty seconds; a busy machine takes its time as well.
            assert await needs_none() < 5 + 5 * undisturbed
            # No thread of the pool that other things need hangs in a question.
            assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio")]
            for answer, took in await asyncio.gather(*asked):
                assert (answer.status_code, answer.json()["errcode"]) == UNREACHED
                assert took < 21

        world.run(run())
        # Our own homeserver and identity server need no name.
        world.validated(world.identity_token(token))


def test_an_answer_that_comes_late_is_waited_for(world: World, dns: DnsServer, other: FakeIdentityServer) -> None:
    def late() -> list[str]:
        time.sleep(1.5)
        return ["127.0.0.1"]

    dns.zone = {"late.example A": late}
    token = world.register()
    start = time.monotonic()
    answer = world.post(f"{C}/bind", creds(f"late.example:{other.port}"), token=token)
    assert 1.4 < time.monotonic() - start < 8
    assert answer.status_code == 502  # its certificate is for another name; it was found
    assert dns.asked.count("late.example A") >= 1


@pytest.mark.parametrize("fault", [HANG, SERVFAIL])
def test_an_unbind_request_waits_for_dns_in_the_outbox_and_the_person_does_not(
    world: World, dns: DnsServer, other: FakeIdentityServer, fault: str
) -> None:
    # `localhost` needs no DNS, so that the address can be published there; its withdrawal is asked of a name that does.
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    name = f"gone.example:{other.port}"
    dns.fault = fault
    assert world.post(f"{C}/bind", creds(other.name), token=token).json() == {}
    start = time.monotonic()
    address = {"medium": "email", "address": "alice@example.com"}
    answer = world.post(f"{C}/delete", {**address, "id_server": name}, token=token)
    assert answer.json() == {"id_server_unbind_result": "no-support"}
    assert time.monotonic() - start < 8
    assert world.contacts(token) == []
    world.mails()
    assert world.run(world.server.context.database.read(outbox.depth)) == 1
    before = len(other.asked)
    world.clock.advance(MINUTE)
    start = time.monotonic()
    world.run(world.server.worker.run_once())
    assert time.monotonic() - start < 21
    assert len(other.asked) == before
    assert world.run(world.server.context.database.read(outbox.depth)) == 1  # later, once more


def test_a_server_that_is_known_by_address_or_hosts_file_is_reached_without_dns(
    world: World, dns: DnsServer, other: FakeIdentityServer
) -> None:
    dns.fault = HANG
    token = world.register()
    start = time.monotonic()
    assert world.post(f"{C}/bind", creds(other.name), token=token).json() == {}
    assert time.monotonic() - start < 2
    assert other.paths() == [f"{V2}/3pid/bind"]
    assert dns.asked == []


def test_a_real_server_starts_serves_and_stops_without_dns(tmp_path: Path, dns: DnsServer) -> None:
    dns.fault = HANG
    tables = f'[outbound]\nnameservers = ["{dns.address}"]\n'
    start = time.monotonic()
    server = ServerProcess(tmp_path / "server", tables=tables).start()
    try:
        assert time.monotonic() - start < 15
        with server.client() as http:
            token = register(http, "alice")
            identity = identity_token(http, token)
            assert request_token(http, identity, "alice@example.com").status_code == 200
            headers = {"Authorization": f"Bearer {token}"}
            statuses: list[int] = []

            def hang(number: int) -> None:
                body = creds(f"a{number}.example")
                statuses.append(
                    httpx.post(f"{server.base}{C}/bind", json=body, headers=headers, timeout=30).status_code
                )

            threads = [threading.Thread(target=hang, args=(number,)) for number in range(20)]
            for thread in threads:
                thread.start()
            took = [elapsed(lambda: http.get(f"{server.base}{C}", headers=headers)) for _ in range(30)]
            assert sorted(took)[28] < 0.5
            for thread in threads:
                thread.join()
            assert statuses == [502] * 20
    finally:
        start = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - start < 12


def elapsed(ask: Callable[[], httpx.Response]) -> float:
    start = time.monotonic()
    assert ask().status_code == 200
    return time.monotonic() - start
