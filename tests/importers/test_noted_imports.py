"""Imports in the audit log: an entry about the first change, and one at the end with the numbers of what was changed."""

import json
from pathlib import Path
from typing import Any

from importers.identity_servers import bring as bring_identity
from importers.synapse.importing import bring
from noted import entries
from operators import root
from sydent_database import BOUND_AT, SydentDatabase
from synapse_database import SynapseDatabase
from threepid.domain.audit import Event
from threepid.importers.records import Account
from threepid.importers.writer import Writer
from world import World

ALICE, BOB = "@alice:example.org", "@bob:example.org"
SEED = "E" * 43


def noted(world: World) -> list[tuple[str, dict[str, Any]]]:
    """The events and details of all entries, which are the operator's."""
    found = entries(world)
    assert {(one.caller_kind, one.caller, one.user_id) for one in found} <= {("operator", "command line: root", "")}
    return [(one.kind, json.loads(one.details)) for one in found]


def test_an_import_from_synapse_is_noted_with_its_numbers_and_one_without_changes_is_not(
    world: World, tmp_path: Path
) -> None:
    synapse = SynapseDatabase(f"sqlite:{tmp_path}/synapse.db")
    for name in (ALICE, BOB):
        synapse.user(name, "a password")
    synapse.contact(ALICE, "email", "alice@example.com")
    source = {"source": "synapse example.org"}

    bring(world, synapse, dry_run=True)
    assert noted(world) == []

    bring(world, synapse)
    first = [
        (Event.IMPORT_BEGAN, source),
        (Event.IMPORT_FINISHED, {**source, "accounts": 2, "passwords": 2, "contacts": 1}),
    ]
    assert noted(world) == first

    bring(world, synapse)
    assert noted(world) == first

    synapse.contact(BOB, "email", "bob@example.com")
    world.clock.advance(1)
    bring(world, synapse)
    assert noted(world)[2:] == [(Event.IMPORT_BEGAN, source), (Event.IMPORT_FINISHED, {**source, "replaced": 1})]


def test_a_run_after_a_killed_one_reports_the_changes_of_both(world: World) -> None:
    def begun() -> Writer:
        settings = world.homeserver.settings
        writer = Writer(world.server.context, "synapse x", settings, root(world), is_homeserver=True, dry_run=False)
        world.run(writer.begin(settings="", total=2))
        return writer

    alice, bob = (Account(user_id=name, created_at=1) for name in (ALICE, BOB))
    world.run(begun().write([alice]))
    assert noted(world) == [(Event.IMPORT_BEGAN, {"source": "synapse x"})]

    world.run(begun().write([alice, bob]))
    assert len(noted(world)) == 1, "it has begun already"

    world.clock.advance(1)
    last = begun()
    world.run(last.write([alice, bob]))
    world.run(last.finish())
    assert noted(world)[1:] == [(Event.IMPORT_FINISHED, {"source": "synapse x", "accounts": 2})]


def test_an_import_from_an_identity_server_is_noted_with_its_pepper_and_keys(world: World, tmp_path: Path) -> None:
    sydent = SydentDatabase(tmp_path / "sydent.db")
    sydent.bind("@dora:elsewhere.example", "dora@example.com")
    sydent.account("@dora:elsewhere.example", "a-token-that-nobody-can-guess")
    key = f"ed25519 sydent {SEED}"

    bring_identity(world, sydent, dry_run=True, key=key)
    assert noted(world) == []

    done = bring_identity(world, sydent, key=key)
    source = {"source": "sydent id.example.org"}
    found = noted(world)
    assert sorted(found, key=repr) == sorted(
        [
            (Event.SIGNING_KEYS_IMPORTED, {**source, "keys": 1}),
            (Event.PEPPER_ROTATION_BEGAN, source),
            (Event.IMPORT_BEGAN, source),
            (Event.IMPORT_FINISHED, {**source, "associations": 1, "tokens": 1}),
        ],
        key=repr,
    )
    assert done.result.inserted["signing_keys"] == 1

    bring_identity(world, sydent, key=key)
    assert noted(world) == found

    world.clock.advance(1)
    sydent.bind("@eve:elsewhere.example", "dora@example.com", ts=BOUND_AT + 1)
    bring_identity(world, sydent, key=key)
    assert [kind for kind, _ in noted(world)[len(found) :]] == [Event.IMPORT_BEGAN, Event.IMPORT_FINISHED]
    assert noted(world)[-1][1] == {**source, "replaced": 1}
