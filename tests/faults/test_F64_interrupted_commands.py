"""F64: a command is killed at any of its writes to disk. It was done or not begun, and whoever repeats it is where it leads."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from test_cli import threepid

CONFIG = (
    '[server]\nname = "example.org"\npublic_base_url = "https://matrix.example.org"\n[accounts]\n[identity]\n'
    '[email]\nfrom = "noreply@example.org"\nvia = [{ transport = "mailbox" }]\n'
)
SEEDS = [letter * 43 for letter in "EI"]
ENVIRONMENT = {"THREEPID_CONFIG": "threepid.toml"}
COMMANDS = [
    ("account", "create", "bob", "--password-file", "password"),
    ("account", "set-password", "alice", "--password-file", "password"),
    ("account", "contact", "add", "alice", "new@example.com"),
    ("account", "contact", "remove", "alice", "alice@example.com"),
    ("account", "lock", "alice"),
    ("account", "deactivate", "alice", "--erase", "--yes"),
    ("account", "admin", "alice"),
    ("registration-token", "create", "--token", "party"),
    ("operator-token", "create", "helpdesk", "--scope", "accounts:read"),
    ("keys", "rotate"),
    ("keys", "import", "other.key"),
]
NOTED = {"rotate": ("audit_log", "signing_key_rotated"), "import": ("audit_log", "signing_keys_imported")}
"""What a change of the keys adds to the log."""
pytestmark = [
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing: run scripts/system-packages strace"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server with an account."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "threepid.toml").write_text(CONFIG)
    (folder / "password").write_text("a long password\n")
    (folder / "other.key").write_text("".join(f"ed25519 of_{seed[0]} {seed}\n" for seed in SEEDS))
    for command in (
        ("account", "create", "alice", "--password-file", "password"),
        ("account", "contact", "add", "alice", "alice@example.com"),
        ("keys", "generate"),
    ):
        done = threepid(*command, cwd=folder, **ENVIRONMENT)
        assert done.returncode == 0, done.stderr
    return folder


def interrupted(folder: Path, signal: str, when: int, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run a command, which gets the signal at the `when`th time that it asks for something to be on the disk."""
    inject = f"inject=fsync,fdatasync:signal={signal}:when={when}"
    return subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", inject,
         sys.executable, "-m", "threepid", *command],
        cwd=folder, capture_output=True, text=True, timeout=180, env={**os.environ, **ENVIRONMENT, "NO_COLOR": "1"},
    )  # fmt: skip


def state(folder: Path) -> dict[str, int]:
    """How many rows each table has, the events of the audit log, what is true of Alice, and the keys by what they are for."""
    with closing(sqlite3.connect(folder / "data" / "threepid.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = Counter({name: database.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in tables})
        found.update(kind for (kind,) in database.execute("SELECT kind FROM audit_log"))
        alice = "SELECT locked_at IS NULL, deactivated_at IS NULL, admin_at IS NULL FROM accounts WHERE user_id = '@alice:example.org'"
        found.update(f"alice {place} {value}" for place, value in enumerate(database.execute(alice).fetchone()))
    for file in (folder / "data" / "keys").glob("ed25519_*.key"):
        found[f"{file.name} {'retired' if 'retired' in file.read_text() else 'in force'}"] += 1
    return dict(found)


def copied(prepared: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(prepared, folder)
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_killed_command_is_done_or_not_begun(prepared: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    before = state(prepared)
    whole = copied(prepared, tmp_path / "whole")
    assert threepid(*command, cwd=whole, **ENVIRONMENT).returncode == 0
    after = state(whole)
    assert after != before
    kills = 0
    while True:
        folder = copied(prepared, tmp_path / "killed")
        if interrupted(folder, "KILL", kills + 1, command).returncode == 0:
            break
        kills += 1
        found = state(folder)
        if command[0] != "keys":
            assert found in (before, after), kills
        else:
            # Files have no transaction: the log notes a change first, and once more where it is completed or begun again.
            assert found in (before, after) or found["audit_log"] == after["audit_log"], kills
        if found != after:
            again = threepid(*command, cwd=folder, **ENVIRONMENT)
            assert again.returncode == 0, (kills, again.stderr)
            twice = NOTED.get(command[1], ()) if found["audit_log"] == after["audit_log"] else ()
            assert state(folder) == {name: count + (name in twice) for name, count in after.items()}, kills
    assert kills > 0


@pytest.mark.parametrize("when", [1, 2, 12])
def test_killed_migrations_are_completed(prepared: Path, tmp_path: Path, when: int) -> None:
    shutil.copy(prepared / "threepid.toml", tmp_path)
    assert interrupted(tmp_path, "KILL", when, ("migrate",)).returncode != 0
    done = threepid("migrate", cwd=tmp_path, **ENVIRONMENT)
    assert (done.returncode, done.stderr) == (0, "")
    assert schema(tmp_path) == schema(prepared)


def schema(folder: Path) -> set[tuple[str, str]]:
    with sqlite3.connect(folder / "data" / "threepid.db") as database:
        return {*database.execute("SELECT name, sql FROM sqlite_master")}
