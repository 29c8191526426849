"""A64: whoever has a whole IPv6 network is not thousands of callers, and nobody holds the server's budgets empty.

Customers get networks of 64, 56 or 48 bits: four and sixteen times of one of 64 bits is what the wider ones may do, and a tenth
of what all have together. Who has a token, and networks that an account has used, share nothing with strangers around them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from threepid.clock import DAY, HOUR
from threepid.domain import limits
from threepid.domain.addresses import parse_address
from threepid.domain.guesses import Guess
from threepid.domain.networks import networks_of
from threepid.spec.errors import LimitExceeded
from threepid.storage.engine.database import Tx
from world import PASSWORD, World

C: Final = "/_matrix/client/v3"
REGISTER: Final = f"{C}/register/email/requestToken"
HOME: Final = "2001:db8:7:1::1"
PLENTY: Final = {"burst": 1_000_000, "per_hour": 1_000_000}
TWO: Final = {"burst": 2, "per_hour": 2}


def around(number: int) -> str:
    """Addresses of ever other networks of 56 bits, all of one of 48 bits."""
    return f"2001:db8:7:{number % 250 * 256 + number // 250:x}::1"


def beside(number: int) -> str:
    """Addresses of ever other networks of 64 bits, all of one of 56 bits."""
    return f"2001:db8:8:{number:x}::1"


@pytest.fixture
def world(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    narrow: dict[str, Any] = getattr(request, "param", {})
    proxies: dict[str, Any] = {"server__trusted_proxies": ["127.0.0.1"]}
    with World(database_url, tmp_path, limits={"all": "on", **narrow}, **proxies) as made:
        yield made


def send(world: World, path: str, body: Any, source: str, **more: Any) -> httpx.Response:
    return world.post(path, body, headers={"X-Forwarded-For": source}, **more)


def count(world: World, take: Callable[[Tx], object]) -> bool:
    try:
        world.run(world.server.context.database.write(take))
    except LimitExceeded:
        return False
    return True


def test_networks_are_those_of_an_ipv6_address_only() -> None:
    assert networks_of("2001:db8:1:2fff::1") == (
        ("2001:db8:1:2fff::/64", 1),
        ("2001:db8:1:2f00::/56", 4),
        ("2001:db8:1::/48", 16),
    )
    assert networks_of("::1") == (("::/64", 1), ("::/56", 4), ("::/48", 16))
    assert networks_of("192.0.2.1") == networks_of("::ffff:192.0.2.1") == (("192.0.2.1", 1),)
    assert networks_of("fe80::1%eth0")[0] == ("fe80::/64", 1)
    for unreadable in ("", "unix", "2001:db8::x"):
        assert networks_of(unreadable) == ((unreadable, 1),)


@pytest.mark.parametrize(("source", "times"), [(beside, 4), (around, 16)])
def test_guesses_of_a_whole_network_are_four_and_sixteen_times_those_of_a_small_one(
    world: World, source: Callable[[int], str], times: int
) -> None:
    """With the settings as they are: thirty, a hundred and twenty, four hundred and eighty."""
    allowed = 0
    for number in range(30 * times + 20):
        guess = Guess(world.server.context, client=source(number % 250), account=f"@u{number}:example.org")
        allowed += count(world, guess.take)
    assert allowed == 30 * times
    guess = Guess(world.server.context, client="2001:db8:9::1")
    assert count(world, guess.take)


def test_messages_of_a_whole_network_are_a_tenth_of_the_servers(world: World) -> None:
    """Sixteen times ten would be more."""
    context = world.server.context

    def ask(number: int, client: str, **more: Any) -> bool:
        address = parse_address("email", f"v{number}@example.com")
        return count(world, lambda tx: limits.take_message(tx, context, address, client=client, **more))

    assert sum(ask(number, around(number)) for number in range(130)) == 100
    assert sum(ask(1000 + number, beside(number)) for number in range(50)) == 40
    # What comes back is a tenth of what comes back for all.
    world.clock.advance(HOUR // 50)
    assert sum(ask(2000 + number, around(number)) for number in range(30)) == 10
    # Users of ours have another tenth, and no more than that together.
    token = {"user_id": "@alice:example.org"}
    assert sum(ask(3000 + number, around(number), **token) for number in range(110)) == 100
    # Identity tokens of other homeservers are anybody's.
    assert not ask(4000, around(200), user_id="@mallory:elsewhere.example")


@pytest.mark.parametrize(
    "world", [{"message_from_client": PLENTY, "message_total": {"burst": 50, "per_hour": 10}}], indirect=True
)
def test_an_ipv4_address_has_a_tenth_too(world: World) -> None:
    statuses = [
        send(
            world, REGISTER, {"client_secret": "s", "email": f"v{n}@example.com", "send_attempt": 1}, "192.0.2.1"
        ).status_code
        for n in range(8)
    ]
    assert statuses == [200] * 5 + [429] * 3


@pytest.mark.parametrize("world", [{"registration_from_client": TWO, "guesses_from_client": TWO}], indirect=True)
def test_every_way_counts_the_networks_around_a_caller(world: World) -> None:
    """Accounts, logins by a token, registration tokens: what a /64 may do twice, a /56 does eight times."""

    def register(number: int) -> int:
        body = {"username": f"u{number}", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        return send(world, f"{C}/register", body, beside(number)).status_code

    def guess(number: int) -> int:
        return send(world, f"{C}/login", {"type": "m.login.token", "token": "x"}, beside(number)).status_code

    assert [register(number) for number in range(10)] == [200] * 8 + [429] * 2
    assert [guess(number) for number in range(10)] == [403] * 8 + [429] * 2


@pytest.mark.parametrize("world", [{"authentication_from_client": TWO}], indirect=True)
def test_strangers_around_hold_up_no_token(world: World) -> None:
    body = {"username": "alice", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    alice = send(world, f"{C}/register", body, HOME).json()
    token = alice["access_token"]
    begun = [send(world, f"{C}/register", {}, around(number)).status_code for number in range(40)]
    assert begun == [401] * 32 + [429] * 8
    assert send(world, f"{C}/delete_devices", {"devices": ["X"]}, around(100), token=token).status_code == 401
    assert send(world, f"{C}/register", {}, around(101)).status_code == 429


@pytest.mark.parametrize(
    "world",
    [{"guesses_from_client": TWO, "guesses_at_account_from_client": TWO, "message_from_client": TWO}],
    indirect=True,
)
def test_strangers_around_hold_up_no_network_that_the_account_has_used(world: World) -> None:
    """A login, and a reset by mail."""
    body = {"username": "alice", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    token = send(world, f"{C}/register", body, HOME).json()["access_token"]
    identity = world.identity_token(token)
    assert world.add(token, world.validated(identity)).status_code == 200
    world.clock.advance(DAY)

    def log_in(source: str, password: str = PASSWORD, user: str = "alice") -> int:
        who = {"identifier": {"type": "m.id.user", "user": user}, "password": password}
        return send(world, f"{C}/login", {"type": "m.login.password", **who}, source).status_code

    wrong = [log_in(around(number), "wrong password", f"u{number}") for number in range(10, 46)]
    assert wrong == [403] * 32 + [429] * 4
    assert log_in(around(100)) == 429
    assert log_in(HOME) == 200

    def reset(source: str, address: str, secret: str) -> int:
        body = {"client_secret": secret, "email": address, "send_attempt": 1}
        return send(world, f"{C}/account/password/email/requestToken", body, source).status_code

    asked = [reset(around(number), f"v{number}@example.com", "s") for number in range(10, 46)]
    assert asked == [200] * 32 + [429] * 4
    assert reset(around(101), "alice@example.com", "theirs") == 429
    assert reset(HOME, "alice@example.com", "mine") == 200


def test_a_listed_homeserver_is_not_counted_at_all(database_url: str, tmp_path: Path) -> None:
    v1 = {"validate": True, "validate_from": ["2001:db8:7::/48"]}
    narrow = {"all": "on", "message_from_client": TWO, "message_total": {"burst": 100, "per_hour": 1}}
    with World(database_url, tmp_path, limits=narrow, identity__v1=v1, server__trusted_proxies=["127.0.0.1"]) as world:
        path = "/_matrix/identity/api/v1/validate/email/requestToken"
        statuses = [
            send(world, path, {"client_secret": "s", "email": f"v{n}@example.com", "send_attempt": 1}, HOME).status_code
            for n in range(60)
        ]
        assert statuses == [200] * 60


def test_one_network_does_not_have_a_homeserver_asked_for_all(world: World) -> None:
    """Or nobody of that homeserver could get a token of the identity server meanwhile."""
    context = world.server.context

    def ask(client: str) -> bool:
        return count(world, lambda tx: limits.take_question(tx, context, client=client, server_name="matrix.example"))

    assert sum(ask(around(number)) for number in range(60)) == 50
    assert ask("2001:db8:9::1")


def test_a_whole_network_takes_no_more_of_an_accounts_guesses_than_one_caller(world: World) -> None:
    login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": "wrong"}
    home = {"X-Forwarded-For": "203.0.113.10"}
    registration = {"username": "alice", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    assert world.post(f"{C}/register", registration, headers=home).status_code == 200
    for number in range(110):
        answer = world.post(f"{C}/login", login, headers={"X-Forwarded-For": f"2001:db8:7:{number * 256:x}::1"})
        assert answer.status_code == 403
    hotel = {"X-Forwarded-For": "198.51.100.77"}
    assert world.post(f"{C}/login", {**login, "password": PASSWORD}, headers=hotel).status_code == 200
    # In that network the right one is answered like a wrong one.
    there = {"X-Forwarded-For": "2001:db8:7:ffff::1"}
    assert world.post(f"{C}/login", {**login, "password": PASSWORD}, headers=there).status_code == 403
