"""A137: an account has so many bound addresses, whichever request binds them, and whatever a hostile server answers."""

import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from fake_identity_server import V2, Asked, FakeIdentityServer, identity_server
from threepid.clock import MINUTE
from threepid.storage import threepids
from world import World

ALICE = "@alice:example.org"
BIND = "/_matrix/client/v3/account/3pid/bind"
MOST = 5
"""Maximum number of bound addresses of an account that may have one contact."""


def answering_new_addresses(other: FakeIdentityServer) -> None:
    """Let the server answer each bind with an address that was never bound before."""
    number = 0

    def bind(asked: Asked) -> tuple[int, object]:
        nonlocal number
        number += 1
        return 200, {
            "medium": "email",
            "address": f"a{number}@example.com",
            "mxid": asked.body["mxid"],
            "not_before": 0,
            "not_after": 4_000_000_000_000,
            "ts": 0,
            "signatures": {},
        }

    other.replies[f"{V2}/3pid/bind"] = bind


def test_adding_a_contact_again_and_again_binds_no_more_than_an_account_may(database_url: str, tmp_path: Path) -> None:
    with (
        identity_server() as other,
        World(database_url, tmp_path, **other.settings, policy__contacts_per_account=1) as home,
    ):
        answering_new_addresses(other)
        token = home.register()
        sid = home.validated(home.identity_token(token))
        creds = {"sid": sid, "client_secret": "secret", "id_server": other.name, "id_access_token": "token"}
        for _ in range(2 * MOST):
            body = {"three_pid_creds": creds, "bind": True}
            assert home.post("/_matrix/client/v3/account/3pid", body, token=token).json() == {}
        found = home.run(home.database.read(lambda tx: threepids.bindings_of_user(tx, ALICE)))
        assert len(found) == len(other.asked) == MOST
        assert home.contacts(token) == ["alice@example.com"]


class Hostile(NamedTuple):
    """A homeserver with one account, and the identity server that it asks."""

    home: World
    other: FakeIdentityServer
    token: str

    def bind(self) -> Coroutine[Any, Any, httpx.Response]:
        creds = {"id_server": self.other.name, "sid": "1", "client_secret": "secret", "id_access_token": "token"}
        return self.home.acall("POST", BIND, creds, token=self.token)

    def bound(self) -> list[threepids.Binding]:
        return self.home.run(self.home.database.read(lambda tx: threepids.bindings_of_user(tx, ALICE)))

    def addresses_to_unbind(self) -> set[str]:
        """The addresses that the server is asked to unbind when the outbox is due."""
        self.other.unbinds()
        self.home.clock.advance(MINUTE)
        self.home.run(self.home.server.worker.run_once())
        return {
            asked.body["threepid"]["address"] for asked in self.other.asked if asked.uri.startswith(f"{V2}/3pid/unbind")
        }


@pytest.fixture
def hostile(database_url: str, tmp_path: Path) -> Iterator[Hostile]:
    with (
        identity_server() as other,
        World(database_url, tmp_path, **other.settings, policy__contacts_per_account=1) as home,
    ):
        answering_new_addresses(other)
        yield Hostile(home, other, home.register())


def waiting_for(other: FakeIdentityServer, requests: int) -> None:
    """Let the server answer no bind before it has got so many."""
    answer, all_there = other.replies[f"{V2}/3pid/bind"], threading.Barrier(requests)
    assert callable(answer)

    def bind(asked: Asked) -> Any:
        all_there.wait(60)
        return answer(asked)

    other.replies[f"{V2}/3pid/bind"] = bind


@pytest.mark.parametrize("requests", [2, 4])
def test_binds_at_once_bind_no_more_than_an_account_may(hostile: Hostile, requests: int) -> None:
    for _ in range(MOST - 1):
        assert hostile.home.run(hostile.bind()).status_code == 200
    waiting_for(hostile.other, requests)
    answers = hostile.home.together(*[hostile.bind] * requests)
    assert sorted(answer.status_code for answer in answers) == [200] + [403] * (requests - 1)
    bound = {each.canonical for each in hostile.bound()}
    assert len(bound) == MOST
    given = {f"a{number}@example.com" for number in range(1, MOST + requests)}
    assert hostile.addresses_to_unbind() == given - bound


def test_an_address_that_is_bound_already_is_bound_again_by_two_at_once(hostile: Hostile) -> None:
    for _ in range(MOST - 1):
        assert hostile.home.run(hostile.bind()).status_code == 200
    hostile.other.binds("email", "same@example.com")
    waiting_for(hostile.other, 2)
    answers = hostile.home.together(hostile.bind, hostile.bind)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(hostile.bound()) == MOST
    assert hostile.addresses_to_unbind() == set()


def test_a_contact_that_is_added_is_bound_here_only_if_there_is_room(hostile: Hostile) -> None:
    home = hostile.home
    for _ in range(MOST):
        assert home.run(hostile.bind()).status_code == 200
    sid = home.validated(home.identity_token(hostile.token))
    assert home.add(hostile.token, sid, bind=True).json() == {}
    assert home.contacts(hostile.token) == ["alice@example.com"]
    assert len(hostile.bound()) == MOST
    assert home.look_up(home.identity_token(hostile.token), "alice@example.com") is None
