"""Names are asked of DNS in bounded time, and nothing hangs with a server that hangs."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dns_server import HANG, SERVFAIL, DnsServer, dns_server
from threepid.remote.names import Names, Service, UnknownName

HOSTS = """
# address  names
127.0.0.1  localhost
192.0.2.10 here.example Here-Too.example  # a comment
2001:db8::10 here.example
nonsense   nowhere.example
192.0.2.11
"""


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with dns_server() as made:
        yield made


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text(HOSTS)
    return path


def addresses(server: DnsServer, host: str, hosts: Path = Path("/nowhere"), seconds: float = 10.0) -> list[str]:
    return asyncio.run(Names([server.address], hosts=hosts, seconds=seconds).addresses(host))


def services(server: DnsServer, name: str) -> list[Service]:
    return asyncio.run(Names([server.address], seconds=5.0).services(name))


def test_both_kinds_of_addresses_are_found_once_each(server: DnsServer) -> None:
    server.zone = {"a.example A": ["192.0.2.1", "192.0.2.2"], "a.example AAAA": ["2001:db8::1"]}
    assert sorted(addresses(server, "A.example.")) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    assert sorted(server.asked) == ["a.example A", "a.example AAAA"]


def test_aliases_are_followed(server: DnsServer) -> None:
    server.zone = {"a.example A": ["CNAME b.example.", "CNAME c.example.", "192.0.2.1"]}
    assert addresses(server, "a.example") == ["192.0.2.1"]


@pytest.mark.parametrize("broken", [HANG, SERVFAIL])
@pytest.mark.parametrize(("kind", "other", "address"), [("A", "AAAA", "2001:db8::1"), ("AAAA", "A", "192.0.2.1")])
def test_one_kind_of_address_is_enough(server: DnsServer, kind: str, other: str, address: str, broken: str) -> None:
    server.zone = {f"a.example {kind}": broken, f"a.example {other}": [address]}
    assert addresses(server, "a.example", seconds=1.5 if broken == HANG else 10.0) == [address]


@pytest.mark.parametrize(
    "zone",
    [
        {},
        {"a.example TXT": ["hello"]},
        {"a.example A": ["CNAME b.example."]},
        {"a.example A": SERVFAIL, "a.example AAAA": SERVFAIL},
        {"a.example A": [f"192.0.2.{number}" for number in range(100)]},
    ],
    ids=["no name", "no address", "an alias of nothing", "a failure", "a hundred addresses"],
)
def test_a_name_without_addresses_is_unknown(server: DnsServer, zone: dict[str, list[str]]) -> None:
    server.zone = {**zone}
    with pytest.raises(UnknownName):
        addresses(server, "a.example", seconds=0.5)


@pytest.mark.parametrize("name", ["a..example", "a" * 64 + ".example", "x." * 130, ""])
def test_what_cannot_be_a_name_is_unknown(server: DnsServer, name: str) -> None:
    with pytest.raises(UnknownName):
        addresses(server, name)


def test_a_hundred_questions_to_a_server_that_hangs_end_together_and_take_no_threads(server: DnsServer) -> None:
    server.fault = HANG
    names = Names([server.address], seconds=5.0)

    async def run() -> None:
        asked = [asyncio.create_task(names.addresses(f"a{number}.example")) for number in range(100)]
        while len(set(server.asked)) < 200:
            assert not any(task.done() for task in asked)
            await asyncio.sleep(0.01)
        assert not any(task.done() for task in asked)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio")]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(one) for one in found} == {UnknownName}

    asyncio.run(run())


def test_nobody_listening_means_an_unknown_name() -> None:
    with pytest.raises(UnknownName):
        asyncio.run(Names(["127.0.0.1:9"], seconds=0.5, hosts=Path("/nowhere")).addresses("a.example"))


def test_the_hosts_file_comes_first_and_is_read_again_when_it_changes(server: DnsServer, hosts: Path) -> None:
    names = Names([server.address], hosts=hosts)

    def ask(host: str) -> list[str]:
        return asyncio.run(names.addresses(host))

    assert ask("HERE.example.") == ["192.0.2.10", "2001:db8::10"]
    assert ask("here-too.example") == ["192.0.2.10"]
    hosts.write_text("192.0.2.99 here.example\n")
    assert ask("here.example") == ["192.0.2.99"]
    assert server.asked == []
    with pytest.raises(UnknownName):
        ask("nowhere.example")


def test_localhost_is_never_asked_of_anybody(server: DnsServer) -> None:
    server.zone = {"localhost A": ["192.0.2.1"], "a.localhost A": ["192.0.2.1"]}
    for name in ("localhost", "LOCALHOST.", "a.localhost"):
        assert addresses(server, name) == ["127.0.0.1", "::1"]
    assert server.asked == []


def test_services_are_read_as_they_are(server: DnsServer) -> None:
    server.zone = {
        "_matrix-fed._tcp.a.example SRV": ["10 5 443 One.example.", "20 0 0 two.example."],
        "_matrix._tcp.a.example SRV": ["0 0 1 ."],
    }
    assert sorted(services(server, "_matrix-fed._tcp.a.example"), key=lambda one: one.priority) == [
        Service(10, 5, "One.example", 443),
        Service(20, 0, "two.example", 0),
    ]
    assert services(server, "_matrix._tcp.a.example") == [Service(0, 0, "", 1)]
    assert services(server, "_matrix._tcp.b.example") == []


def test_that_nobody_says_is_not_that_there_is_none(server: DnsServer) -> None:
    server.fault = SERVFAIL
    with pytest.raises(UnknownName):
        services(server, "_matrix._tcp.a.example")
