"""Other servers are reached at checked addresses only, and may neither be endless nor slow."""

import asyncio
import contextlib
import socket
import threading
from ipaddress import ip_address
from pathlib import Path

import pytest
import structlog.testing

from threepid.clock import Clock, Entropy
from threepid.config import Outbound
from threepid.remote.discovery import Discovery
from threepid.remote.federation import Federation
from threepid.remote.guard import CALLS_PER_HOST, Call, Guard, RemoteError, RemoteRefused, Unreachable
from threepid.remote.identity import IdentityClient, SessionRefused, matches
from threepid.remote.names import Names
from threepid.remote.networks import is_public
from tls_peer import Peer, Talk, Told, json

PRIVATE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1",
    "::ffff:10.0.0.1", "2002:7f00:1::", "2002:0a00:0001::", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "2001::1", "2001:db8::1",
    "2001:0:53aa:64c:0:fbff:f5ff:fffe", "100::1", "64:ff9b:1::1", "::ffff:0:127.0.0.1", "3fff::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "9.9.9.9", "2606:4700:4700::1111", "2a00:1450::1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]
NAMES = [
    "0x7f.1", "2130706433", "0177.0.0.1", "127.1", "0", "1", "127.0.0.0x1", "localhost/x", "localhost#", "user@localhost",
    "local host", "localhost:", "localhost:0", "localhost:99999", "localhost:443:443", "[::1", "::1", "[::1]x", "[127.0.0.1]",
    "", ".", "..", "a..b", "-a.example", "a_b.example", "lo\u0441alhost", "a" * 300, "localhost\n", "http://localhost", "%6c",
]  # fmt: skip


@pytest.mark.parametrize("text", PRIVATE)
def test_addresses_that_are_not_of_the_global_internet(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_addresses_of_the_global_internet(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    return Peer(tmp_path)


def ask(peer: Peer, talk: Talk | bytes, guard: Guard | None = None, host: str = "localhost") -> object:
    async def run() -> object:
        used = guard or peer.guard(total_seconds=1.0 if callable(talk) else 20.0)
        async with peer.answering(talk) as port:
            return (await used.call(Call(host=host, port=port, path="/x"))).json()

    return asyncio.run(run())


def test_an_allowed_server_is_asked_under_its_name_with_a_checked_certificate(peer: Peer) -> None:
    assert ask(peer, json(b'{"a": 1}'), host="peer.example") == {"a": 1}
    (request,) = peer.requests
    assert request.startswith(b"GET /x HTTP/1.1\r\n")
    assert b"host: peer.example\r\n" in request.lower()
    assert b"user-agent: threepid/" in request.lower()
    assert b"accept-encoding" not in request.lower()
    with pytest.raises(RemoteError):
        ask(peer, json(b"{}"), host="other.example")


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_leads_to_a_private_address_is_not_connected_to(peer: Peer, address: str) -> None:
    with pytest.raises(RemoteError):
        ask(peer, json(b"{}"), peer.guard(address, allow=()))
    with pytest.raises(RemoteError):
        ask(peer, json(b"{}"), peer.guard("1.1.1.1", address, allow=()))  # one bad answer spoils the name
    assert peer.connections == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "2130706433", "0x7f.1", "127.1"])
def test_a_private_literal_is_not_connected_to(peer: Peer, address: str) -> None:
    with pytest.raises(RemoteError):
        ask(peer, json(b"{}"), peer.guard(allow=()), host=address)
    assert peer.connections == 0


@pytest.mark.parametrize("port", [22, 25, 80, 1023])
def test_ports_of_other_services_are_not_connected_to(peer: Peer, port: int) -> None:
    async def run() -> None:
        guard = peer.guard()
        with pytest.raises(RemoteError):
            await guard.call(Call(host="localhost", port=port, path="/"))

    asyncio.run(run())


async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        writer.write(b"x" * 10_000)
        await writer.drain()


async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.1)


async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(10)


@pytest.mark.parametrize(
    "talk",
    [
        endless, drip, silent, b"", b"nonsense\r\n\r\n", json(b"[]"), json(b"not json"), json(b'{"a":NaN}'), json(b"<html>"),
        json(b"{" * 1000), json(b'{"a":"' + b"x" * 60_000 + b'"}'), json(b"{}", "302 Found", Location="https://localhost/"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", json(b"{}")[:-1],
    ],
    ids=lambda talk: getattr(talk, "__name__", repr(talk)[:30]),
)  # fmt: skip
def test_nonsense_is_one_clean_error(peer: Peer, talk: Talk | bytes) -> None:
    if talk == json(b"{}", "302 Found", Location="https://localhost/"):
        assert ask(peer, talk) == {}  # a redirect is an answer, not a way
        assert peer.connections == 1
        return
    with pytest.raises(RemoteError):
        ask(peer, talk)


def test_waiting_for_a_place_counts_as_time(peer: Peer) -> None:
    async def run() -> None:
        guard = peer.guard(total_seconds=2.0)

        async def one(port: int) -> None:
            with pytest.raises(RemoteError):
                await guard.call(Call(host="localhost", port=port, path="/"))

        async with peer.answering(silent) as port:
            await asyncio.gather(*(one(port) for _ in range(40)))

    asyncio.run(run())
    assert CALLS_PER_HOST <= peer.connections <= 2 * CALLS_PER_HOST  # the second ones as the first ended


def test_hosts_do_not_wait_for_each_other_and_nothing_is_kept_of_them(peer: Peer) -> None:
    async def run() -> None:
        guard = peer.guard(total_seconds=10.0)
        async with peer.answering(silent) as hanging, peer.answering(json(b"{}")) as well:
            tasks = [asyncio.create_task(guard.call(Call(host="localhost", port=hanging, path="/"))) for _ in range(20)]
            while peer.connections < CALLS_PER_HOST:
                await asyncio.sleep(0.01)
            await guard.call(Call(host="peer.example", port=well, path="/"))
            assert not any(task.done() for task in tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert guard._for_host._slots == {}

    asyncio.run(run())


def sockets() -> int:
    """Open sockets of this process."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += str(entry.readlink()).startswith("socket:")
    return found


@pytest.mark.parametrize("end", ["too large", "too slow", "cancelled", "answered"])
def test_nothing_of_a_connection_outlives_the_call(peer: Peer, end: str) -> None:
    answers = {"too large": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 60_000, "answered": json(b"{}")}
    told, over = threading.Event(), threading.Event()

    def deaf(listener: socket.socket) -> None:
        """Answers, and from then on neither reads nor says farewell."""
        with peer.tls.wrap_socket(listener.accept()[0], server_side=True) as connection:
            connection.recv(10_000)
            connection.sendall(answers.get(end, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"))
            told.set()
            over.wait(60)

    async def run(port: int) -> int:
        guard = peer.guard(total_seconds=2.0 if end == "too slow" else 60)
        before = sockets()
        task = asyncio.create_task(guard.call(Call(host="localhost", port=port, path="/")))
        if end == "cancelled":
            await asyncio.to_thread(told.wait, 60)
            await asyncio.sleep(0.1)  # the call waits for the rest of the answer
        else:
            await asyncio.wait([task])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(30):
            while sockets() - before > 1:
                await asyncio.sleep(0.01)
        return sockets() - before

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=deaf, args=(listener,))
        thread.start()
        try:
            assert asyncio.run(run(listener.getsockname()[1])) == 1  # the other end's
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize(
    ("tls_name", "reached"),
    [("localhost", True), ("peer.example", True), ("127.0.0.1", True), ("other.example", False), ("127.0.0.2", False)],
)
def test_the_certificate_must_be_for_the_name_that_was_asked_for(peer: Peer, tls_name: str, reached: bool) -> None:
    async def run() -> int:
        async with peer.answering(json(b"{}")) as port:
            call = Call(host="other.example", port=port, path="/", tls_name=tls_name, host_header="a.example")
            return (await peer.guard().call(call)).status

    if not reached:
        with pytest.raises(Unreachable):
            asyncio.run(run())
        assert peer.requests == []
        return
    assert asyncio.run(run()) == 200
    assert b"host: a.example\r\n" in peer.requests[0].lower()


def test_no_more_than_a_few_addresses_of_a_name_are_tried(peer: Peer) -> None:
    async def run() -> None:
        guard = peer.guard(*(f"127.0.1.{number}" for number in range(1, 60)), "127.0.0.1")
        async with peer.answering(json(b"{}")) as port:
            with pytest.raises(Unreachable):
                await guard.call(Call(host="localhost", port=port, path="/"))

    asyncio.run(run())
    assert peer.connections == 0


@pytest.mark.parametrize(
    ("name", "patterns", "matched"),
    [
        ("id.example.org", ["id.example.org"], True),
        ("ID.Example.org", ["id.example.ORG"], True),
        ("a.example.org", ["*.example.org"], True),
        ("example.org", ["*.example.org"], False),
        ("evil-example.org", ["*.example.org"], False),
        ("evilexample.org", ["*example.org.evil"], False),
        ("localhost:8448", ["localhost:*"], True),
        ("localhost", ["localhost:*"], False),
        ("anything.example", ["*"], True),
        ("any thing", ["*"], False),
        ("", ["*"], False),
        ("a.example", [], False),
    ],
)
def test_patterns_of_server_names(name: str, patterns: list[str], matched: bool) -> None:
    assert matches(name, patterns) is matched


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_none_matches_nothing(name: str) -> None:
    assert not matches(name, ["*"])


# -- what is asked of other servers


def identity_answer(peer: Peer, *answers: bytes, token: str | None = "token") -> object:
    remaining = list(answers)

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(remaining.pop(0))
        await writer.drain()

    async def run() -> object:
        async with peer.answering(talk) as port:
            client = IdentityClient(peer.guard(total_seconds=20.0))
            return await client.validated_threepid(f"localhost:{port}", "sid", "secret", token)

    return asyncio.run(run())


GOOD = json(b'{"medium": "email", "address": "a@example.com", "validated_at": 1600000000000}')


def test_v2_is_asked_with_the_token_and_v1_without(peer: Peer) -> None:
    identity_answer(peer, GOOD)
    assert peer.requests[0].startswith(
        b"GET /_matrix/identity/v2/3pid/getValidated3pid?sid=sid&client_secret=secret HTTP"
    )
    assert b"authorization: bearer token" in peer.requests[0].lower()
    peer.requests.clear()
    identity_answer(peer, GOOD, token=None)
    assert peer.requests[0].startswith(b"GET /_matrix/identity/api/v1/3pid/getValidated3pid?")
    assert b"authorization" not in peer.requests[0].lower()


@pytest.mark.parametrize(
    "first", [json(b"{}", "404 Not Found"), json(b'{"errcode":"M_UNRECOGNIZED"}', "404 X"), json(b"", "401 X")]
)
def test_where_v2_is_not_spoken_v1_is(peer: Peer, first: bytes) -> None:
    assert identity_answer(peer, first, GOOD).address == "a@example.com"  # type: ignore[attr-defined]
    assert [request.split()[1].split(b"/3pid")[0] for request in peer.requests] == [
        b"/_matrix/identity/v2",
        b"/_matrix/identity/api/v1",
    ]


@pytest.mark.parametrize("errcode", ["M_NO_VALID_SESSION", "M_SESSION_NOT_VALIDATED", "M_SESSION_EXPIRED"])
@pytest.mark.parametrize("status", ["200 OK", "400 Bad", "404 Not Found"])
def test_a_definite_no_is_told_apart_from_a_failure(peer: Peer, errcode: str, status: str) -> None:
    with pytest.raises(SessionRefused):
        identity_answer(peer, json(f'{{"errcode": "{errcode}", "error": "x"}}'.encode(), status))


@pytest.mark.parametrize(
    "body",
    [
        b"{}", b'{"medium": 1, "address": "a@b.c", "validated_at": 1}', b'{"medium": "email", "address": "a@b.c"}',
        b'{"medium": "email", "address": ["a@b.c"], "validated_at": 1}', b'{"medium":"email","address":"a@b.c","validated_at":0}',
        b'{"medium": "email", "address": "a@b.c", "validated_at": "1"}', b'{"errcode": "M_UNKNOWN"}',
        b'{"medium": "email", "address": "a@b.c", "validated_at": true}',
    ],
)  # fmt: skip
def test_an_answer_with_wrong_types_is_a_failure(peer: Peer, body: bytes) -> None:
    with pytest.raises(RemoteError):
        identity_answer(peer, json(body))


def userinfo(peer: Peer, answer: bytes) -> str:
    async def run() -> str:
        guard = peer.guard(total_seconds=20.0)
        federation = Federation(guard, Discovery(guard, Told(["127.0.0.1"]), Clock(), Entropy()))
        async with peer.answering(answer) as port:
            return await federation.openid_userinfo(f"localhost:{port}", "token")

    return asyncio.run(run())


@pytest.mark.parametrize(
    "sub",
    [b'"@a:elsewhere.example"', b"1", b"null", b'["@a:x"]', b'"a"', b'""', b'"@a:localhost"', b'"@a:localhost:1"'],
)
def test_a_user_of_another_server_is_not_believed(peer: Peer, sub: bytes) -> None:
    with pytest.raises(RemoteError):
        userinfo(peer, json(b'{"sub": ' + sub + b"}"))


def test_an_unknown_openid_token_is_a_refusal_and_a_failure_is_not(peer: Peer) -> None:
    with pytest.raises(RemoteRefused):
        userinfo(peer, json(b'{"errcode": "M_UNKNOWN_TOKEN"}', "401 Unauthorized"))
    with pytest.raises(RemoteError):
        userinfo(peer, json(b'{"errcode": "M_UNKNOWN"}', "500 Oh"))


@pytest.mark.parametrize(
    ("call", "cause", "setting"),
    [
        (Call(host="127.0.0.1", port=8448, path="/?access_token=canary"), "address is not allowed", "outbound.allow"),
        (Call(host="localhost", port=443, path="/?sid=canary"), "address is not allowed", "outbound.allow"),
        (Call(host="1.1.1.1", port=25, path="/canary"), "port is not allowed", "outbound"),
        (
            Call(host="127.0.0.1", port=443, path="/", body=b"canary", setting="accounts.captcha.verify_url"),
            "address is not allowed",
            "accounts.captcha.verify_url",
        ),
    ],
)
def test_a_failed_call_is_logged_with_its_host_and_the_setting(call: Call, cause: str, setting: str) -> None:
    guard = Guard(Outbound(), Names())
    with structlog.testing.capture_logs() as logs, pytest.raises(RemoteError):
        asyncio.run(guard.call(call))
    assert logs == [
        {
            "event": "outbound_call_failed",
            "log_level": "warning",
            "host": call.host,
            "port": call.port,
            "cause": cause,
            "setting": setting,
        }
    ]


def test_a_certificate_that_is_not_trusted_names_the_setting_that_would_trust_it(peer: Peer) -> None:
    allowed = Guard(Outbound(allow=("127.0.0.0/8",)), Names())
    with structlog.testing.capture_logs() as logs, pytest.raises(Unreachable):
        ask(peer, json(b"{}"), allowed, host="127.0.0.1")
    assert [(one["host"], one["setting"]) for one in logs] == [("127.0.0.1", "outbound.ca_file")]
