"""F62: the old identity server runs again after an import, or people use the new one: the next run brings only what is new."""

from pathlib import Path

import pytest

from importers.identity_servers import V2, bring, look_up, whose
from sydent_database import BOUND_AT, PEPPER, SydentDatabase
from threepid.storage import associations, invites
from world import World

ALICE, BOB, CAROL = "@alice:hs.example", "@bob:hs.example", "@carol:hs.example"
TOKEN, OLD_TOKEN = "token-of-alice-at-sydent", "older-token-of-alice-at-sydent"


@pytest.fixture
def sydent(tmp_path: Path) -> SydentDatabase:
    made = SydentDatabase(tmp_path / "sydent.db")
    made.account(ALICE, OLD_TOKEN, TOKEN)
    for name in ("stays", "moves", "goes"):
        made.bind(ALICE, f"{name}@example.com")
    return made


def found(world: World) -> dict[str, str]:
    return look_up(world, TOKEN, PEPPER, *(f"{name}@example.com" for name in ("stays", "moves", "goes", "comes")))


def test_F62_what_happened_there_since_the_import(world: World, sydent: SydentDatabase) -> None:
    bring(world, sydent)
    sydent.unbind("goes@example.com", ts=BOUND_AT + 1)
    sydent.bind(BOB, "moves@example.com", ts=BOUND_AT + 2)
    sydent.bind(CAROL, "comes@example.com", ts=BOUND_AT + 3)
    sydent.account(BOB, "token-of-bob-at-sydent")
    again = bring(world, sydent)
    assert (again.result.inserted["associations"], again.result.replaced, again.result.inserted["unbound"]) == (1, 1, 1)
    assert found(world) == {"stays@example.com": ALICE, "moves@example.com": BOB, "comes@example.com": CAROL}
    assert whose(world, "token-of-bob-at-sydent") == BOB
    assert bring(world, sydent).result.inserted == dict.fromkeys(again.result.inserted, 0)


def test_F62_what_happened_here_since_the_import(world: World, sydent: SydentDatabase) -> None:
    sydent.invite("new@example.com", "t" * 64)
    bring(world, sydent)
    world.run(world.database.write(lambda tx: associations.unbind(tx, "email", "goes@example.com", ALICE)))
    assert world.post(f"{V2}/account/logout", token=OLD_TOKEN).status_code == 200
    (invite,) = world.run(world.database.read(lambda tx: invites.after(tx, 0, "", 10)))
    world.run(world.identity.invites.cancel(invite.id))
    own = world.identity_token(world.register())
    sid = world.validated(own, "moves@example.com")
    body = {"sid": sid, "client_secret": "secret", "mxid": "@alice:example.org"}
    assert world.post(f"{V2}/3pid/bind", body, token=own).status_code == 200
    expected = {"stays@example.com": ALICE, "moves@example.com": "@alice:example.org"}
    assert found(world) == expected
    sydent.unbind("moves@example.com", ts=BOUND_AT + 1)
    bring(world, sydent)
    assert found(world) == expected
    assert whose(world, OLD_TOKEN) == "M_UNAUTHORIZED"
    (invite,) = world.run(world.database.read(lambda tx: invites.after(tx, 0, "", 10)))
    assert invite.cancelled_at is not None


def test_F62_the_pepper_was_rotated_since(world: World, sydent: SydentDatabase) -> None:
    """An old pepper does not come back."""
    bring(world, sydent)
    world.run(world.identity.lookup.peppers.begin(lambda _: None))
    while world.run(world.identity.lookup.peppers.work()).name == "SOME":
        pass
    current = world.get(f"{V2}/hash_details", token=TOKEN).json()["lookup_pepper"]
    assert current != PEPPER
    sydent.bind(CAROL, "comes@example.com", ts=BOUND_AT + 3)
    bring(world, sydent)
    assert world.get(f"{V2}/hash_details", token=TOKEN).json()["lookup_pepper"] == current
    assert look_up(world, TOKEN, current, "comes@example.com") == {"comes@example.com": CAROL}
