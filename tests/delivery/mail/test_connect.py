"""Connections to relays: which addresses a relay without encryption may have."""

import asyncio
import socket
from typing import Any

import pytest

from mail_relay import Relay
from threepid.delivery.errors import RelayDown
from threepid.delivery.mail.connect import connect


class Resolving(asyncio.SelectorEventLoop):
    """An event loop with a DNS of its own, which notes where connections go."""

    def __init__(self, *addresses: str, port: int = 1) -> None:
        super().__init__()
        self.addresses = addresses
        self.port = port
        self.reached: list[str] = []

    async def getaddrinfo(self, host: Any, port: Any, **_how: Any) -> Any:
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in self.addresses
        ]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        self.reached.append(address[0])
        if address[0].endswith(".1"):
            raise ConnectionRefusedError


def reach(loop: Resolving, *, encrypted: bool) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(connect("relay.internal", 25, encrypted=encrypted)).close()


@pytest.mark.parametrize(
    "addresses",
    [
        ("8.8.8.8",),
        ("10.0.0.2", "8.8.8.8"),
        ("169.254.1.2",),
        ("100.64.0.2",),
        ("172.32.0.2",),
        ("2001:4860:4860::8888",),
        ("fe80::2%1",),
        ("::ffff:8.8.8.8",),
    ],
    ids=str,
)
def test_a_name_with_an_address_outside_private_networks_gets_nothing_in_the_clear(addresses: tuple[str, ...]) -> None:
    loop = Resolving(*addresses)
    with pytest.raises(RelayDown, match="has a public address: no mail goes there unencrypted"):
        reach(loop, encrypted=False)
    assert loop.reached == []


@pytest.mark.parametrize(
    "address", ["10.0.0.2", "172.16.0.2", "172.31.255.2", "192.168.7.2", "fd00::2", "127.0.0.2", "::ffff:10.0.0.2"]
)
def test_a_private_address_is_reached_in_the_clear(address: str) -> None:
    loop = Resolving(address)
    reach(loop, encrypted=False)
    assert loop.reached == [address]


def test_encryption_may_go_anywhere_and_the_next_address_is_tried() -> None:
    loop = Resolving("192.0.2.1", "192.0.2.2", "192.0.2.3")
    reach(loop, encrypted=True)
    assert loop.reached == ["192.0.2.1", "192.0.2.2"]


def test_no_address_that_answers_is_the_last_error() -> None:
    with pytest.raises(ConnectionRefusedError):
        reach(Resolving("192.0.2.1"), encrypted=True)
    with pytest.raises(OSError, match="no address"):
        reach(Resolving(), encrypted=True)


def test_a_relay_on_this_machine_is_reached() -> None:
    async def run() -> None:
        async with Relay() as relay:
            (await connect("localhost", relay.port, encrypted=False)).close()

    asyncio.run(run())
