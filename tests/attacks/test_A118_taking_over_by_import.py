"""A118: an account or an address of this server that an import would take over."""

from functools import partial
from pathlib import Path

import pytest

from importers.synapse.importing import bring, log_in, who
from synapse_database import SynapseDatabase
from threepid.storage.engine.database import Tx
from threepid.storage.engine.queries import Query
from world import PASSWORD, World

ALICE, BOB, CAROL = "@alice:example.org", "@bob:example.org", "@carol:example.org"


@pytest.fixture
def synapse(tmp_path: Path) -> SynapseDatabase:
    return SynapseDatabase(f"sqlite:{tmp_path}/homeserver.db")


def test_A118_an_account_that_was_created_here_stays(world: World, synapse: SynapseDatabase) -> None:
    token = world.register("alice")
    synapse.user(ALICE, "the importer's password", admin=1)
    synapse.device(ALICE, "EVIL", "syt_of_the_other_alice")
    synapse.contact(ALICE, "email", "evil@example.com")
    for _ in range(2):
        assert bring(world, synapse).kinds()["ACCOUNT_EXISTS"] == 1
    assert log_in(world, "alice", "the importer's password") == 403
    assert log_in(world, "alice", PASSWORD) == 200
    assert who(world, "syt_of_the_other_alice") == "M_UNKNOWN_TOKEN"
    assert world.contacts(token) == []


def run(change: Query, tx: Tx) -> int:
    return tx.run(change)


def test_A118_an_account_of_another_source_stays(world: World, tmp_path: Path, synapse: SynapseDatabase) -> None:
    """Another server of the same name is another source only by its kind: what one import brought, another does not replace."""
    synapse.user(ALICE, "password")
    bring(world, synapse)
    for statement in (
        "INSERT INTO imports SELECT 'other example.org', settings, run_id, started_at, finished_at, done, total, 0, '' FROM imports",
        "UPDATE imported_accounts SET source = 'other example.org'",
    ):
        change = Query("test", statement, statement)
        world.run(world.database.write(partial(run, change)))
    synapse.do("UPDATE users SET password_hash = NULL")
    assert bring(world, synapse).kinds() == {"ACCOUNT_EXISTS": 1, "NO_WAY_IN": 1}
    assert log_in(world, "alice", "password") == 200


def test_A118_spellings_of_an_address_go_to_whom_the_old_server_found(world: World, synapse: SynapseDatabase) -> None:
    """Synapse looks addresses up in lower case, and older versions stored them as they were typed."""
    for user_id in (ALICE, BOB, CAROL):
        synapse.user(user_id, f"password of {user_id}")
        synapse.device(user_id, "PHONE", f"syt_phone_of_{user_id}")
    synapse.contact(ALICE, "email", "Victim@Example.com", added_at=1)
    synapse.contact(BOB, "email", "victim@example.com", added_at=3)
    synapse.contact(CAROL, "email", "VICTIM@example.com", added_at=2)
    synapse.contact(CAROL, "email", "TWO@example.com", added_at=5)
    synapse.contact(ALICE, "email", "Two@example.com", added_at=6)
    found = bring(world, synapse)
    assert world.contacts(f"syt_phone_of_{BOB}") == ["victim@example.com"]
    assert world.contacts(f"syt_phone_of_{CAROL}") == ["two@example.com"]
    assert world.contacts(f"syt_phone_of_{ALICE}") == []
    assert sorted(found.details("CONTACT_TAKEN")) == [
        f"{ALICE} email Two@example.com, which belongs to {CAROL}",
        f"{ALICE} email Victim@Example.com, which belongs to {BOB}",
        f"{CAROL} email VICTIM@example.com, which belongs to {BOB}",
    ]
    assert not found.result.is_complete


def test_A118_spellings_that_only_we_know_to_be_equal(world: World, synapse: SynapseDatabase) -> None:
    for user_id in (ALICE, BOB):
        synapse.user(user_id)
        synapse.device(user_id, "PHONE", f"syt_phone_of_{user_id}")
    synapse.contact(ALICE, "msisdn", "447700900123")
    synapse.contact(BOB, "msisdn", "+44 7700 900123")
    synapse.contact(ALICE, "email", "a@xn--bcher-kva.example")
    synapse.contact(BOB, "email", "a@bücher.example")
    found = bring(world, synapse)
    assert found.kinds()["CONTACT_TAKEN"] == 2
    assert sorted(world.contacts(f"syt_phone_of_{ALICE}")) == ["447700900123", "a@xn--bcher-kva.example"]
    assert world.contacts(f"syt_phone_of_{BOB}") == []


def test_A118_one_users_spellings_become_one_contact(world: World, synapse: SynapseDatabase) -> None:
    synapse.user(ALICE)
    synapse.device(ALICE, "PHONE", "syt_phone_of_alice")
    synapse.contact(ALICE, "email", "Me@example.com", added_at=5)
    synapse.contact(ALICE, "email", "me@example.com", added_at=7)
    found = bring(world, synapse)
    assert world.contacts("syt_phone_of_alice") == ["me@example.com"]
    assert found.kinds() == {"CONTACT_TAKEN": 1}
