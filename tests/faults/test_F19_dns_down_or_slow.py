"""F19: when DNS is down, slow or hangs, only what needs a name waits, and not for long."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from dns_server import HANG, SERVFAIL, DnsServer, dns_server
from fake_identity_server import V2, FakeIdentityServer
from rig import ServerProcess, free_port, identity_token, register, request_token, wait_for
from threepid.clock import MINUTE
from threepid.remote.patience import Patience
from threepid.storage import outbox
from world import World

IS = "/_matrix/identity/v2"
C = "/_matrix/client/v3/account/3pid"
UNREACHED = (502, "M_UNKNOWN")
HURRIED = Patience(dns=4.0, srv=4.5, call=6.0, well_known=5.0, federation=8.0, unbind=1.0)
"""A question that hangs does so for ever: whatever ends, ends by one of these limits."""


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with dns_server() as made:
        yield made


@pytest.fixture
def world(database_url: str, tmp_path: Path, dns: DnsServer, other: FakeIdentityServer) -> Iterator[World]:
    with World(database_url, tmp_path, patience=HURRIED, **other.settings, outbound__nameservers=[dns.address]) as made:
        yield made


def openid(name: str) -> dict[str, Any]:
    return {"access_token": "x", "matrix_server_name": name}


def unbind(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    header = f'X-Matrix origin="{name}",key="ed25519:1",sig="{"A" * 86}"'
    body = {"mxid": f"@zoe:{name}", "threepid": {"medium": "email", "address": "zoe@example.com"}}
    return body, {"Authorization": header}


def creds(name: str) -> dict[str, Any]:
    return {"sid": "1", "client_secret": "secret", "id_server": name, "id_access_token": "x"}


@pytest.mark.parametrize("fault", [HANG, SERVFAIL, "nobody listens"])
def test_what_needs_a_name_ends_in_one_error_and_the_rest_goes_on(
    database_url: str, tmp_path: Path, dns: DnsServer, fault: str
) -> None:
    dns.fault = fault
    nameserver = f"127.0.0.1:{free_port()}" if fault == "nobody listens" else dns.address
    with World(database_url, tmp_path, patience=HURRIED, outbound__nameservers=[nameserver]) as world:
        token = world.register()

        async def needs_name(number: int) -> httpx.Response:
            name = f"a{number}.example"
            if number % 3 == 0:
                return await world.acall("POST", f"{IS}/account/register", openid(name))
            if number % 3 == 1:
                body, headers = unbind(name)
                return await world.acall("POST", f"{IS}/3pid/unbind", body, headers=headers)
            return await world.acall("POST", f"{C}/bind", creds(name), token=token)

        async def run() -> None:
            asked = [asyncio.create_task(needs_name(number)) for number in range(60)]
            if fault == HANG:
                while not dns.asked:
                    await asyncio.sleep(0.01)
            for number in range(40):
                assert (await world.acall("GET", C, token=token)).status_code == 200
                if fault == HANG and number < 4:
                    assert not any(task.done() for task in asked)
            # No thread of the pool that other things need hangs in a question.
            assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio")]
            for answer in await asyncio.gather(*asked):
                assert (answer.status_code, answer.json()["errcode"]) == UNREACHED

        world.run(run())
        # Our own homeserver and identity server need no name.
        world.validated(world.identity_token(token))


def test_an_answer_that_comes_late_is_waited_for(
    database_url: str, tmp_path: Path, dns: DnsServer, other: FakeIdentityServer
) -> None:
    goes_on = threading.Event()

    def late() -> list[str]:
        assert goes_on.wait(60)
        return ["127.0.0.1"]

    dns.zone = {"late.example A": late}
    with World(database_url, tmp_path, **other.settings, outbound__nameservers=[dns.address]) as world:
        token = world.register()

        async def ask() -> httpx.Response:
            asking = asyncio.create_task(
                world.acall("POST", f"{C}/bind", creds(f"late.example:{other.port}"), token=token)
            )
            while "late.example A" not in dns.asked:
                await asyncio.sleep(0.01)
            assert not asking.done()
            goes_on.set()
            return await asking

        with capture_logs() as logs:
            assert world.run(ask()).status_code == 502
    # Its certificate is for another name: so it was found.
    assert [line["cause"] for line in logs if line["event"] == "outbound_call_failed"] == [
        "ClientConnectorCertificateError"
    ]


@pytest.mark.parametrize("fault", [HANG, SERVFAIL])
def test_an_unbind_request_waits_for_dns_in_the_outbox_and_the_person_does_not(
    world: World, dns: DnsServer, other: FakeIdentityServer, fault: str
) -> None:
    # `localhost` needs no DNS, so that the address can be bound there; the request to unbind it goes to a name that does.
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    name = f"gone.example:{other.port}"
    dns.fault = fault
    assert world.post(f"{C}/bind", creds(other.name), token=token).json() == {}
    address = {"medium": "email", "address": "alice@example.com"}
    answer = world.post(f"{C}/delete", {**address, "id_server": name}, token=token)
    assert answer.json() == {"id_server_unbind_result": "no-support"}
    assert world.contacts(token) == []
    world.mails()
    assert world.run(world.server.context.database.read(outbox.depth)) == 1
    before = len(other.asked)
    world.clock.advance(MINUTE)
    world.run(world.server.worker.run_once())
    assert len(other.asked) == before
    assert world.run(world.server.context.database.read(outbox.depth)) == 1  # later, once more


def test_a_server_that_is_known_by_address_or_hosts_file_is_reached_without_dns(
    world: World, dns: DnsServer, other: FakeIdentityServer
) -> None:
    dns.fault = HANG
    token = world.register()
    assert world.post(f"{C}/bind", creds(other.name), token=token).json() == {}
    assert other.paths() == [f"{V2}/3pid/bind"]
    assert dns.asked == []


def test_a_real_server_starts_serves_and_stops_without_dns(tmp_path: Path, dns: DnsServer) -> None:
    dns.fault = HANG
    tables = f'[outbound]\nnameservers = ["{dns.address}"]\n'
    server = ServerProcess(tmp_path / "server", tables=tables).start()
    try:
        with server.client() as http:
            token = register(http, "alice")
            identity = identity_token(http, token)
            assert request_token(http, identity, "alice@example.com").status_code == 200
            headers = {"Authorization": f"Bearer {token}"}
            statuses: list[int] = []

            def hang(number: int) -> None:
                body = creds(f"a{number}.example")
                statuses.append(
                    httpx.post(f"{server.base}{C}/bind", json=body, headers=headers, timeout=60).status_code
                )

            threads = [threading.Thread(target=hang, args=(number,)) for number in range(20)]
            for thread in threads:
                thread.start()
            wait_for(lambda: dns.asked, what="a question")
            for number in range(30):
                assert http.get(f"{server.base}{C}", headers=headers).status_code == 200
                assert number > 3 or statuses == []  # all that hangs was overtaken
            for thread in threads:
                thread.join()
            assert statuses == [502] * 20
    finally:
        assert server.stop() == 0
