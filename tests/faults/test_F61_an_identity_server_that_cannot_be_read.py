"""F61: the database of a Sydent or ma1sd is locked, damaged, cut short, newer, in use, or none; nothing of ours is harmed."""

import json
import os
import shutil
from pathlib import Path

import apsw
import pytest

from importers.identity_servers import bring, look_up, whose
from ma1sd_database import Ma1sdDatabase, write_keys
from sydent_database import PEPPER, SydentDatabase
from threepid.domain.secrets.files import KeyFileError
from threepid.importers.ma1sd.keys import signing_keys
from threepid.importers.ma1sd.reader import Reader as Ma1sdReader
from threepid.importers.source import SourceError, open_source
from threepid.importers.sydent.reader import Reader
from world import World

ALICE, TOKEN = "@alice:hs.example", "token-of-alice-at-sydent"
ROWS = 3_000


@pytest.fixture
def sydent(tmp_path: Path) -> SydentDatabase:
    made = SydentDatabase(tmp_path / "sydent.db")
    made.do("BEGIN")
    made.account(ALICE, TOKEN)
    for number in range(ROWS):
        made.bind(ALICE, f"a{number:04}@example.com")
    made.do("COMMIT")
    return made


def test_F61_a_file_that_is_no_database_or_another_one(tmp_path: Path) -> None:
    for name, data in (("text", b"no database"), ("empty", b""), ("header", b"SQLite format 3\0")):
        (tmp_path / name).write_bytes(data)
        for reader in (Reader, Ma1sdReader):
            with pytest.raises(SourceError):
                reader(open_source(f"sqlite:{tmp_path}/{name}"))
    foreign = SydentDatabase(tmp_path / "foreign.db", without=("invite_tokens",))
    with pytest.raises(SourceError, match="not the database of a Sydent: it has no invite_tokens"):
        Reader(open_source(foreign.url))
    with pytest.raises(SourceError, match="not the database of a ma1sd: it has no invite_3pid, session_3pid"):
        Ma1sdReader(open_source(foreign.url))
    ma1sd = Ma1sdDatabase(f"sqlite:{tmp_path}/ma1sd.db")
    with pytest.raises(SourceError, match="not the database of a Sydent"):
        Reader(open_source(ma1sd.url))


def test_F61_a_pipe_in_place_of_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="pipe is not a file"):
        open_source(f"sqlite:{tmp_path}/pipe")


def test_F61_a_newer_sydent(tmp_path: Path) -> None:
    sydent = SydentDatabase(tmp_path / "sydent.db")
    sydent.do("PRAGMA user_version = 6")
    with pytest.raises(SourceError, match="too new: its database has schema 6, and this version of threepid knows 5"):
        Reader(open_source(sydent.url))


def test_F61_a_locked_database(world: World, sydent: SydentDatabase) -> None:
    sydent.do("BEGIN EXCLUSIVE")
    with pytest.raises(SourceError, match="is locked by another program"):
        open_source(sydent.url, wait_ms=10)
    sydent.do("COMMIT")
    assert bring(world, sydent).result.inserted["associations"] == ROWS


def test_F61_a_sydent_that_was_killed_while_it_wrote(world: World, sydent: SydentDatabase, tmp_path: Path) -> None:
    """SQLite has to roll its last write back, which an import that writes nothing cannot do."""
    killed = tmp_path / "killed"
    killed.mkdir()
    sydent.do("PRAGMA cache_size = 1")
    sydent.do("BEGIN IMMEDIATE")
    sydent.do("UPDATE local_threepid_associations SET mxid = '@evil:hs.example'")
    for file in sydent.path.parent.glob("sydent.db*"):
        shutil.copy(file, killed)
    assert (killed / "sydent.db-journal").exists()
    half = SydentDatabase.__new__(SydentDatabase)
    half.path, half.url = killed / "sydent.db", f"sqlite:{killed}/sydent.db"
    with pytest.raises(SourceError, match="was not closed properly"):
        bring(world, half)
    assert whose(world, TOKEN) == "M_UNAUTHORIZED"


def test_F61_a_file_that_was_cut_short(world: World, sydent: SydentDatabase) -> None:
    """What was read before the damage is there, and the whole file brings the rest."""
    sydent.close()
    whole = sydent.path.read_bytes()
    for share in (1, 30, 60, 90, 99):
        sydent.path.write_bytes(whole[: len(whole) * share // 100])
        with pytest.raises(SourceError):
            bring(world, sydent)
    sydent.path.write_bytes(whole)
    found = bring(world, sydent)
    assert found.result.is_complete
    assert look_up(world, TOKEN, PEPPER, "a0000@example.com", f"a{ROWS - 1:04}@example.com") == {
        "a0000@example.com": ALICE, f"a{ROWS - 1:04}@example.com": ALICE,
    }  # fmt: skip


def test_F61_a_sydent_that_starts_during_the_import(sydent: SydentDatabase) -> None:
    sydent.do("PRAGMA journal_mode = wal")
    sydent.close()
    opened = open_source(sydent.url)
    with apsw.Connection(str(sydent.path)) as started:
        started.execute("DELETE FROM tokens")
    with pytest.raises(SourceError, match="the other server was started"):
        opened.close()


def test_F61_another_database_of_the_same_name(world: World, sydent: SydentDatabase, tmp_path: Path) -> None:
    bring(world, sydent)
    other = SydentDatabase(tmp_path / "other.db", pepper="other")
    with pytest.raises(SourceError, match="another database than the one that was imported"):
        bring(world, other)
    damaged = SydentDatabase(tmp_path / "damaged.db", strict=False, pepper=b"\xff")
    with pytest.raises(SourceError, match="its pepper is no text"):
        bring(world, damaged)


def test_F61_keys_that_cannot_be_used(world: World, sydent: SydentDatabase, tmp_path: Path) -> None:
    """They are looked at first, so that nothing else was imported."""
    with pytest.raises(KeyFileError, match="not a signing key"):
        bring(world, sydent, key="ed25519.signingkey = nonsense")
    folder = tmp_path / "keys of ma1sd"
    write_keys(folder, "missing", regular={"a": b"1" * 32}, ephemeral={})
    with pytest.raises(SourceError, match="has no signing key"):
        signing_keys(folder)
    (folder / "current").write_text(json.dumps({"serial": "a"}))
    (folder / "regular" / "ed25519" / "a").write_text("{")
    with pytest.raises(SourceError, match="is not a file of a ma1sd"):
        signing_keys(folder)
    (folder / "regular" / "ed25519" / "a").write_text(json.dumps({"key": "AAAA"}))
    with pytest.raises(SourceError, match="holds no ed25519 key"):
        signing_keys(folder)
    assert whose(world, TOKEN) == "M_UNAUTHORIZED"
