"""F40: an import is killed. What it has written stays, whole accounts only, and the next run writes the rest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from importers.synapse.importing import bring
from killed_import import count, killed_at, rows
from synapse_database import SynapseDatabase
from test_cli import threepid
from threepid.storage.engine.database import Busy
from world import World

USERS = 6_000
ARGUMENTS = (
    "import",
    "synapse",
    "--database",
    "sqlite:homeserver.db",
    "--server-name",
    "example.org",
    "-c",
    "threepid.toml",
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "threepid.toml").write_text(
        '[server]\nname = "example.org"\npublic_base_url = "https://x.example.org"\n[accounts]\n'
    )
    synapse = SynapseDatabase(f"sqlite:{tmp_path}/homeserver.db")
    synapse.do("BEGIN")
    for number in range(USERS):
        user_id = f"@u{number:05}:example.org"
        synapse.user(user_id, password_hash="$2b$12$" + "a" * 53)
        synapse.device(user_id, "PHONE", f"syt_phone_of_{user_id}")
        synapse.contact(user_id, "email", f"u{number}@example.com")
    synapse.do("COMMIT")
    synapse.close()
    return tmp_path


def test_F40_killed_at_any_batch_and_continued(directory: Path) -> None:
    assert threepid("migrate", "-c", "threepid.toml", cwd=directory).returncode == 0
    kills = 0
    for wanted in (1, 2_000, 4_500):
        kills += killed_at(directory, ARGUMENTS, "accounts", wanted)
        stored = rows(directory, "accounts")
        for table in ("devices", "access_tokens", "threepids", "imported_accounts"):
            assert rows(directory, table) == stored
    assert kills > 0
    done = threepid(*ARGUMENTS, "--json", cwd=directory)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert result["unchanged"] + result["inserted"]["accounts"] == USERS
    assert result["unchanged"] > 0
    for table in ("accounts", "devices", "access_tokens", "threepids"):
        assert rows(directory, table) == USERS
    assert count(directory, "SELECT COUNT(*) FROM imports WHERE finished_at IS NOT NULL AND done = total") == 1


def test_F40_our_database_is_locked(world: World, tmp_path: Path) -> None:
    """The import ends, and the next one continues."""
    if world.database.engine != "sqlite":
        pytest.skip("PostgreSQL locks rows")
    synapse = SynapseDatabase(f"sqlite:{tmp_path}/homeserver.db")
    for number in range(600):
        synapse.user(f"@u{number:05}:example.org", appservice_id="x")
    # Another process, because locks of one process do not exclude each other.
    path = world.database_url.removeprefix("sqlite:")
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN IMMEDIATE'); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy):
            bring(world, synapse)
        holder.communicate("\n", timeout=20)
    assert bring(world, synapse).result.inserted["accounts"] == 600
