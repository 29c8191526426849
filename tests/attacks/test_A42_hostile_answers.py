"""A42: another server may be endless, slow, huge, false or unsafe: the answer is one clean error, and nobody else notices."""

import asyncio
import contextlib
import gzip
import json
import socket
import ssl
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import trustme

from dns_server import dns_server
from hostile_server import Authority, Head, HostileServer, Talk, hostile_server, response
from rig import ServerProcess, register
from threepid.clock import DAY
from threepid.remote.patience import Patience
from world import World

IS: Final = "/_matrix/identity/v2"
BIND: Final = "/_matrix/client/v3/account/3pid/bind"
LOOPBACK: Final = ["127.0.0.0/8"]
PUBLIC: Final = "127.0.0.66"
ZEROS: Final = b'{"sub": "' + bytes(20_000_000) + b'"}'
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
OF_HOMESERVER = (502, {"errcode": "M_UNKNOWN", "error": "The homeserver is unreachable."})
OF_KEYS = (502, {"errcode": "M_UNKNOWN", "error": "We could not fetch the keys of the homeserver."})
OF_IDENTITY = (502, {"errcode": "M_UNKNOWN", "error": "The identity server is unreachable."})
Connection = ssl.SSLSocket


def raw(*parts: bytes, pause: float = 0.0, times: int = 1) -> Talk:
    """Sends the parts so often, with a pause after each."""

    def talk(connection: Connection, _head: Head) -> None:
        for _ in range(times):
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)

    return talk


def silent(connection: Connection, _head: Head) -> None:
    with contextlib.suppress(TimeoutError):
        while connection.recv(16_384):  # before TLS, the caller's greeting comes
            pass


def half_and_silent(connection: Connection, head: Head) -> None:
    connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{")
    silent(connection, head)


def reset(connection: Connection, _head: Head) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def half_and_reset(connection: Connection, head: Head) -> None:
    connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")
    reset(connection, head)


FOREVER: Final = 1_000_000_000
HURRIED: Final = Patience(call=6.0, well_known=6.0, federation=7.0)
ANSWERS: dict[str, Talk] = {
    "endless body": raw(HEAD + b"\r\n", *[b"x" * 60_000] * 10_000),
    "endless chunks": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"ffff\r\n" + b" " * 0xFFFF + b"\r\n"] * 10_000),
    "endless small chunks": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\n \r\n" * 1_000] * 10_000),
    "endless size of a chunk": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"0" * 10_000] * 10_000),
    "endless head": raw(HEAD, *[b"X-More: " + b"x" * 5_000 + b"\r\n"] * 10_000),
    "endless small headers": raw(HEAD, *[b"X: y\r\n" * 1_000] * 10_000),
    "an endless header": raw(HEAD + b"X-More: ", *[b"x" * 10_000] * 10_000),
    "an endless first line": raw(*[b"H" * 10_000] * 10_000),
    "endless continues": raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, pause=0.01, times=FOREVER),
    "a byte a second": raw(HEAD + b"Content-Length: 100\r\n\r\n", *[b" "] * 100, pause=1.0),
    "a byte of the head a second": raw(*[HEAD[index : index + 1] for index in range(len(HEAD))], pause=1.0),
    "silence": silent,
    "silence after the head": half_and_silent,
    "a gzip bomb": raw(response(gzip.compress(ZEROS), Content_Encoding="gzip")),
    "a deflate bomb": raw(response(zlib.compress(ZEROS), Content_Encoding="deflate")),
    "a bomb in chunks": raw(
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + b"%x\r\n" % len(gzip.compress(ZEROS)), gzip.compress(ZEROS), b"\r\n0\r\n\r\n"
    ),
    "a bomb twice": raw(response(gzip.compress(gzip.compress(ZEROS)), Content_Encoding="gzip, gzip")),
    "a page": raw(response(b"<html><body>Welcome</body></html>", Content_Type="text/html")),
    "nothing": raw(response(b"")),
    "no content": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "an old protocol": raw(b"<html>nothing else</html>"),
    "another protocol": raw(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "HTTP/2 at once": raw(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)),
    "switching": raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
    "a negative length": raw(HEAD + b"Content-Length: -1\r\n\r\n{}"),
    "two lengths": raw(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} "),
    "a huge length": raw(HEAD + b"Content-Length: 99999999999999999999\r\n\r\n{}"),
    "a length that lies": raw(HEAD + b"Content-Length: 1000\r\n\r\n{}"),
    "half a chunk": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{}"),
    "a chunk of no size": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    "a million brackets": raw(response(b"[" * 40_000)),
    "a long number": raw(response(b'{"sub": ' + b"9" * 40_000 + b"}")),
    "not a number": raw(response(b'{"sub": NaN}')),
    "another encoding": raw(response('{"sub": "@zoe:x"}'.encode("utf-16"))),
    "a byte order mark": raw(response(b'\xef\xbb\xbf{"sub": "@zoe:x"}')),
    "many cookies": raw(response(b"{}", **{f"Set_Cookie{number}": "x" for number in range(100)})),
    "a redirect": raw(response(b"", "302 Found", Location="https://localhost/")),
    "a redirect to itself": raw(response(b"", "308 Permanent Redirect", Location="/")),
    "a reset": reset,
    "half an answer and a reset": half_and_reset,
    "a farewell": lambda connection, _head: connection.close(),
}  # fmt: skip
SLOW: Final = (
    "a byte a second",
    "a byte of the head a second",
    "silence",
    "silence after the head",
    "silence before TLS",
)
"""None of these ends by itself before the last test does."""
BEFORE_TLS: dict[str, Talk] = {
    "no TLS": raw(response(b"{}")),
    "nonsense for TLS": raw(b"\x16\x03\x01\x02\x00" + b"\xff" * 512),
    "endless nonsense for TLS": raw(*[b"\xff" * 60_000] * 10_000),
    "an alert": raw(b"\x15\x03\x03\x00\x02\x02\x28"),
    "silence before TLS": silent,
    "a reset before TLS": reset,
}


def certificates(authority: Authority, address: str) -> dict[str, ssl.SSLContext]:
    """Certificates that say nothing about a server at `address`."""
    made = {
        "a stranger's certificate": trustme.CA().issue_cert(address),
        "a certificate for another name": authority.ca.issue_cert("localhost", "127.0.0.1", "*.example.org"),
        "an expired certificate": authority.ca.issue_cert(address, not_after=datetime(2020, 1, 1, tzinfo=UTC)),
        "a certificate of the future": authority.ca.issue_cert(address, not_before=datetime(2099, 1, 1, tzinfo=UTC)),
        "the address as a name": authority.ca.issue_cert(common_name=address),
    }
    found = {}
    for name, certificate in made.items():
        found[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(found[name])
    return found


def certificate_of(authority: Authority, name: str, address: str) -> ssl.SSLContext:
    return certificates(authority, address)[name]


@contextlib.contextmanager
def hostile(authority: Authority) -> Iterator[dict[str, HostileServer]]:
    """All of them, each at an address of its own, so that they are strangers to each other."""
    with contextlib.ExitStack() as stack:
        made: dict[str, HostileServer] = {}

        def add(name: str, talk: Talk, tls: Callable[[str], ssl.SSLContext | None]) -> None:
            address = f"127.0.1.{len(made) + 1}"
            made[name] = stack.enter_context(hostile_server(talk, tls(address), address=address))

        for name, talk in ANSWERS.items():
            add(name, talk, authority.tls)
        for name, talk in BEFORE_TLS.items():
            add(name, talk, lambda _address: None)
        for name in certificates(authority, "127.0.1.1"):
            add(name, raw(response(b"{}")), partial(certificate_of, authority, name))
        yield made


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def world(database_url: str, tmp_path: Path, authority: Authority) -> Iterator[World]:
    with World(
        database_url, tmp_path, patience=HURRIED, outbound__allow=LOOPBACK, outbound__ca_file=authority.file
    ) as made:
        yield made


def as_homeserver(name: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    return f"{IS}/account/register", {"access_token": "x", "matrix_server_name": name}, {}


def as_signer(name: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    header = f'X-Matrix origin="{name}",key="ed25519:1",sig="{"A" * 86}"'
    body = {"mxid": f"@zoe:{name}", "threepid": {"medium": "email", "address": "zoe@example.com"}}
    return f"{IS}/3pid/unbind", body, {"headers": {"Authorization": header}}


def as_identity_server(name: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    return BIND, {"sid": "1", "client_secret": "secret", "id_server": name, "id_access_token": "x"}, {}


async def all_at_once(world: World, names: dict[str, str], ask: Any, token: str | None = None) -> dict[str, Any]:
    """What is answered about each server. Other people's requests are answered before the slow ones of them."""

    async def one(name: str) -> tuple[int, Any]:
        path, body, more = ask(name)
        answer = await world.acall("POST", path, body, token=token, **more)
        return answer.status_code, answer.json()

    tasks = {fault: asyncio.create_task(one(name)) for fault, name in names.items()}
    await asyncio.sleep(0)
    for number in range(20):
        assert (await world.acall("GET", f"{IS}/account", token="none")).status_code == 401
        assert number > 3 or not any(tasks[fault].done() for fault in SLOW if fault in tasks)
    return {fault: await task for fault, task in tasks.items()}


@pytest.mark.parametrize(
    ("ask", "error"),
    [(as_homeserver, OF_HOMESERVER), (as_signer, OF_KEYS), (as_identity_server, OF_IDENTITY)],
    ids=["as a homeserver", "as a homeserver that signs", "as an identity server"],
)
def test_every_fault_is_one_and_the_same_error_and_others_do_not_wait(
    world: World, authority: Authority, ask: Any, error: tuple[int, Any]
) -> None:
    token = world.register() if ask is as_identity_server else None
    with hostile(authority) as servers:
        names = {fault: server.name for fault, server in servers.items()}
        answers = world.run(all_at_once(world, names, ask, token))
        connections = {fault: server.connections for fault, server in servers.items()}
    assert answers == dict.fromkeys(names, error)
    assert connections == dict.fromkeys(names, 1)  # nobody is asked twice


def test_well_known_may_be_as_bad_and_is_asked_four_times_at_most(
    database_url: str, tmp_path: Path, authority: Authority
) -> None:
    asked: dict[str, int] = {}
    talks: dict[str, Talk] = {
        **ANSWERS,
        "a hundred redirects": lambda connection, head: connection.sendall(
            response(b"", "302 Found", Location=f"/{head.uri.count('x')}{head.uri}x")
        ),
        "a hundred redirects elsewhere": lambda connection, head: connection.sendall(
            response(b"", "302 Found", Location=f"https://h{number_of(head)}.evil.example/{'x' * len(head.uri)}")
        ),
    }
    faults = list(talks)

    def number_of(head: Head) -> int:
        return int(head.host.partition(".")[0][1:])

    def talk(connection: Connection, head: Head) -> None:
        fault = faults[number_of(head)]
        asked[fault] = asked.get(fault, 0) + 1
        talks[fault](connection, head)

    tls = authority.tls("*.evil.example")
    with dns_server() as dns:
        for number in range(len(faults)):
            dns.zone[f"h{number}.evil.example A"] = [PUBLIC]
        try:
            server = HostileServer(PUBLIC, 443, tls, talk)
        except PermissionError:
            pytest.skip("listening on port 443 needs a right that this process does not have")
        try:
            outbound: dict[str, Any] = {"outbound__allow": LOOPBACK, "outbound__ca_file": authority.file}
            with World(
                database_url, tmp_path, patience=HURRIED, outbound__nameservers=[dns.address], **outbound
            ) as world:
                names = {fault: f"h{number}.evil.example" for number, fault in enumerate(faults)}
                answers = world.run(all_at_once(world, names, as_homeserver))
        finally:
            server.stop()
    assert answers == dict.fromkeys(faults, OF_HOMESERVER)
    assert asked == {
        **dict.fromkeys(faults, 1),
        **{fault: 4 for fault in faults if "redirects" in fault or "itself" in fault},
    }


# -- wrong types in the answer of a homeserver that signs

GOOD_KEY: Final = "A" * 43


def keys(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "server_name": name,
        "verify_keys": {"ed25519:1": {"key": GOOD_KEY}},
        "old_verify_keys": {},
        "valid_until_ts": 1_800_000_000_000 + DAY,
        "signatures": {name: {"ed25519:1": "A" * 86}},
        **changes,
    }


WRONG: Final[list[Any]] = [
    None,
    True,
    0,
    -1,
    1.5,
    2**53,
    "",
    "x",
    [],
    ["x"],
    [[]],
    {},
    {"x": "y"},
    {"ed25519:1": None},
    {"ed25519:1": {}},
]
NO_KEYS: Final[list[Any]] = [None, 1, "", "x", "=", "A" * 42, "A" * 44, "A" * 64, "é" * 43, [], {}]
WRONG_KEYS: Final[list[Any]] = [
    *({"ed25519:1": {"key": value}} for value in NO_KEYS),
    {"ed25519:1": GOOD_KEY}, {"ed25519": {"key": GOOD_KEY}}, {"rsa:1": {"key": GOOD_KEY}}, {"": {"key": GOOD_KEY}},
    {"ed25519:" + "x" * 300: {"key": GOOD_KEY}}, {f"ed25519:{number}": {"key": GOOD_KEY} for number in range(60)},
]  # fmt: skip
NO_SIGNATURES: Final[list[Any]] = [
    None, 1, "x", [], {}, {"ed25519:1": None}, {"ed25519:1": 1}, {"ed25519:1": "é"}, {"ed25519:1": []},
]  # fmt: skip


def test_keys_of_the_wrong_kind_prove_nothing(world: World, authority: Authority) -> None:
    content: list[Any] = []

    def talk(connection: Connection, _head: Head) -> None:
        connection.sendall(response(json.dumps(content[-1]).encode()))

    fields = ["server_name", "verify_keys", "valid_until_ts", "signatures"]
    with hostile_server(talk, authority.tls(PUBLIC), address=PUBLIC) as server:
        name = server.name
        lies = [keys(name, **{field: value}) for field in fields for value in WRONG]
        lies += [{key: value for key, value in keys(name).items() if key != field} for field in fields]
        lies += [keys(name, verify_keys=value) for value in WRONG_KEYS]
        lies += [keys(name, signatures={name: value}) for value in NO_SIGNATURES]
        lies += [keys(name, server_name=other) for other in (name.upper() + "0", "example.org", f"{name}.", f" {name}")]
        for lie in lies:
            content.append(lie)
            path, body, more = as_signer(name)
            answer = world.post(path, body, **more)
            assert answer.status_code in (403, 502), lie
            assert answer.json()["errcode"] in ("M_FORBIDDEN", "M_UNKNOWN")
            world.clock.advance(301_000)  # a server that was just asked is left alone
    assert len(content) > 90


# -- a real server process


def memory(server: ServerProcess) -> int:
    """Resident memory of the server's processes, in bytes."""
    assert server.process is not None
    total = 0
    for pid in (server.process.pid, *server.workers()):
        found = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
        total += int(found[0].split()[1]) * 1024
    return total


ASKS: Final = """
import sys, time, urllib.request
while True:
    with urllib.request.urlopen(sys.argv[1], timeout=60) as answer:
        assert answer.status == 200
    print("answered", flush=True)
    time.sleep(0.05)
"""


@contextlib.contextmanager
def another_caller(server: ServerProcess) -> Iterator[Callable[[], int]]:
    """How often somebody was answered who asks from another process: this one is busy with being hostile."""
    url = f"http://127.0.0.1:{server.port}/_matrix/client/versions"
    said = server.directory / "answered"
    with said.open("w") as out:
        asking = subprocess.Popen([sys.executable, "-c", ASKS, url], stdout=out)

        def answered() -> int:
            assert asking.poll() is None
            return said.read_text().count("answered")

        try:
            yield answered
        finally:
            asking.kill()
            asking.wait(60)


def test_memory_stays_flat_under_all_of_it(tmp_path: Path, authority: Authority) -> None:
    tables = f'[outbound]\nallow = ["127.0.0.0/8"]\nca_file = "{authority.file}"\n'
    server = ServerProcess(tmp_path / "server", tables=tables).start()

    async def run(names: list[str], token: str) -> int:
        limits = httpx.Limits(max_connections=400)
        async with httpx.AsyncClient(base_url=server.base, timeout=60, limits=limits) as http:

            async def ask(of: Any, name: str) -> None:
                path, body, more = of(name)
                headers = {"Authorization": f"Bearer {token}", **more.get("headers", {})}
                answer = await http.post(path, json=body, headers=headers)
                assert answer.status_code == 502, answer.text

            tasks = [
                asyncio.create_task(ask(of, name))
                for name in names
                for of in (as_homeserver, as_signer, as_identity_server)
            ]
            most = 0
            while not all(task.done() for task in tasks):
                most = max(most, memory(server))
                await asyncio.sleep(0.05)
            await asyncio.gather(*tasks)
            return most

    try:
        with server.client() as http:
            token = register(http, "alice")
        with hostile(authority) as servers:
            names = [one.name for one in servers.values()]
            asyncio.run(run(names[:5], token))  # what is only loaded once
            before = memory(server)
            peaks = []
            for _ in range(3):
                with another_caller(server) as answered:
                    peaks.append(asyncio.run(run(names, token)))
                    # The worst of them hold their own callers for seconds each. If they held this one, it would get a few answers.
                    assert answered() > 20
    finally:
        assert server.stop() == 0
    print(f"memory: {before / 1e6:.0f} MB before, {[round(peak / 1e6) for peak in peaks]} at most")
    # What 128 calls at once hold, 256 kB each for TLS alone. The allocator takes more now and then until it has its pools;
    # what is left of each call would be as much again each time.
    assert max(peaks) - before < 80_000_000
    assert min(later - earlier for earlier, later in pairwise(peaks)) < 12_000_000
