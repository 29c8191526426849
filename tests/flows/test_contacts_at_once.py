"""Many requests for contacts in the same moment: one owner of an address, no contact too many, none of an account that is over."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from threepid.storage import threepids
from world import World

ADD = "/_matrix/client/v3/account/3pid"
ALICE = "@alice:example.org"
OFF: dict[str, Any] = {"limits__all": "off"}


def proven(world: World, token: str, address: str, secret: str = "secret") -> str:
    """A validated session of our identity server, in which nothing else is proven."""
    world.clock.advance(1)
    username = str(world.get("/_matrix/client/v3/account/whoami", token=token).json()["user_id"])[1:].partition(":")[0]
    return world.validated(world.identity_token(token, username), address, secret=secret)


def adding(world: World, token: str, sid: str) -> Callable[[], Awaitable[httpx.Response]]:
    body = {"three_pid_creds": {"sid": sid, "client_secret": "secret", "id_server": "matrix.example.org"}}
    return lambda: world.acall("POST", ADD, body, token=token)


def owned(world: World, user_id: str = ALICE) -> list[str]:
    return [one.canonical for one in world.run(world.database.read(lambda tx: threepids.of_user(tx, user_id)))]


def test_an_address_that_two_accounts_add_has_one_owner(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, **OFF) as world:
        tokens = [world.register(name) for name in ("alice", "bob")]
        for turn in range(8):
            address = f"shared{turn}@example.com"
            sids = [proven(world, token, address) for token in tokens]
            # Twice each: a client that lost the response repeats its request.
            asked = [adding(world, *one) for one in zip(tokens, sids, strict=True)] * 2
            answers = world.together(*asked[turn % 2 :], *asked[: turn % 2])
            taken = sorted(answer.status_code for answer in answers)
            assert taken == [200, 200, 400, 400], [answer.json() for answer in answers]
            assert (address in world.contacts(tokens[0])) != (address in world.contacts(tokens[1]))


@pytest.mark.parametrize("most", [1, 3])
def test_no_contact_too_many(database_url: str, tmp_path: Path, most: int) -> None:
    with World(database_url, tmp_path, policy__contacts_per_account=most, **OFF) as world:
        token = world.register()
        sids = [proven(world, token, f"a{number}@example.com") for number in range(6)]
        answers = world.together(*(adding(world, token, sid) for sid in sids))
        assert sorted(answer.status_code for answer in answers) == [200] * most + [403] * (6 - most)
        assert len(world.contacts(token)) == most
        # A contact of the account is proven again, although there is no room for another one.
        kept = world.contacts(token)[0]
        again = proven(world, token, kept, secret="again")
        assert world.add(token, again, secret="again").status_code == 200
        assert len(world.contacts(token)) == most


@pytest.mark.parametrize("turn", range(4))
def test_an_account_that_is_closed_meanwhile_keeps_no_contact(database_url: str, tmp_path: Path, turn: int) -> None:
    with World(database_url, tmp_path, **OFF) as world:
        token = world.register()
        sids = [proven(world, token, f"a{number}@example.com") for number in range(4)]
        asked: list[Callable[[], Awaitable[object]]] = [adding(world, token, sid) for sid in sids]
        asked.insert(turn, lambda: world.homeserver.closing.close_by_operator(ALICE, erase=False))
        world.together(*asked)
        assert owned(world) == []


@pytest.mark.parametrize("turn", range(4))
def test_an_account_that_is_locked_meanwhile_gets_no_contact_afterwards(
    database_url: str, tmp_path: Path, turn: int
) -> None:
    with World(database_url, tmp_path, **OFF) as world:
        token = world.register()
        sids = [proven(world, token, f"a{number}@example.com") for number in range(4)]
        asked: list[Callable[[], Awaitable[object]]] = [adding(world, token, sid) for sid in sids]
        at_the_lock: list[str] = []

        async def lock() -> None:
            await world.homeserver.administration.lock(ALICE)
            found = await world.database.read(lambda tx: threepids.of_user(tx, ALICE))
            at_the_lock.extend(one.canonical for one in found)

        asked.insert(turn, lock)
        world.together(*asked)
        assert sorted(owned(world)) == sorted(at_the_lock)
