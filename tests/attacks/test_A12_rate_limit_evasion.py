"""A12: who asks is read from the connection, not from what the asker writes; a network counts as one, over all processes."""

import random
import threading
from collections.abc import Coroutine, Iterator
from ipaddress import IPv6Address, ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest

from threepid import background
from threepid.http.proxies import Proxies
from threepid.storage import limits
from threepid.storage.engine.database import Tx
from threepid.storage.engine.queries import Query
from world import World

HOUR = 3_600_000
REQUESTS = 200
MESSAGES = 10
"""How many messages one caller may cause at once."""
WAYS = [
    "/_matrix/client/v3/register/email/requestToken",
    "/_matrix/client/r0/register/email/requestToken",
    "/_matrix/client/v3/account/3pid/email/requestToken",
    "/_matrix/client/unstable/account/password/email/requestToken",
    "/_matrix/identity/v2/validate/email/requestToken",
    "/_matrix/identity/api/v1/validate/email/requestToken",
]
NAMES = [
    "X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Cluster-Client-IP",
    "X-Originating-IP", "X-Remote-Addr", "Fastly-Client-IP", "X-Forwarded-Host", "Via", "Client-IP", "X-ProxyUser-Ip",
]  # fmt: skip


def lie(chance: random.Random) -> str:
    """Something to say about where one is."""
    address = f"{chance.randrange(1, 224)}.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}"
    return chance.choice(
        [
            address,
            f"for={address}",
            f'for="[2001:db8:{chance.randrange(65_536):x}::1]:4711";proto=https;by=203.0.113.43',
            str(IPv6Address(chance.getrandbits(128))),
            f"{address}, 127.0.0.1, ::1",
            f"{address}:8080",
            "127.0.0.1",
            "localhost",
            "unknown",
            "",
            ",,,,",
            "a" * 1000,
            "\u00e9\u00e9".encode().decode("latin-1"),
            f"{chance.getrandbits(32)}",
            f"0x{chance.getrandbits(32):x}",
            f"::ffff:{address}",
            "fe80::1%eth0",
            "256.256.256.256",
        ]
    )


class Asker:
    """Asks for messages to ever new addresses."""

    def __init__(self, world: World, other: "Asker | None" = None) -> None:
        """Ask `world`; with the account of an `other` who asks another process."""
        self.world = world
        self.identity: str = other.identity if other else world.identity_token(world.register("mallory"), "mallory")
        self.count: int = other.count + 1000 if other else 0

    def ask(self, *headers: tuple[str, str], way: str = WAYS[0]) -> int:
        return self.world.run(self.begin(*headers, way=way)).status_code

    def begin(self, *headers: tuple[str, str], way: str = WAYS[0]) -> Coroutine[Any, Any, httpx.Response]:
        self.count += 1
        body = {"client_secret": f"s{self.count}", "email": f"v{self.count}@example.com", "send_attempt": 1}
        token = [("Authorization", f"Bearer {self.identity}")] if "identity/v2" in way else []
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in (*headers, *token)]
        return self.world.http.post(way, json=body, headers=httpx.Headers(encoded))


def world_behind(proxies: list[str], database_url: str, tmp_path: Path, **changes: Any) -> World:
    v1 = {"validate": True}
    changes = {"limits__all": "on", "server__trusted_proxies": proxies, "identity__v1": v1, **changes}
    return World(database_url, tmp_path, **changes)


@pytest.fixture
def open_world(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A server that strangers reach directly: no proxy is trusted."""
    with world_behind([], database_url, tmp_path) as made:
        yield made


@pytest.fixture
def proxied_world(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A server behind one proxy, which connects from 127.0.0.1."""
    with world_behind(["127.0.0.1"], database_url, tmp_path) as made:
        yield made


def test_headers_of_strangers_say_nothing_about_where_they_are(open_world: World) -> None:
    asker, chance = Asker(open_world), random.Random(12)
    accepted = 0
    for number in range(REQUESTS):
        names = chance.sample(NAMES, chance.randint(1, 6)) + chance.choices(NAMES[:3], k=chance.randint(0, 3))
        status = asker.ask(*((name, lie(chance)) for name in names), way=WAYS[number % len(WAYS)])
        assert status in {200, 429}
        accepted += status == 200
    assert accepted == MESSAGES


def test_behind_a_proxy_what_stands_left_of_the_callers_address_says_nothing(proxied_world: World) -> None:
    asker, chance = Asker(proxied_world), random.Random(13)
    accepted = 0
    for number in range(REQUESTS):
        lies = [lie(chance) for _ in range(chance.randint(0, 5))]
        forged = [("X-Forwarded-For", ", ".join(lies))] if lies else []
        others = [(name, lie(chance)) for name in chance.sample(NAMES[1:], 3)]
        true = ("X-Forwarded-For", "203.0.113.7")  # what the proxy appends, as a header of its own or to the last one
        if forged and number % 2:
            forged, true = [], ("X-Forwarded-For", f"{forged[0][1]}, 203.0.113.7")
        accepted += asker.ask(*forged, *others, true, way=WAYS[number % len(WAYS)]) == 200
    assert accepted == MESSAGES
    assert asker.ask(("X-Forwarded-For", "203.0.113.8")) == 200


def one_network() -> list[str]:
    chance = random.Random(14)
    network = ip_network("2001:db8:1:2::/64")
    return [str(network[chance.getrandbits(64)]) for _ in range(REQUESTS)]


SOURCES = {
    "one IPv6 network of a customer": one_network(),
    "spellings of one IPv6 address": [
        "2001:db8:1:2::1", "2001:DB8:1:2::1", "2001:db8:1:2:0:0:0:1", "2001:0db8:0001:0002:0000:0000:0000:0001",
    ] * 50,
    "IPv4 within IPv6": ["203.0.113.7", "::ffff:203.0.113.7", "::FFFF:203.0.113.7", "::ffff:cb00:7107"] * 50,
}  # fmt: skip


@pytest.mark.parametrize("sources", SOURCES)
def test_one_customer_counts_once(proxied_world: World, sources: str) -> None:
    asker = Asker(proxied_world)
    accepted = sum(asker.ask(("X-Forwarded-For", source)) == 200 for source in SOURCES[sources])
    assert accepted == MESSAGES
    assert asker.ask(("X-Forwarded-For", "2001:db8:1:3::1")) == 200


def test_each_limit_of_a_caller_is_as_hard_to_evade(open_world: World) -> None:
    chance = random.Random(15)

    def sent(path: str, body: dict[str, Any]) -> int:
        encoded = [(name.encode(), lie(chance).encode("latin-1")) for name in chance.sample(NAMES, 4)]
        return open_world.run(open_world.http.post(path, json=body, headers=httpx.Headers(encoded))).status_code

    registered = [
        sent(
            f"/_matrix/client/{('v3', 'r0', 'unstable')[number % 3]}/register",
            {"username": f"u{number}", "password": "long enough", "auth": {"type": "m.login.dummy"}},
        )
        for number in range(15)
    ]
    assert registered == [200] * 10 + [429] * 5
    guessed = [
        sent(
            f"/_matrix/client/{('v3', 'r0', 'unstable')[number % 3]}/login",
            {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": f"nobody{number}"},
                "password": "wrong",
            },
        )
        for number in range(35)
    ]
    assert guessed == [403] * 30 + [429] * 5


def test_processes_share_what_is_left_to_the_last_one(proxied_world: World) -> None:
    accepted: list[int] = []

    def ask_at_once(asker: Asker) -> None:
        source = ("X-Forwarded-For", "203.0.113.7")
        work = [lambda way=way: asker.begin(source, way=way) for way in WAYS * 5]
        accepted.extend(answer.status_code == 200 for answer in asker.world.together(*work))

    with proxied_world.again() as other:
        first = Asker(proxied_world)
        askers = [first, Asker(other, first)]
        threads = [threading.Thread(target=ask_at_once, args=(asker,)) for asker in askers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(accepted) == 2 * 5 * len(WAYS)
        assert sum(accepted) == MESSAGES
        proxied_world.clock.advance(HOUR // 20)
        assert [asker.ask(("X-Forwarded-For", "203.0.113.7")) for asker in askers] == [200, 429]


def resident() -> int:
    """The bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_callers_without_end_take_no_memory_and_are_forgotten(open_world: World, engine: str) -> None:
    """Nothing about a caller stays in the process, and what is written down is a keyed hash until it is whole again."""
    count = 100_000 if engine == "sqlite" else 10_000
    database, vault = open_world.server.context.database, open_world.server.context.vault
    now = open_world.clock.now()

    def take(first: int) -> Any:
        def step(tx: Tx) -> None:
            for number in range(first, first + 1000):
                key = vault.hash_limit_key(f"message from {IPv6Address(number << 64)}")
                assert limits.take(tx, [limits.Wanted(key, HOUR, 3)], now=now) is None

        return database.write(step)

    open_world.run(take(0))
    before = resident()
    for first in range(1000, count, 1000):
        open_world.run(take(first))
    proxies = Proxies((ip_network("127.0.0.0/8"),))
    for number in range(count):
        proxies.client(str(IPv6Address(number << 64)), None)
        proxies.client("127.0.0.1", str(IPv6Address(number << 64)))
    assert resident() - before < 20_000_000

    rows = Query("test.rows", statement := "SELECT COUNT(*) FROM limits", statement)
    plain = "SELECT COUNT(*) FROM limits WHERE length(key) <> 64 OR key LIKE '%:%'"
    clear = Query("test.clear", plain, plain.replace("%", "%%"))
    assert open_world.run(database.read(lambda tx: tx.value(rows))) == count
    assert open_world.run(database.read(lambda tx: tx.value(clear))) == 0
    open_world.clock.advance(HOUR)
    assert open_world.run(background.run_once(open_world.server.context)) >= count
    assert open_world.run(database.read(lambda tx: tx.value(rows))) == 0
