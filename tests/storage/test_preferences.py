"""The choices of accounts."""

from databases import Around
from threepid.storage import preferences
from threepid.storage.preferences import Preferences
from world import World


def test_each_choice_leaves_the_other_as_it_is(world: World) -> None:
    world.register()
    database: Around = world.database
    user = "@alice:example.org"
    assert world.run(database.read(lambda tx: preferences.get(tx, user))) == Preferences()
    world.run(database.write(lambda tx: preferences.set_language(tx, user, "de")))
    world.run(database.write(lambda tx: preferences.set_muted(tx, user, {"new_sign_in", "bound"})))
    world.run(database.write(lambda tx: preferences.set_language(tx, user, "")))
    assert world.run(database.read(lambda tx: preferences.get(tx, user))) == Preferences(
        "", frozenset({"bound", "new_sign_in"})
    )
