"""Profiles belong to active accounts."""

import pytest

from threepid.spec.errors import Forbidden, NotFound
from threepid.storage import accounts
from threepid.storage.profiles import Profile
from world import World

ALICE = "@alice:example.org"


def end(world: World) -> None:
    now = world.clock.now()
    assert world.run(world.server.context.database.write(lambda tx: accounts.deactivate(tx, ALICE, now)))


def test_the_profile_of_an_ended_account_is_gone_from_sight_and_cannot_be_set(world: World) -> None:
    profiles = world.homeserver.profiles
    world.register()
    world.run(profiles.set(ALICE, "displayname", "Alice"))
    end(world)
    with pytest.raises(NotFound):
        world.run(profiles.get(ALICE))
    with pytest.raises(Forbidden):
        world.run(profiles.set(ALICE, "displayname", "Ghost"))
    with pytest.raises(Forbidden):
        world.run(profiles.set(ALICE, "avatar_url", None))


def test_an_erased_profile_is_nowhere(world: World) -> None:
    profiles = world.homeserver.profiles
    database = world.server.context.database
    world.register()
    world.run(profiles.set(ALICE, "displayname", "Alice"))
    world.run(profiles.set(ALICE, "avatar_url", "mxc://example.org/x"))
    assert world.run(profiles.get(ALICE)) == Profile("Alice", "mxc://example.org/x")
    world.run(database.write(lambda tx: profiles.erase(tx, ALICE)))
    world.run(database.write(lambda tx: profiles.erase(tx, ALICE)))
    assert world.run(profiles.get(ALICE)) == Profile(None, None)


def test_both_members_set_at_once_are_both_kept(world: World) -> None:
    profiles = world.homeserver.profiles
    world.register()
    for number in range(10):
        world.run(world.server.context.database.write(lambda tx: profiles.erase(tx, ALICE)))
        name, picture = f"Alice {number}", f"mxc://example.org/{number}"
        world.together(
            lambda: profiles.set(ALICE, "displayname", name), lambda: profiles.set(ALICE, "avatar_url", picture)
        )
        assert world.run(profiles.get(ALICE)) == Profile(name, picture)
