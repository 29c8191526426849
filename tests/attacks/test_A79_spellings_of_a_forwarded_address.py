"""A79: a proxy may write the caller's address in any spelling; what it writes unreadably hands nobody the pen."""

import socket
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import structlog.testing

from rig import ServerProcess
from threepid.http.proxies import NO_ADDRESS, Proxies
from world import BASE, World

REGISTER = "/_matrix/client/v3/register"
ACCOUNTS = 10
"""How many accounts one caller may open at once."""


def proxies() -> Proxies:
    return Proxies((ip_network("127.0.0.1/32"), ip_network("::1/128"), ip_network("10.0.0.0/8")))


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:51000", "203.0.113.9"),
        ('"203.0.113.9"', "203.0.113.9"),
        ('"203.0.113.9:51000"', "203.0.113.9"),
        ('" 203.0.113.9:51000 "', "203.0.113.9"),
        ("[203.0.113.9]:51000", "203.0.113.9"),
        ("\t203.0.113.9:1 ", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:db8::1:443", "2001:db8::1:443"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8::1]"', "2001:db8::1"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("[2001:DB8:0::1]:443", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9:51000", "203.0.113.9"),
        ("[::ffff:203.0.113.9]:443", "203.0.113.9"),
        ("[::ffff:cb00:7109]", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:443", "fe80::1"),
    ],
)
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", ""])
def test_every_spelling_of_an_address_is_read(peer: str, entry: str, address: str) -> None:
    assert proxies().client(peer, entry) == address
    assert proxies().client(peer, f"6.6.6.6, {entry}") == address
    assert proxies().client(peer, f"6.6.6.6, {entry}, 10.0.0.1:4000, [::1]:80") == address
    assert proxies().client("192.0.2.1", entry) == "192.0.2.1"


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "unknown",
        "_hidden",
        "localhost",
        "for=203.0.113.9",
        "203.0.113",
        "203.0.113.256",
        "203.0.113.9:",
        "203.0.113.9:port",
        "203.0.113.9:123456",
        "203.0.113.9 51000",
        '"203.0.113.9',
        '203.0.113.9"',
        '"',
        '""',
        "[203.0.113.9",
        "2001:db8::1]",
        "[]",
        "[]:443",
        "[[2001:db8::1]]",
        "[2001:db8::1]443",
        "3405803785",
        "0xcb007109",
        "é",
    ],
)
def test_an_unreadable_entry_ends_the_search(entry: str) -> None:
    assert proxies().client("127.0.0.1", entry) == "127.0.0.1"
    assert proxies().client("127.0.0.1", f"203.0.113.9, {entry}") == "127.0.0.1"
    assert proxies().client("127.0.0.1", f"203.0.113.9, {entry}, 10.0.0.1:80") == "10.0.0.1"
    assert proxies().client("", f"203.0.113.9, {entry}") == NO_ADDRESS


def test_an_unreadable_entry_is_logged_once() -> None:
    read = proxies()
    with structlog.testing.capture_logs() as logs:
        read.client("127.0.0.1", "6.6.6.6, unknown, 203.0.113.9")  # the caller's own words, which nobody reads
        read.client("192.0.2.1", "unknown")
        assert logs == []
        for entry in ("unknown" * 100, "_hidden", "unknown"):
            read.client("127.0.0.1", entry)
    assert logs == [
        {
            "event": "forwarded_for_unreadable",
            "log_level": "warning",
            "entry": ("unknown" * 100)[:64],
            "counted_as": "127.0.0.1",
            "setting": "server.trusted_proxies",
        }
    ]


@pytest.fixture
def proxied_world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path, limits__all="on", server__trusted_proxies=["127.0.0.1"]) as made:
        yield made


def opened(world: World, count: int, *headers: tuple[str, str], start: int = 0) -> int:
    """How many of so many registrations succeed."""
    statuses = []
    for number in range(start, start + count):
        body = {"username": f"u{number}", "password": "long enough", "auth": {"type": "m.login.dummy"}}
        encoded = httpx.Headers([(name.encode(), value.encode()) for name, value in headers])
        statuses.append(world.run(world.http.post(REGISTER, json=body, headers=encoded)).status_code)
    assert set(statuses) <= {200, 429}
    return statuses.count(200)


def test_callers_behind_a_balancer_that_writes_ports_count_one_by_one(proxied_world: World) -> None:
    for number in range(3):
        spelled = ("X-Forwarded-For", f"203.0.113.{number}:5100{number}")
        assert opened(proxied_world, 12, spelled, start=100 * number) == ACCOUNTS
    again = ("X-Forwarded-For", '6.6.6.6, "203.0.113.0:4"')
    assert opened(proxied_world, 1, again, start=900) == 0


def test_several_headers_are_one_list(proxied_world: World) -> None:
    headers = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-For", "[2001:db8::1]:443"),
        ("X-Forwarded-For", "127.0.0.1"),
    ]
    assert opened(proxied_world, 12, *headers) == ACCOUNTS
    assert opened(proxied_world, 1, ("X-Forwarded-For", "6.6.6.6"), start=20) == 1
    assert opened(proxied_world, 1, ("X-Forwarded-For", "2001:db8::2"), start=21) == 0


def test_other_headers_stay_unread(proxied_world: World) -> None:
    for number in range(ACCOUNTS):
        others = [("Forwarded", f"for=203.0.113.{number}"), ("X-Real-IP", f"203.0.113.{number}")]
        assert opened(proxied_world, 1, *others, start=number) == 1
    assert opened(proxied_world, 1, ("Forwarded", "for=203.0.113.99"), start=90) == 0
    assert opened(proxied_world, 1, ("X-Real-IP", "203.0.113.99"), start=91) == 0


def test_callers_of_a_unix_socket_without_the_header_count_as_one(proxied_world: World) -> None:
    over_socket = httpx.ASGITransport(app=cast(Any, proxied_world.server.asgi), client=cast(Any, None))
    proxied_world.run(proxied_world.http.aclose())
    proxied_world.http = httpx.AsyncClient(transport=over_socket, base_url=BASE)
    assert opened(proxied_world, 15) == ACCOUNTS
    assert opened(proxied_world, 1, ("X-Forwarded-For", "unknown"), start=20) == 0
    assert opened(proxied_world, 1, ("X-Forwarded-For", "203.0.113.9:1"), start=21) == 1


class OnUnixSocket(ServerProcess):
    """A server that is there when its socket accepts a connection."""

    socket_path: Path

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket_path)) == 0


def test_a_server_on_a_unix_socket_limits_registrations(tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = OnUnixSocket(tmp_path / "server")
    server.socket_path = path
    text = server.config.read_text().replace('all = "off"', "registration_from_client = { burst = 2, per_hour = 1 }")
    server.config.write_text(text)

    server.start(THREEPID__SERVER__LISTEN=f"unix:{path}")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url=server.base, timeout=20) as http:
        statuses = []
        for number in range(3):
            body = {"username": f"u{number}", "password": "long enough", "auth": {"type": "m.login.dummy"}}
            statuses.append(http.post(REGISTER, json=body).status_code)
    assert server.stop() == 0
    assert statuses == [200, 200, 429]
