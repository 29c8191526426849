"""A41: whatever name a stranger gives, nothing inside is connected to, and the answer does not tell what is there."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from canary import Canaries, canaries, connections
from dns_server import DnsServer, dns_server
from hostile_server import Authority, Head, HostileServer, hostile_server, response
from rig import free_port
from threepid.spec.server_name import is_server_name
from world import World

C: Final = "/_matrix/client/v3/account/3pid"
IS: Final = "/_matrix/identity/v2"
PUBLIC: Final = "127.0.0.66"
"""The only address of loopback that is as good as one of the internet in these tests: an attacker's server."""

V4 = [
    "127.0.0.1", "127.9.9.9", "127.255.255.254", "0.0.0.0", "0.0.0.1", "10.0.0.1", "10.255.255.1", "172.16.0.1", "172.31.255.254",
    "192.168.0.1", "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255",
]  # fmt: skip
V4_ODD = [
    "127.1", "127.0.1", "127.0.0.1.", "2130706433", "017700000001", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "0177.0.0.1",
    "127.0.0.01", "127.000.000.001", "127.0.0.0x1", "0", "1", "0x0", "127.0.0.1.0", "[127.0.0.1]", "1２7.0.0.1", "127。0。0。1",
    "①②⑦.⓪.⓪.①", "127.0.0.1%00", "127.0.0.1%2e", " 127.0.0.1", "127.0.0.1\t", "127.0.0.1\n", "127.0.0.1\x00.example.org",
]  # fmt: skip
V6 = [
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:7F00:0001]",
    "[::127.0.0.1]", "[::7f00:1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]", "[2002:7f00:0001::1]", "[2002:0a00:0001::]", "[2001:0:7f00:1::]", "[2001::1]", "[2001:db8::1]",
    "[fe80::1]", "[fec0::1]", "[fc00::1]", "[fd00::1]", "[ff02::1]", "[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]",
    "[100::1]", "[3fff::1]",
]  # fmt: skip
V6_ODD = [
    "::1",
    "[::1",
    "::1]",
    "[::1%lo]",
    "[::1%25lo]",
    "[fe80::1%1]",
    "[v1.::1]",
    "[::1]]",
    "[[::1]]",
    "[::g]",
    "[1::2::3]",
]
SYNTAX = [
    "localhost/", "localhost#", "localhost?", "user@localhost", "x:y@localhost", "localhost@1.1.1.1", "http://localhost",
    "https://localhost", "//localhost", "localhost\\", "localhost%00.example.org", "localhost:", "localhost:0", "localhost:-1",
    "localhost:65536", "localhost:+443", "localhost:４４３", "localhost:443:443", "lo\u200bcalhost", "\u2113ocalhost", "loc\u0430lhost",
    "a..localhost", ".localhost", "-.localhost", "*", "*.localhost", "../localhost", "localhost\r\nHost: x", "unix:/run/x",
]  # fmt: skip
LOCAL = ["localhost", "LOCALHOST", "localhost.", "a.localhost", "LocalHost.", "b.a.localhost."]
PORTS = [":{port}", ":22", ":25", ":80", ":443", ":1023", ":6379", ":8448", ""]
ZONE: Final = {
    "loop A": ["127.0.0.1"],
    "loop6 AAAA": ["::1"],
    "both A": ["127.0.0.1"],
    "both AAAA": ["::1"],
    "any A": ["0.0.0.0"],
    "any6 AAAA": ["::"],
    "mapped AAAA": ["::ffff:127.0.0.1"],
    "nat64 AAAA": ["64:ff9b::7f00:1"],
    "sixtofour AAAA": ["2002:7f00:1::"],
    "private A": ["10.0.0.1"],
    "link A": ["169.254.169.254"],
    "mixed A": ["1.1.1.1", "127.0.0.1"],
    "mixed6 A": ["1.1.1.1"],
    "mixed6 AAAA": ["::1"],
    "alias A": ["CNAME localhost.", "127.0.0.1"],
    "alias2 A": ["CNAME alias3.evil.example.", "CNAME localhost.", "127.0.0.1"],
    "dangling A": ["CNAME localhost."],
    "many A": [f"127.0.0.{number}" for number in range(1, 60)],
    "srv A": ["10.0.0.1"],
    "_matrix-fed._tcp.srv SRV": ["0 0 {port} loop.evil.example."],
    "oldsrv A": ["10.0.0.1"],
    "_matrix._tcp.oldsrv SRV": ["0 0 {port} localhost.", "0 0 {port} loop6.evil.example."],
    "srvaddress A": ["10.0.0.1"],
    "_matrix-fed._tcp.srvaddress SRV": ["0 0 {port} 127.0.0.1.", "1 0 22 loop.evil.example.", "2 0 0 loop.evil.example."],
    "srvself A": ["127.0.0.1"],
    "_matrix-fed._tcp.srvself SRV": ["0 0 8448 srvself.evil.example."],
}  # fmt: skip


def targets(port: int) -> list[str]:
    hosts = [*V4, *V6, *LOCAL, *(f"{key.split(' ')[0]}.evil.example" for key in ZONE if not key.startswith("_"))]
    found = [*hosts, *(f"{host}:{port}" for host in [*hosts, *V4_ODD, *V6_ODD]), *V4_ODD, *V6_ODD, *SYNTAX]
    found += [f"{host}{suffix.format(port=port)}" for host in ("127.0.0.1", "localhost", "[::1]") for suffix in PORTS]
    return list(dict.fromkeys(found))


def fill(dns: DnsServer, zone: dict[str, list[str]], port: int) -> None:
    for key, records in zone.items():
        name, kind = key.split(" ")
        dns.zone[f"{name}.evil.example {kind}"] = [record.format(port=port) for record in records]


class Inside:
    """A server that knows the attacker's names, and what it must not reach."""

    def __init__(self, world: World, dns: DnsServer, birds: Canaries) -> None:
        self.world = world
        self.dns = dns
        self.birds = birds
        self.alice = world.register()

    def register(self, name: str) -> httpx.Response:
        return self.world.post(f"{IS}/account/register", {"access_token": "x", "matrix_server_name": name})

    def bind(self, name: str) -> httpx.Response:
        body = {"sid": "1", "client_secret": "secret", "id_server": name, "id_access_token": "x"}
        return self.world.post(f"{C}/bind", body, token=self.alice)

    def add(self, name: str) -> httpx.Response:
        creds = {"sid": "1", "client_secret": "secret", "id_server": name, "id_access_token": "x"}
        return self.world.post(C, {"three_pid_creds": creds}, token=self.alice)

    def unbind(self, name: str) -> httpx.Response:
        header = f'X-Matrix origin="{name}",destination="matrix.example.org",key="ed25519:1",sig="{"A" * 86}"'
        body = {"mxid": f"@zoe:{name}", "threepid": {"medium": "email", "address": "zoe@example.com"}}
        return self.world.post(f"{IS}/3pid/unbind", body, headers={"Authorization": header.encode()})


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with dns_server() as made:
        yield made


@pytest.fixture
def birds() -> Iterator[Canaries]:
    with canaries() as made:
        yield made


def world(database_url: str, tmp_path: Path, dns: DnsServer, **changes: Any) -> World:
    changes = {"accounts__trusted_identity_servers": ["*", "*:*"], "outbound__nameservers": [dns.address], **changes}
    return World(database_url, tmp_path, **changes)


@pytest.fixture
def inside(database_url: str, tmp_path: Path, dns: DnsServer, birds: Canaries) -> Iterator[Inside]:
    with world(database_url, tmp_path, dns) as made:
        fill(dns, ZONE, birds.port)
        yield Inside(made, dns, birds)


OF_HOMESERVER = (502, {"errcode": "M_UNKNOWN", "error": "The homeserver is unreachable."})
OF_KEYS = (502, {"errcode": "M_UNKNOWN", "error": "We could not fetch the keys of the homeserver."})
OF_IDENTITY = (502, {"errcode": "M_UNKNOWN", "error": "The identity server is unreachable."})
ENTRIES: dict[str, tuple[Callable[[Inside, str], httpx.Response], tuple[int, Any], tuple[int, str]]] = {
    "an identity account's homeserver": (Inside.register, OF_HOMESERVER, (502, "M_UNKNOWN")),
    "an identity server to bind at": (Inside.bind, OF_IDENTITY, (400, "M_SERVER_NOT_TRUSTED")),
    "an identity server that proves": (Inside.add, OF_IDENTITY, (400, "M_SERVER_NOT_TRUSTED")),
    "a homeserver that signs": (Inside.unbind, OF_KEYS, (403, "M_FORBIDDEN")),
}
"""How a stranger has a server called, the answer about a server, and the answer about what is no name of one."""


@pytest.mark.parametrize("entry", ENTRIES)
def test_no_name_leads_inside_and_all_are_answered_alike(inside: Inside, entry: str) -> None:
    ask, of_server, (no_status, no_errcode) = ENTRIES[entry]
    names = targets(inside.birds.port)
    assert len(names) >= 120
    found: dict[str, tuple[int, Any]] = {}
    with connections() as begun:
        for name in names:
            answer = ask(inside, name)
            found[name] = answer.status_code, answer.json()
    assert begun == []  # so that nothing was waited for
    assert inside.birds.hits() == 0
    good = {name for name in names if is_server_name(name)}
    assert len(good) >= 120
    assert {name: found[name] for name in good} == dict.fromkeys(good, of_server)
    for name in set(names) - good:
        status, content = found[name]
        assert (status, content["errcode"]) in ((no_status, no_errcode), (400, "M_BAD_JSON"), (400, "M_INVALID_PARAM"))
        assert str(inside.birds.port) not in content["error"]


@pytest.mark.parametrize("entry", ENTRIES)
def test_open_closed_and_filtered_ports_are_told_apart_by_nobody(inside: Inside, entry: str) -> None:
    ask, of_server, _ = ENTRIES[entry]
    answers = []
    with connections() as begun:
        for name in (f"127.0.0.1:{inside.birds.port}", f"127.0.0.1:{free_port()}", "10.255.255.1:8448", "127.0.0.1:22"):
            answer = ask(inside, name)
            answers.append((answer.status_code, answer.json(), sorted(set(answer.headers) - {"date"})))
    assert begun == []  # so that none takes longer than another
    assert answers == [(*of_server, answers[0][2])] * 4


# -- with a server of the attacker's own


class Evil:
    """The attacker's server, which answers for every name below evil.example."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}

    def talk(self, connection: ssl.SSLSocket, head: Head) -> None:
        name = head.host.partition(".")[0]
        page = self.pages.get(f"{name} {head.path}", response(b"{}", "404 Not Found"))
        connection.sendall(page)


@pytest.fixture
def outside(
    database_url: str, tmp_path: Path, dns: DnsServer, birds: Canaries
) -> Iterator[tuple[Inside, Evil, HostileServer, HostileServer]]:
    """Its server on 443, where `.well-known` is asked for, and on another port."""
    authority = Authority(tmp_path)
    tls = authority.tls("evil.example", "*.evil.example", PUBLIC)
    evil = Evil()
    try:
        on_443 = HostileServer(PUBLIC, 443, tls, evil.talk)
    except PermissionError:
        pytest.skip("listening on port 443 needs a right that this process does not have")
    with hostile_server(evil.talk, tls, address=PUBLIC) as other:
        outbound = {"outbound__allow": [f"{PUBLIC}/32"], "outbound__ca_file": authority.file}
        try:
            with world(database_url, tmp_path, dns, **outbound) as made:
                fill(dns, ZONE, birds.port)
                yield Inside(made, dns, birds), evil, on_443, other
        finally:
            on_443.stop()


def only_outside(begun: list[tuple[str, int]], inside: Inside) -> None:
    assert {address for address, _ in begun} <= {PUBLIC}
    assert all(port in (443, 8448) or port >= 1024 for _, port in begun)
    assert inside.birds.hits() == 0


INWARDS = [
    "127.0.0.1:{port}", "127.0.0.1", "[::1]:{port}", "[::ffff:127.0.0.1]:{port}", "localhost:{port}", "localhost",
    "loop.evil.example", "loop.evil.example:{port}", "loop6.evil.example:{port}", "alias.evil.example:{port}", "evil22.evil.example:22",
    "mixed.evil.example:{port}", "10.0.0.1:8448", "127.0.0.66:22", "127.0.0.66:1023", "srv.evil.example", "2130706433:{port}",
]  # fmt: skip


def test_no_delegation_leads_inside(outside: tuple[Inside, Evil, HostileServer, HostileServer]) -> None:
    inside, evil, on_443, _ = outside
    inside.dns.zone["evil22.evil.example A"] = [PUBLIC]
    with connections() as begun:
        for number, to in enumerate(INWARDS):
            inside.dns.zone[f"d{number}.evil.example A"] = [PUBLIC]
            delegated = to.format(port=inside.birds.port).encode()
            evil.pages[f"d{number} /.well-known/matrix/server"] = response(b'{"m.server": "%s"}' % delegated)
            answer = inside.register(f"d{number}.evil.example")
            assert (answer.status_code, answer.json()) == OF_HOMESERVER
            answer = inside.unbind(f"d{number}.evil.example")
            assert (answer.status_code, answer.json()) == OF_KEYS
    only_outside(begun, inside)
    assert begun.count((PUBLIC, 443)) == len(INWARDS)
    assert len(on_443.asked) == len(INWARDS)  # and the second time what was found is known


def test_no_redirect_leads_inside(outside: tuple[Inside, Evil, HostileServer, HostileServer]) -> None:
    inside, evil, on_443, _ = outside
    places = [f"https://{to}/x" for to in INWARDS] + [
        "http://127.0.0.1:{port}/", "http://redirect.evil.example/", "//127.0.0.1:{port}/", "https://evil.example@127.0.0.1:{port}/",
        "https://127.0.0.1:{port}#.evil.example/", "file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "\\\\127.0.0.1:{port}\\x",
        "https:\\\\127.0.0.1:{port}\\x", "https://127.1:{port}/", "https://0x7f.1:{port}/", "https://①②⑦.0.0.1:{port}/",
    ]  # fmt: skip
    with connections() as begun:
        for number, to in enumerate(places):
            inside.dns.zone[f"r{number}.evil.example A"] = [PUBLIC]
            evil.pages[f"r{number} /.well-known/matrix/server"] = response(
                b"", "302 Found", Location=to.format(port=inside.birds.port).encode().decode("latin-1")
            )
            answer = inside.register(f"r{number}.evil.example")
            assert (answer.status_code, answer.json()) == OF_HOMESERVER
    only_outside(begun, inside)
    assert len(on_443.asked) >= len(places)


def test_a_redirect_elsewhere_outside_is_followed_so_the_test_above_tests_something(
    outside: tuple[Inside, Evil, HostileServer, HostileServer],
) -> None:
    inside, evil, on_443, other = outside
    inside.dns.zone |= {"r.evil.example A": [PUBLIC], "hs.evil.example A": [PUBLIC]}
    evil.pages["r /.well-known/matrix/server"] = response(b"", "302 Found", Location=f"https://{other.name}/moved")
    evil.pages["127 /moved"] = response(b'{"m.server": "hs.evil.example:%d"}' % other.port)
    sub = b'{"sub": "@zoe:r.evil.example"}'
    evil.pages["hs /_matrix/federation/v1/openid/userinfo"] = response(sub)
    assert inside.register("r.evil.example").status_code == 200
    assert [head.host for head in on_443.asked] == ["r.evil.example"]
    assert [head.host for head in other.asked] == [other.name, f"hs.evil.example:{other.port}"]


def rebinding(first: int, *then: str) -> Callable[[], list[str]]:
    """Answers with the attacker's address so often, and then with others."""
    count = 0

    def answer() -> list[str]:
        nonlocal count
        count += 1
        return [PUBLIC] if count <= first else list(then)

    return answer


@pytest.mark.parametrize("first", [0, 1, 2, 3])
@pytest.mark.parametrize("then", [["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], ["10.0.0.1"]])
@pytest.mark.parametrize("entry", ENTRIES)
def test_a_name_that_changes_its_address_is_checked_each_time(
    outside: tuple[Inside, Evil, HostileServer, HostileServer], entry: str, first: int, then: list[str]
) -> None:
    inside, _, _, other = outside
    ask, of_server, _ = ENTRIES[entry]
    for name in (f"re.evil.example:{inside.birds.port}", f"re.evil.example:{other.port}", "re.evil.example"):
        with connections() as begun:
            inside.dns.zone["re.evil.example A"] = rebinding(first, *then)
            for _ in range(3):
                answer = ask(inside, name)
                assert answer.status_code in (502, 400)
                assert of_server[1]["errcode"] == "M_UNKNOWN"
        only_outside(begun, inside)


def test_a_user_whose_homeserver_moves_inside_leads_no_call_there(
    outside: tuple[Inside, Evil, HostileServer, HostileServer],
) -> None:
    inside, evil, _, other = outside
    server_name = f"hs.evil.example:{other.port}"
    inside.dns.zone["hs.evil.example A"] = [PUBLIC]
    evil.pages["hs /_matrix/federation/v1/openid/userinfo"] = response(b'{"sub": "@zoe:%s"}' % server_name.encode())
    zoe = str(inside.register(server_name).json()["token"])
    world = inside.world
    invite = {
        "medium": "email",
        "address": "zoe@example.com",
        "room_id": "!r:example.org",
        "sender": "@alice:example.org",
    }
    stored = world.post(f"{IS}/store-invite", invite, token=world.identity_token(inside.alice))
    assert stored.status_code == 200, stored.text
    world.clock.advance(1)
    body = {"sid": world.validated(zoe, "zoe@example.com"), "client_secret": "secret", "mxid": f"@zoe:{server_name}"}
    assert world.post(f"{IS}/3pid/bind", body, token=zoe).status_code == 200
    inside.dns.zone["hs.evil.example A"] = ["127.0.0.1"]
    with connections() as begun:
        world.run(world.server.worker.run_once())
    assert begun == []
    asked = len(other.asked)
    inside.dns.zone["hs.evil.example A"] = [PUBLIC]
    world.clock.advance(3_600_000)
    world.run(world.server.worker.run_once())
    assert [head.path for head in other.asked[asked:]] == ["/_matrix/federation/v1/3pid/onbind"] * 2  # PUT, and POST
