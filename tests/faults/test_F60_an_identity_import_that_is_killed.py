"""F60: an import from a Sydent is killed. Each association is there with its hash or not at all, and the next run goes on."""

import json
from pathlib import Path

import pytest

from killed_import import count, killed_at, rows
from sydent_database import NAME, PEPPER, SydentDatabase
from test_cli import threepid
from threepid.spec.lookup_hash import lookup_hash

ROWS = 6_000
ARGUMENTS = ("import", "sydent", "--database", "sqlite:sydent.db", "--server-name", NAME, "-c", "threepid.toml")


def made(tmp_path: Path, number_of_rows: int) -> Path:
    """A folder with the database of a Sydent, and the configuration of the server that replaces it."""
    (tmp_path / "threepid.toml").write_text(
        f'[server]\nname = "example.org"\npublic_base_url = "https://x.example.org"\n[identity]\nname = "{NAME}"\n'
    )
    sydent = SydentDatabase(tmp_path / "sydent.db")
    sydent.do("BEGIN")
    for number in range(number_of_rows):
        sydent.bind(f"@u{number}:hs.example", f"u{number:05}@example.com")
        sydent.account(f"@u{number}:hs.example", f"token-of-the-user-{number:05}")
    sydent.do("COMMIT")
    sydent.close()
    return tmp_path


@pytest.mark.timeout(180)
def test_F60_killed_at_any_batch_and_continued(tmp_path: Path) -> None:
    directory = made(tmp_path, ROWS)
    assert threepid("migrate", "-c", "threepid.toml", cwd=directory).returncode == 0
    kills = 0
    for table, wanted in (("peppers", 1), ("associations", 1), ("associations", 3_000), ("identity_tokens", 2_000)):
        kills += killed_at(directory, ARGUMENTS, table, wanted)
        stored = rows(directory, "associations")
        assert rows(directory, "association_hashes") == stored
        assert rows(directory, "imported_rows") == rows(directory, "identity_tokens")
    assert kills > 0
    done = threepid(*ARGUMENTS, "--json", cwd=directory)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert result["unchanged"] > 0
    assert result["unchanged"] + sum(result["inserted"].values()) == 2 * ROWS
    for table in ("associations", "association_hashes", "identity_tokens"):
        assert rows(directory, table) == ROWS
    last = lookup_hash(f"u{ROWS - 1:05}@example.com", "email", PEPPER)
    assert count(directory, f"SELECT COUNT(*) FROM association_hashes WHERE hash = '{last}'") == 1
    assert count(directory, "SELECT COUNT(*) FROM imports WHERE finished_at IS NOT NULL AND position > 0") == 1


def test_F60_the_same_command_continues_with_its_report(tmp_path: Path) -> None:
    """A killed or failed run leaves no report by its name, at which the next one would stop."""
    directory = made(tmp_path, ROWS)
    command = (*ARGUMENTS, "--report", "report.jsonl")
    assert threepid("migrate", "-c", "threepid.toml", cwd=directory).returncode == 0
    assert killed_at(directory, command, "associations", 1)
    assert not (directory / "report.jsonl").exists()
    whole = (directory / "sydent.db").read_bytes()
    (directory / "sydent.db").write_bytes(whole[: len(whole) // 2])
    assert threepid(*command, cwd=directory).returncode == 1
    assert not (directory / "report.jsonl").exists()
    (directory / "sydent.db").write_bytes(whole)
    done = threepid(*command, cwd=directory)
    assert (done.returncode, done.stderr) == (0, "")
    assert [file.name for file in directory.glob("*report*")] == ["report.jsonl"]
    again = threepid(*command, cwd=directory)
    assert (again.returncode, again.stderr) == (2, "report.jsonl exists already.\n")


def test_F60_killed_while_the_keys_were_brought(tmp_path: Path) -> None:
    """Whichever file was written last: the next run retires what signs beside the imported key."""
    directory = made(tmp_path, 1)
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
