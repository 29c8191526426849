"""A second run brings only what changed at the Synapse, and leaves alone what changed here."""

from pathlib import Path
from typing import Any

import pytest

from importers.synapse.importing import bring, log_in, who
from operators import root
from synapse_database import SynapseDatabase, synapse_hash
from threepid.importers.records import Account
from threepid.importers.source import SourceError
from threepid.importers.steps import Superseded
from threepid.importers.writer import Writer
from threepid.storage import accounts, imports
from threepid.storage.threepids import Threepid
from world import World

ALICE, BOB, CAROL = "@alice:example.org", "@bob:example.org", "@carol:example.org"


@pytest.fixture(name="filled")
def fill(synapse: SynapseDatabase) -> SynapseDatabase:
    for user_id in (ALICE, BOB, CAROL):
        name = user_id[1:].partition(":")[0]
        synapse.user(user_id, f"password of {name}")
        synapse.contact(user_id, "email", f"{name}@example.com")
        synapse.device(user_id, "PHONE", f"syt_phone_of_{name}")
        synapse.device(user_id, "LAPTOP", f"syt_laptop_of_{name}")
    return synapse


def addresses(world: World, token: str) -> list[str]:
    return sorted(world.contacts(token))


def test_nothing_changed_and_nothing_happens(world: World, filled: SynapseDatabase) -> None:
    first = bring(world, filled)
    before = world.database.writes
    again = bring(world, filled)
    assert (again.result.unchanged, again.result.replaced, again.result.inserted["accounts"]) == (3, 0, 0)
    assert again.result.carried == first.result.carried
    assert again.result.is_complete
    assert world.database.writes - before <= 3


def test_last_seen_alone_is_no_change(world: World, filled: SynapseDatabase) -> None:
    bring(world, filled)
    filled.do("UPDATE devices SET last_seen = 1700000000000, ip = '198.51.100.7', user_agent = 'x'")
    assert bring(world, filled).result.unchanged == 3


def test_changes_are_brought(world: World, filled: SynapseDatabase) -> None:
    bring(world, filled)
    # Alice changes her password, logs a device out and another in, and removes a contact for another one.
    filled.do("UPDATE users SET password_hash = ? WHERE name = ?", synapse_hash("a new password"), ALICE)
    filled.do("DELETE FROM access_tokens WHERE user_id = ? AND device_id = 'LAPTOP'", ALICE)
    filled.do("DELETE FROM devices WHERE user_id = ? AND device_id = 'LAPTOP'", ALICE)
    filled.device(ALICE, "TABLET", "syt_tablet_of_alice")
    filled.do("DELETE FROM user_threepids WHERE user_id = ?", ALICE)
    filled.contact(ALICE, "msisdn", "447700900123")
    # Bob closes his account, and Dave comes.
    filled.do("UPDATE users SET deactivated = 1, password_hash = NULL WHERE name = ?", BOB)
    for table in ("devices", "access_tokens", "user_threepids"):
        filled.do(f"DELETE FROM {table} WHERE user_id = ?", BOB)
    filled.user("@dave:example.org", "password of dave")
    again = bring(world, filled)
    result = again.result
    assert (result.unchanged, result.replaced, result.inserted["accounts"]) == (1, 2, 1)
    assert result.mismatches == []
    assert log_in(world, "alice", "password of alice") == 403
    assert log_in(world, "alice", "a new password") == 200
    assert who(world, "syt_laptop_of_alice") == "M_UNKNOWN_TOKEN"
    assert who(world, "syt_tablet_of_alice") == (ALICE, "TABLET")
    assert who(world, "syt_phone_of_alice") == (ALICE, "PHONE")
    assert addresses(world, "syt_phone_of_alice") == ["447700900123"]
    assert log_in(world, "bob", "password of bob") == 403
    assert who(world, "syt_phone_of_bob") == "M_UNKNOWN_TOKEN"
    assert log_in(world, "dave", "password of dave") == 200
    assert addresses(world, "syt_phone_of_carol") == ["carol@example.com"]


def test_the_end_of_an_account_and_its_lock_keep_their_times(world: World, filled: SynapseDatabase) -> None:
    filled.do("UPDATE users SET locked = TRUE WHERE name = ?", ALICE)
    bring(world, filled)
    then = world.clock.now()
    world.clock.advance(86_400_000)
    filled.do("UPDATE users SET admin = 1 WHERE name = ?", ALICE)
    assert bring(world, filled).result.replaced == 1

    def stored() -> Any:
        return world.run(world.database.read(lambda tx: accounts.get(tx, ALICE)))

    assert stored().locked_at == then
    filled.do("UPDATE users SET locked = FALSE WHERE name = ?", ALICE)
    bring(world, filled)
    assert stored().locked_at is None


def test_an_account_that_changed_on_both_sides_stays_as_it_is_here(world: World, filled: SynapseDatabase) -> None:
    bring(world, filled)
    assert log_in(world, "alice", "password of alice") == 200  # a new device, and a new hash
    filled.do("UPDATE users SET password_hash = ? WHERE name = ?", synapse_hash("a new password"), ALICE)
    for _ in range(2):  # every run says so
        again = bring(world, filled)
        assert again.kinds() == {"CHANGED_HERE": 1}
        assert not again.result.is_complete
    assert log_in(world, "alice", "password of alice") == 200
    assert log_in(world, "alice", "a new password") == 403


def test_an_address_that_moved_to_another_user_moves_here(world: World, filled: SynapseDatabase) -> None:
    """Bob comes after Alice and before Carol: whichever is written first, the address arrives."""
    bring(world, filled)
    filled.do("UPDATE user_threepids SET user_id = ? WHERE user_id = ?", BOB, CAROL)
    assert bring(world, filled).findings == []
    assert addresses(world, "syt_phone_of_bob") == ["bob@example.com", "carol@example.com"]
    filled.do("UPDATE user_threepids SET user_id = ? WHERE address = ?", CAROL, "carol@example.com")
    assert bring(world, filled).findings == []
    assert addresses(world, "syt_phone_of_carol") == ["carol@example.com"]
    assert addresses(world, "syt_phone_of_bob") == ["bob@example.com"]


def test_an_address_that_moves_between_batches_arrives(world: World, synapse: SynapseDatabase) -> None:
    """The account that loses it is in a later batch than the one that gets it."""
    names = [f"@u{number:04}:example.org" for number in range(1200)]
    for name in names:
        synapse.user(name)
    synapse.device(names[0], "PHONE", "syt_of_the_first_user")
    synapse.contact(names[-1], "email", "moving@example.com")
    bring(world, synapse)
    synapse.do("UPDATE user_threepids SET user_id = ?", names[0])
    again = bring(world, synapse)
    assert [kind for kind in again.kinds() if kind != "NO_WAY_IN"] == []
    assert addresses(world, "syt_of_the_first_user") == ["moving@example.com"]
    assert bring(world, synapse).result.unchanged == 1200


def test_a_conflict_is_looked_at_again_in_every_run(world: World, filled: SynapseDatabase) -> None:
    token = world.register("erin")
    erin = "@erin:example.org"
    contact = imports.Contact(erin, Threepid("email", "alice@example.com", "alice@example.com", 1, 1))
    world.run(world.database.write(lambda tx: imports.insert_contacts(tx, [contact])))
    for _ in range(2):
        found = bring(world, filled)
        assert found.details("CONTACT_TAKEN") == [
            f"{ALICE} email alice@example.com, which belongs to @erin:example.org"
        ]
        assert found.result.mismatches == []
    assert world.contacts(token) == ["alice@example.com"]
    assert world.contacts("syt_phone_of_alice") == []
    world.run(world.database.write(lambda tx: imports.empty(tx, [erin])))
    assert bring(world, filled).result.is_complete
    assert world.contacts("syt_phone_of_alice") == ["alice@example.com"]


def test_other_settings_of_passwords_are_refused(world: World, filled: SynapseDatabase) -> None:
    bring(world, filled, pepper="one")
    for other in ({"pepper": "another"}, {"pepper": "one", "has_passwords": False}):
        with pytest.raises(SourceError, match="password_config"):
            bring(world, filled, **other)
    assert bring(world, filled, pepper="one").result.unchanged == 3


def test_a_dry_run_says_the_same_and_writes_nothing(world: World, filled: SynapseDatabase) -> None:
    world.register("carol")
    filled.contact(BOB, "email", "not an address")
    dry = bring(world, filled, dry_run=True, pepper="pepper")
    assert world.run(world.database.read(lambda tx: accounts.get(tx, ALICE))) is None
    assert list((world.directory / "keys").glob("password_pepper_*")) == []
    wet = bring(world, filled, pepper="pepper")
    assert (dry.result.dry_run, wet.result.dry_run) == (True, False)
    assert dry.kinds() == wet.kinds() == {"ACCOUNT_EXISTS": 1, "INVALID_CONTACT": 1}
    assert (dry.result.carried, dry.result.inserted) == (wet.result.carried, wet.result.inserted)
    assert bring(world, filled, dry_run=True, pepper="pepper").result.unchanged == 2


def test_of_two_runs_at_once_the_later_one_takes_over(world: World) -> None:
    def begun() -> Writer:
        settings = world.homeserver.settings
        writer = Writer(world.server.context, "synapse x", settings, root(world), is_homeserver=True, dry_run=False)
        world.run(writer.begin(settings="", total=2))
        return writer

    one = begun()
    world.run(one.write([Account(user_id=ALICE, created_at=1)]))
    other = begun()
    with pytest.raises(Superseded):
        world.run(one.write([Account(user_id=BOB, created_at=1)]))
    with pytest.raises(Superseded):
        world.run(one.finish())
    outcome = world.run(other.write([Account(user_id=ALICE, created_at=1), Account(user_id=BOB, created_at=1)]))
    assert (outcome.unchanged, outcome.inserted["accounts"]) == (1, 1)
    assert world.run(other.finish()) == []


def test_the_source_is_not_written(world: World, tmp_path: Path) -> None:
    directory = tmp_path / "synapse"
    directory.mkdir()
    synapse = SynapseDatabase(f"sqlite:{directory}/homeserver.db")
    synapse.user(ALICE, "password")
    running = {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.endswith("-shm")}
    assert len(running) == 2
    bring(world, synapse)
    assert {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.endswith("-shm")} == running
    synapse.close()
    stopped = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert list(stopped) == ["homeserver.db"]
    bring(world, synapse)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == stopped
