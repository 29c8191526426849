"""Accepted terms, on each engine."""

from threepid.storage import terms
from threepid.storage.terms import Acceptance
from world import World


def test_the_first_acceptance_of_each_version_is_kept(world: World) -> None:
    database = world.server.context.database

    def accept(user_id: str, document: str, version: str, now: int) -> None:
        world.run(database.write(lambda tx: terms.accept(tx, user_id, document=document, version=version, now=now)))

    accept("@alice:example.org", "privacy", "1.0", 100)
    accept("@alice:example.org", "privacy", "1.0", 200)
    accept("@alice:example.org", "privacy", "2.0", 300)
    accept("@alice:example.org", "terms", "1.0", 100)
    accept("@bob:elsewhere.example", "privacy", "2.0", 400)
    assert world.run(database.read(lambda tx: terms.accepted(tx, "@alice:example.org"))) == [
        Acceptance("privacy", "1.0", 100),
        Acceptance("terms", "1.0", 100),
        Acceptance("privacy", "2.0", 300),
    ]
    assert world.run(database.read(lambda tx: terms.accepted(tx, "@nobody:example.org"))) == []


def test_accepting_at_the_same_time_is_accepting_once(world: World) -> None:
    database = world.server.context.database
    world.together(
        *(
            lambda now=now: database.write(
                lambda tx: terms.accept(tx, "@alice:example.org", document="privacy", version="1.0", now=now)
            )
            for now in range(20)
        )
    )
    assert len(world.run(database.read(lambda tx: terms.accepted(tx, "@alice:example.org")))) == 1
