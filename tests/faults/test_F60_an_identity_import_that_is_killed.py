"""F60: an import from a Sydent is killed. Each association is there with its hash or not at all, and the next run goes on."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sydent_database import NAME, PEPPER, SydentDatabase
from test_cli import threepid
from threepid.spec.lookup_hash import lookup_hash

ROWS = 6_000
ARGUMENTS = ("import", "sydent", "--database", "sqlite:sydent.db", "--server-name", NAME, "-c", "threepid.toml")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "threepid.toml").write_text(
        f'[server]\nname = "example.org"\npublic_base_url = "https://x.example.org"\n[identity]\nname = "{NAME}"\n'
    )
    sydent = SydentDatabase(tmp_path / "sydent.db")
    sydent.do("BEGIN")
    for number in range(ROWS):
        sydent.bind(f"@u{number}:hs.example", f"u{number:05}@example.com")
        sydent.account(f"@u{number}:hs.example", f"token-of-the-user-{number:05}")
    sydent.do("COMMIT")
    sydent.close()
    return tmp_path


def count(directory: Path, query: str) -> int:
    with sqlite3.connect(directory / "data" / "threepid.db") as database:
        return int(database.execute(query).fetchone()[0])


@pytest.mark.timeout(180)
def test_F60_killed_at_any_batch_and_continued(directory: Path) -> None:
    assert threepid("migrate", "-c", "threepid.toml", cwd=directory).returncode == 0
    kills = 0
    for table, wanted in (("peppers", 1), ("associations", 1), ("associations", 3_000), ("identity_tokens", 2_000)):
        process = subprocess.Popen(
            [sys.executable, "-m", "threepid", *ARGUMENTS],
            cwd=directory,
            env={**os.environ, "NO_COLOR": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and count(directory, f"SELECT COUNT(*) FROM {table}") < wanted:
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait(30)
        stored = count(directory, "SELECT COUNT(*) FROM associations")
        assert count(directory, "SELECT COUNT(*) FROM association_hashes") == stored
        assert count(directory, "SELECT COUNT(*) FROM imported_rows") == count(
            directory, "SELECT COUNT(*) FROM identity_tokens"
        )
    assert kills > 0
    done = threepid(*ARGUMENTS, "--json", cwd=directory)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert result["unchanged"] > 0
    assert result["unchanged"] + sum(result["inserted"].values()) == 2 * ROWS
    for table in ("associations", "association_hashes", "identity_tokens"):
        assert count(directory, f"SELECT COUNT(*) FROM {table}") == ROWS
    last = lookup_hash(f"u{ROWS - 1:05}@example.com", "email", PEPPER)
    assert count(directory, f"SELECT COUNT(*) FROM association_hashes WHERE hash = '{last}'") == 1
    assert count(directory, "SELECT COUNT(*) FROM imports WHERE finished_at IS NOT NULL AND position > 0") == 1


def test_F60_killed_while_the_keys_were_brought(directory: Path) -> None:
    """Whichever file was written last: the next run retires what signs beside the imported key."""
    (directory / "sydent.conf").write_text(
        f"[general]\nserver.name = {NAME}\n[crypto]\ned25519.signingkey = ed25519 x_1 {'A' * 43}\n"
    )
    keys = directory / "data" / "keys"
    keys.mkdir(parents=True)
    for version, seed in (("0", "B" * 42 + "A"), ("x_1", "A" * 43)):
        (keys / f"ed25519_{version}.key").write_text(f"ed25519 {version} {seed}\n")
        (keys / f"ed25519_{version}.key").chmod(0o600)
    arguments = ("import", "sydent", "--config", "sydent.conf", "-c", "threepid.toml")
    assert threepid(*arguments, cwd=directory).returncode == 0
    listed = json.loads(threepid("keys", "list", "--json", "-c", "threepid.toml", cwd=directory).stdout)
    assert [key["key_id"] for key in listed if key["retired_at"] is None] == ["ed25519:x_1"]
