"""Homeservers are called at the places that were found, under the name that was asked for."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from dns_server import DnsServer, dns_server
from rig import free_port
from threepid.clock import Clock, Entropy
from threepid.config import Outbound
from threepid.remote.discovery import Discovery
from threepid.remote.federation import Federation
from threepid.remote.guard import Guard, RemoteError
from threepid.remote.names import Names
from tls_peer import Peer, json

NAME = "peer.example"
LOOPBACK = ("127.0.0.0/8",)


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with dns_server() as made:
        made.zone = {
            f"{NAME} A": ["127.0.0.9"],  # nobody listens
            "one.example A": ["127.0.0.1"],
            "inside.example A": ["10.0.0.1"],
            "gone.example A": ["127.0.0.9"],
        }
        yield made


def ask(peer: Peer, dns: DnsServer, server_name: str, records: list[str], answer: bytes = json(b'{"a": 1}')) -> object:
    """The answer of a homeserver whose services are `records`, in which PORT is the peer's."""

    async def run() -> object:
        names = Names([dns.address])
        guard = Guard(Outbound(allow=LOOPBACK, ca_file=peer.ca_file), names)
        federation = Federation(guard, Discovery(guard, names, Clock(), Entropy()))
        async with peer.answering(answer) as port:
            dns.zone[f"_matrix-fed._tcp.{server_name} SRV"] = [record.replace("PORT", str(port)) for record in records]
            return (await federation.request(server_name, "/x?y")).json()

    return asyncio.run(run())


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    return Peer(tmp_path)


def test_a_service_is_called_under_the_name_that_was_asked_for(peer: Peer, dns: DnsServer) -> None:
    assert ask(peer, dns, NAME, ["0 0 PORT one.example."]) == {"a": 1}
    (request,) = peer.requests
    assert request.startswith(b"GET /x?y HTTP/1.1\r\n")
    assert b"host: peer.example\r\n" in request.lower()


def test_a_service_without_a_certificate_for_that_name_is_not_told_anything(peer: Peer, dns: DnsServer) -> None:
    with pytest.raises(RemoteError):
        ask(peer, dns, "other.example", ["0 0 PORT one.example."])
    assert peer.requests == []


def test_places_that_cannot_be_reached_or_may_not_are_passed_over(peer: Peer, dns: DnsServer) -> None:
    records = [
        "1 0 PORT inside.example.",
        f"2 0 {free_port()} gone.example.",
        "3 0 22 one.example.",
        "4 0 PORT one.example.",
    ]
    assert ask(peer, dns, NAME, records) == {"a": 1}
    assert peer.connections == 1


def test_a_place_that_answered_was_the_one(peer: Peer, dns: DnsServer) -> None:
    with pytest.raises(RemoteError):
        ask(peer, dns, NAME, ["1 0 PORT one.example.", "2 0 PORT one.example."], b"nonsense\r\n\r\n")
    assert len(peer.requests) == 1


def test_no_place_is_an_error(peer: Peer, dns: DnsServer) -> None:
    with pytest.raises(RemoteError):
        ask(peer, dns, NAME, ["1 0 PORT inside.example.", "2 0 PORT unknown.example."])
    assert peer.connections == 0
