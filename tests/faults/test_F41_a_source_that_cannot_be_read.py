"""F41: the other server's database is locked, damaged, cut short, newer, or none; nothing of ours is harmed, and it is said."""

from pathlib import Path
from typing import Any

import apsw
import pytest

from importers.synapse.importing import bring, who
from synapse_database import SynapseDatabase
from threepid.importers.source import SourceError, open_source
from threepid.importers.synapse.reader import Reader
from threepid.storage import accounts
from world import World


@pytest.fixture
def synapse(tmp_path: Path) -> SynapseDatabase:
    made = SynapseDatabase(f"sqlite:{tmp_path}/homeserver.db")
    for number in range(1500):
        user_id = f"@u{number:04}:example.org"
        made.user(user_id, password_hash="$2b$04$" + "a" * 53)
        made.device(user_id, "PHONE", f"syt_phone_of_{user_id}")
    return made


def read(synapse: SynapseDatabase) -> list[Any]:
    with open_source(synapse.url) as opened:
        return list(Reader(opened).users())


def test_F41_a_file_that_is_no_database_or_another_one(tmp_path: Path) -> None:
    for name, data in (("text", b"no database"), ("empty", b""), ("header", b"SQLite format 3\0")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SourceError):
            Reader(open_source(f"sqlite:{tmp_path}/{name}"))
    with apsw.Connection(str(tmp_path / "foreign")) as foreign:
        foreign.execute("CREATE TABLE users (id INTEGER, mail TEXT); CREATE VIEW devices AS SELECT 1 AS x")
    with pytest.raises(SourceError, match=r"not the database of a Synapse: it has no .*access_tokens"):
        Reader(open_source(f"sqlite:{tmp_path}/foreign"))


def test_F41_a_newer_synapse(tmp_path: Path) -> None:
    synapse = SynapseDatabase(f"sqlite:{tmp_path}/homeserver.db")
    synapse.do("UPDATE schema_version SET version = 120")
    assert read(synapse) == []  # it says that an older one may still read it
    synapse.do("UPDATE schema_compat_version SET compat_version = 95")
    with pytest.raises(SourceError, match="too new: its database needs schema 95"):
        read(synapse)
    synapse.do("UPDATE schema_compat_version SET compat_version = 'x'")
    with pytest.raises(SourceError, match="too new"):
        read(synapse)


def test_F41_a_locked_database(tmp_path: Path, synapse: SynapseDatabase) -> None:
    synapse.do("PRAGMA journal_mode = delete")
    synapse.do("BEGIN EXCLUSIVE")
    with pytest.raises(SourceError, match="is locked by another program"):
        open_source(synapse.url, wait_ms=10)
    synapse.do("COMMIT")
    assert len(read(synapse)) == 1500


def test_F41_a_file_that_was_cut_short(world: World, synapse: SynapseDatabase) -> None:
    """What was read before the damage is there, and the whole file brings the rest."""
    synapse.do("PRAGMA journal_mode = delete")
    synapse.close()
    whole = synapse.path.read_bytes()
    for share in (1, 30, 60, 90, 99):
        synapse.path.write_bytes(whole[: len(whole) * share // 100])
        with pytest.raises(SourceError):
            bring(world, synapse)
    synapse.path.write_bytes(whole)
    found = bring(world, synapse)
    assert found.result.is_complete
    assert len(world.run(world.database.read(lambda tx: accounts.after(tx, "", 9999)))) == 1500
    assert who(world, "syt_phone_of_@u1499:example.org") == ("@u1499:example.org", "PHONE")


def test_F41_pages_of_nonsense(world: World, synapse: SynapseDatabase) -> None:
    """Whatever is found in damaged pages, the import ends with a sentence or with its counts, and the repaired file wins."""
    synapse.do("PRAGMA journal_mode = delete")
    synapse.close()
    whole = synapse.path.read_bytes()
    for page in range(1, len(whole) // 4096, 7):
        damaged = bytearray(whole)
        damaged[page * 4096 : page * 4096 + 4096] = bytes(range(256)) * 16
        synapse.path.write_bytes(damaged)
        try:
            bring(world, synapse)
        except SourceError as error:
            assert "damaged" in str(error) or "cannot be read" in str(error)  # noqa: PT017
    synapse.path.write_bytes(whole)
    bring(world, synapse)
    for number in (0, 700, 1499):
        assert who(world, f"syt_phone_of_@u{number:04}:example.org") == (f"@u{number:04}:example.org", "PHONE")


def test_F41_a_synapse_that_starts_during_the_import(synapse: SynapseDatabase) -> None:
    synapse.close()
    opened = open_source(synapse.url)
    with apsw.Connection(str(synapse.path)) as started:
        started.execute("UPDATE users SET admin = 1")
    with pytest.raises(SourceError, match="the other server was started"):
        opened.close()


def test_F41_a_change_during_the_import_is_not_seen(synapse: SynapseDatabase) -> None:
    """A snapshot: all tables are read as they were at one time."""
    with open_source(synapse.url) as opened:
        reader = Reader(opened)
        users = reader.users()
        next(users)
        synapse.do("DELETE FROM devices")
        synapse.user("@zoe:example.org")
        left = list(users)
    assert len(left) == 1499
    assert all(len(rows.devices) == 1 for rows in left)
