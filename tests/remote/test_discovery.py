"""Homeservers are found as the Server-Server API says. https://spec.matrix.org/latest/server-server-api/#resolving-server-names."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from dns_server import HANG, SERVFAIL, DnsServer, dns_server
from threepid.clock import Entropy
from threepid.config import Outbound
from threepid.remote.discovery import (
    FAILURE_LIFE,
    FAILURE_MOST,
    WELL_KNOWN_LEAST,
    WELL_KNOWN_LIFE,
    WELL_KNOWN_MOST,
    Destination,
    Discovery,
    Place,
    in_order,
    life_of,
)
from threepid.remote.guard import Call, Guard, RemoteAnswer, RemoteError
from threepid.remote.names import Names, Service
from threepid.remote.patience import Patience
from world import HandClock, SeededEntropy

NAME = "a.example"
FED = f"_matrix-fed._tcp.{NAME} SRV"
OLD = f"_matrix._tcp.{NAME} SRV"
WELL_KNOWN = f"https://{NAME}:443/.well-known/matrix/server"
HOUR = 3600.0


class Ticking(HandClock):
    """Both clocks move when the test says so."""

    def monotonic(self) -> float:
        return self.now() / 1000

    def after(self, seconds: float) -> None:
        self.advance(round(seconds * 1000))


class Web(Guard):
    """Answers by URL in the place of the internet."""

    def __init__(self, names: Names) -> None:
        super().__init__(Outbound(), names)
        self.pages: dict[str, Any] = {}
        self.asked: list[str] = []
        self.hosts: list[str | None] = []

    async def call(self, call: Call, *, max_body: int = 50_000) -> RemoteAnswer:
        assert (call.method, call.body, call.headers) == ("GET", None, {})
        host = f"[{call.host}]" if ":" in call.host else call.host
        url = f"https://{host}:{call.port}{call.path}"
        self.asked.append(url)
        self.hosts.append(call.host_header)
        page = self.pages.get(url)
        if page == HANG:
            await asyncio.Event().wait()
        if page is None:
            raise RemoteError("ClientConnectorError")
        status, headers, body = page
        return RemoteAnswer(status, headers, body)


class Rig:
    def __init__(self, dns: DnsServer) -> None:
        self.dns = dns
        self.clock = Ticking()
        self._look(20.0, Patience(well_known=20.0, srv=20.0))

    def _look(self, seconds: float, patience: Patience) -> None:
        names = Names([self.dns.address], seconds=seconds)
        self.web = Web(names)
        self.discovery = Discovery(self.web, names, self.clock, SeededEntropy(), patience)

    def hurry(self) -> None:
        """Begin again, and give up soon what hangs."""
        self._look(0.3, Patience(well_known=0.5, srv=1.0))

    def find(self, server_name: str = NAME) -> Destination:
        return asyncio.run(self.discovery.find(server_name))

    def delegates(self, body: bytes, status: int = 200, url: str = WELL_KNOWN, **headers: str) -> None:
        known = {name.replace("_", "-"): value for name, value in headers.items()}
        self.web.pages[url] = status, known, body

    def moves(self, url: str, to: str, status: int = 302) -> None:
        self.web.pages[url] = status, {"location": to}, b""


@pytest.fixture
def rig() -> Iterator[Rig]:
    with dns_server() as dns:
        yield Rig(dns)


def at(host: str, port: int, host_header: str, tls_name: str | None = None) -> Destination:
    return Destination((Place(host, port),), host_header, tls_name or host)


# -- the steps of the specification


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("192.0.2.1", at("192.0.2.1", 8448, "192.0.2.1")),
        ("192.0.2.1:1234", at("192.0.2.1", 1234, "192.0.2.1:1234")),
        ("[2001:db8::1]", at("2001:db8::1", 8448, "[2001:db8::1]")),
        ("[2001:db8::1]:1234", at("2001:db8::1", 1234, "[2001:db8::1]:1234")),
        ("a.example:1234", at("a.example", 1234, "a.example:1234")),
        ("A.example:8448", at("a.example", 8448, "A.example:8448")),
    ],
)
def test_addresses_and_ports_say_it_all(rig: Rig, name: str, found: Destination) -> None:
    rig.delegates(b'{"m.server": "b.example"}')
    rig.dns.zone = {FED: ["0 0 1 c.example."]}
    assert rig.find(name) == found
    assert (rig.web.asked, rig.dns.asked) == ([], [])


@pytest.mark.parametrize(
    ("delegated", "found"),
    [
        ("192.0.2.1", at("192.0.2.1", 8448, "192.0.2.1")),
        ("192.0.2.1:1234", at("192.0.2.1", 1234, "192.0.2.1:1234")),
        ("[2001:db8::1]:1234", at("2001:db8::1", 1234, "[2001:db8::1]:1234")),
        ("b.example:1234", at("b.example", 1234, "b.example:1234")),
    ],
)
def test_a_delegation_with_address_or_port_says_it_all(rig: Rig, delegated: str, found: Destination) -> None:
    rig.delegates(b'{"m.server": "%s"}' % delegated.encode())
    assert rig.find() == found
    assert rig.dns.asked == []


def test_a_delegation_to_a_name_is_looked_up_as_a_service_of_that_name(rig: Rig) -> None:
    rig.delegates(b'{"m.server": "b.example", "more": []}')
    rig.dns.zone = {
        FED: ["0 0 1 wrong.example."],
        "_matrix-fed._tcp.b.example SRV": ["0 0 1234 c.example."],
        "_matrix._tcp.b.example SRV": ["0 0 1 old.example."],
    }
    assert rig.find() == at("c.example", 1234, "b.example", "b.example")
    assert rig.dns.asked == ["_matrix-fed._tcp.b.example SRV"]
    assert rig.web.hosts == [NAME]


def test_the_old_name_of_the_service_comes_second_and_8448_last(rig: Rig) -> None:
    rig.delegates(b'{"m.server": "b.example"}')
    rig.dns.zone = {"_matrix._tcp.b.example SRV": ["0 0 1234 c.example."]}
    assert rig.find() == at("c.example", 1234, "b.example", "b.example")
    rig.dns.zone = {}
    assert rig.find() == at("b.example", 8448, "b.example")
    # A delegation is followed once: what the delegated name has under .well-known is not asked for.
    assert rig.web.asked == [WELL_KNOWN]


def test_without_a_delegation_the_service_and_then_8448_of_the_name_itself(rig: Rig) -> None:
    rig.dns.zone = {FED: ["0 0 1234 c.example."], OLD: ["0 0 1 old.example."]}
    assert rig.find() == at("c.example", 1234, NAME, NAME)
    rig.dns.zone = {OLD: ["0 0 1234 c.example."]}
    assert rig.find() == at("c.example", 1234, NAME, NAME)
    rig.dns.zone = {}
    assert rig.find() == at(NAME, 8448, NAME)


@pytest.mark.parametrize("fault", [SERVFAIL, HANG])
def test_a_dns_server_that_knows_no_services_is_one_without_them(rig: Rig, fault: str) -> None:
    if fault == HANG:
        rig.hurry()
    rig.dns.zone = {FED: fault, OLD: fault}
    assert rig.find() == at(NAME, 8448, NAME)


def test_a_service_that_is_nowhere_is_nowhere(rig: Rig) -> None:
    rig.dns.zone = {FED: ["0 0 0 ."]}
    with pytest.raises(RemoteError):
        rig.find()


@pytest.mark.parametrize("name", ["", "a_b.example", "a.example:0", "[::1", "a.example/x", "user@a.example", "0x7f.1"])
def test_what_is_no_server_name_is_found_nowhere(rig: Rig, name: str) -> None:
    with pytest.raises(RemoteError):
        rig.find(name)
    assert (rig.web.asked, rig.dns.asked) == ([], [])


# -- .well-known


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b'"b.example"', b"<html>", b"{}", b'{"m.server": null}', b'{"m.server": 1}', b'{"m.server": ""}',
        b'{"m.server": ["b.example"]}', b'{"m.server": {"b.example": 1}}', b'{"m.server": "https://b.example"}',
        b'{"m.server": "b.example:"}', b'{"m.server": "b.example:0"}', b'{"m.server": "b.example:65536"}',
        b'{"m.server": "b.example\\n"}', b'{"m.server": "0x7f.1"}', b'{"m.server": "user@b.example"}', b'{"m.server": "\xff"}',
        b'{"m.server": "b.example", "m.server": "c.example"}', b'{"m.server": "' + b"b" * 300 + b'"}', b'{"server": "b.example"}',
    ],
)  # fmt: skip
def test_an_answer_of_the_wrong_kind_is_none_and_the_service_is_used(rig: Rig, body: bytes) -> None:
    rig.delegates(body)
    rig.dns.zone = {FED: ["0 0 1234 c.example."]}
    assert rig.find() == at("c.example", 1234, NAME, NAME)


@pytest.mark.parametrize("status", [201, 204, 304, 400, 404, 418, 429, 500, 503])
def test_an_answer_that_is_not_200_is_none(rig: Rig, status: int) -> None:
    rig.delegates(b'{"m.server": "b.example:1"}', status)
    assert rig.find() == at(NAME, 8448, NAME)


def test_three_redirects_are_followed_and_no_fourth(rig: Rig) -> None:
    rig.moves(WELL_KNOWN, "/else?a=b#c", 301)
    rig.moves(f"https://{NAME}:443/else?a=b", "//www.a.example/x", 307)
    rig.moves("https://www.a.example:443/x", "https://[2001:db8::1]:8443/y", 308)
    rig.delegates(b'{"m.server": "b.example:1234"}', url="https://[2001:db8::1]:8443/y")
    assert rig.find() == at("b.example", 1234, "b.example:1234")
    assert rig.web.hosts == [NAME, NAME, "www.a.example", "[2001:db8::1]:8443"]
    other = Rig(rig.dns)
    other.web.pages = dict(rig.web.pages)
    other.moves("https://[2001:db8::1]:8443/y", "https://c.example/")
    other.delegates(b'{"m.server": "b.example:1234"}', url="https://c.example:443/")
    assert other.find() == at(NAME, 8448, NAME)
    assert len(other.web.asked) == 4


@pytest.mark.parametrize(
    "to",
    [
        "http://b.example/", "ftp://b.example/", "file:///etc/passwd", "gopher://b.example/", "https://user@b.example/",
        "https://user:pass@b.example/", "https://@b.example/", "https://", "https://b.example:99999/", "https://[::1",
        "javascript:alert(1)", "",
    ],
)  # fmt: skip
def test_redirects_lead_to_https_only(rig: Rig, to: str) -> None:
    rig.moves(WELL_KNOWN, to)
    assert rig.find() == at(NAME, 8448, NAME)
    assert set(rig.web.asked) == {WELL_KNOWN}


def test_a_server_that_hangs_has_no_delegation(rig: Rig) -> None:
    rig.hurry()
    rig.web.pages[WELL_KNOWN] = HANG
    assert rig.find() == at(NAME, 8448, NAME)


# -- for how long it is good


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, WELL_KNOWN_LIFE),
        ({"cache-control": "max-age=7200"}, 7200),
        ({"cache-control": "public, Max-Age = 7200 , immutable"}, 7200),
        ({"cache-control": 'max-age="7200"'}, 7200),
        ({"cache-control": "max-age=1"}, WELL_KNOWN_LEAST),
        ({"cache-control": "max-age=0"}, WELL_KNOWN_LEAST),
        ({"cache-control": "no-store, max-age=7200"}, WELL_KNOWN_LEAST),
        ({"cache-control": "no-cache"}, WELL_KNOWN_LEAST),
        ({"cache-control": "max-age=9999999999"}, WELL_KNOWN_MOST),
        ({"cache-control": "max-age=" + "9" * 5000}, WELL_KNOWN_LIFE),
        ({"cache-control": "max-age=-1"}, WELL_KNOWN_LIFE),
        ({"cache-control": "s-maxage=7200"}, WELL_KNOWN_LIFE),
        ({"cache-control": "max-age=7200", "expires": "0"}, 7200),
        ({"expires": formatdate(1_800_000_000 + 7200, usegmt=True)}, 7200),
        (
            {"expires": formatdate(1_000_000 + 7200, usegmt=True), "date": formatdate(1_000_000, usegmt=True)},
            7200,
        ),
        ({"expires": "0"}, WELL_KNOWN_LEAST),
        ({"expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, WELL_KNOWN_LEAST),
        ({"expires": "Fri, 31 Dec 9999 23:59:59 GMT"}, WELL_KNOWN_MOST),
        ({"expires": "Fri, 31 Dec 99999 23:59:59 GMT"}, WELL_KNOWN_LEAST),
    ],
)
def test_answers_are_good_as_long_as_they_say_within_bounds(headers: dict[str, str], seconds: float) -> None:
    assert life_of(headers, HandClock()) == seconds


def test_a_delegation_is_asked_for_again_when_its_time_is_over(rig: Rig) -> None:
    rig.delegates(b'{"m.server": "b.example:1"}', cache_control="max-age=7200")
    for _ in range(3):
        assert rig.find() == rig.find(NAME.upper()) == at("b.example", 1, "b.example:1")
    assert len(rig.web.asked) == 1
    rig.clock.after(2 * HOUR - 1)
    rig.delegates(b'{"m.server": "c.example:1"}')
    assert rig.find() == at("b.example", 1, "b.example:1")
    rig.clock.after(2)
    assert rig.find() == at("c.example", 1, "c.example:1")
    assert len(rig.web.asked) == 2


def test_a_failure_is_tried_again_ever_more_rarely_and_at_least_once_an_hour(rig: Rig) -> None:
    pauses = []
    asked_at = rig.clock.monotonic()
    rig.find()
    while len(rig.web.asked) < 9:
        rig.clock.after(60)
        before = len(rig.web.asked)
        rig.find()
        if len(rig.web.asked) > before:
            pauses.append(rig.clock.monotonic() - asked_at)
            asked_at = rig.clock.monotonic()
    assert pauses == [FAILURE_LIFE, 2 * FAILURE_LIFE, 4 * FAILURE_LIFE, 8 * FAILURE_LIFE, *[FAILURE_MOST] * 4]


def test_a_success_forgets_the_failures_before(rig: Rig) -> None:
    for _ in range(5):
        rig.find()
        rig.clock.after(HOUR)
    rig.delegates(b'{"m.server": "b.example:1"}')
    rig.find()
    rig.clock.after(25 * HOUR)
    rig.delegates(b"", 404)
    rig.find()
    before = len(rig.web.asked)
    rig.clock.after(FAILURE_LIFE)
    rig.find()
    assert len(rig.web.asked) == before + 1


@pytest.mark.parametrize("down", [None, (500, {}, b""), (503, {}, b"{}"), (429, {}, b"{}")])
def test_a_server_that_is_down_keeps_its_delegation_for_two_days(rig: Rig, down: Any) -> None:
    rig.delegates(b'{"m.server": "b.example:1"}', cache_control="max-age=3600")
    assert rig.find().host_header == "b.example:1"
    rig.web.pages[WELL_KNOWN] = down
    for _ in range(40):
        rig.clock.after(HOUR)
        assert rig.find().host_header == "b.example:1"
    rig.clock.after(9 * HOUR)
    assert rig.find() == at(NAME, 8448, NAME)


def test_a_server_that_takes_its_delegation_back_is_believed(rig: Rig) -> None:
    rig.delegates(b'{"m.server": "b.example:1"}', cache_control="max-age=3600")
    rig.find()
    rig.clock.after(HOUR)
    rig.delegates(b"", 404)
    assert rig.find() == at(NAME, 8448, NAME)


def test_many_who_ask_at_the_same_time_ask_once(rig: Rig) -> None:
    rig.delegates(b'{"m.server": "b.example:1"}')

    async def run() -> set[str]:
        found = await asyncio.gather(*(rig.discovery.find(NAME) for _ in range(50)))
        return {one.host_header for one in found}

    assert asyncio.run(run()) == {"b.example:1"}
    assert len(rig.web.asked) == 1


def test_names_of_strangers_fill_no_endless_table(rig: Rig) -> None:
    async def run() -> None:
        for number in range(1_100):
            await rig.discovery._delegated(f"a{number}.example")

    asyncio.run(run())
    assert len(rig.discovery._known) == 1_000
    assert len(rig.web.asked) == 1_100
    asyncio.run(rig.discovery._delegated("a1099.example"))
    assert len(rig.web.asked) == 1_100


# -- several places


def srv(priority: int, weight: int, host: str) -> Service:
    return Service(priority, weight, host, 1)


def test_lower_priorities_come_first_and_there_are_four_at_most(rig: Rig) -> None:
    rig.dns.zone = {FED: [f"{10 - number} 0 {1000 + number} c{number}.example." for number in range(8)]}
    assert [place.port for place in rig.find().places] == [1007, 1006, 1005, 1004]


def test_equal_priorities_are_chosen_after_their_weight() -> None:
    services = [srv(1, 60, "a"), srv(1, 30, "b"), srv(1, 10, "c"), srv(1, 0, "d"), srv(2, 1000, "e")]
    first = Counter(in_order(services, Entropy(), 1)[0].host for _ in range(4_000))
    assert 0.54 < first["a"] / 4_000 < 0.66
    assert 0.25 < first["b"] / 4_000 < 0.35
    assert 0.06 < first["c"] / 4_000 < 0.14
    assert 0 < first["d"] / 4_000 < 0.03
    assert first["e"] == 0
    for _ in range(100):
        order = [one.host for one in in_order(services, Entropy(), 5)]
        assert sorted(order) == ["a", "b", "c", "d", "e"]
        assert order[-1] == "e"


def test_places_without_weight_are_chosen_alike() -> None:
    services = [srv(1, 0, host) for host in "abcd"]
    first = Counter(in_order(services, Entropy(), 1)[0].host for _ in range(4_000))
    assert all(0.2 < count / 4_000 < 0.3 for count in first.values())
