"""The commands, as an operator types them."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from threepid.storage.migrate import known_migrations


def threepid(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "threepid", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environment},
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "threepid.toml").write_text(
        '[server]\nname = "example.org"\npublic_base_url = "https://matrix.example.org"\n[accounts]\n[identity]\n'
    )
    (tmp_path / "password").write_text("a long password\n")
    return tmp_path


def test_accounts_are_made_listed_and_shown(directory: Path) -> None:
    made = threepid(
        "account", "create", "alice", "--password-file", "password", "--config", "threepid.toml", cwd=directory
    )
    assert made.stdout == "created @alice:example.org\n"
    again = threepid("account", "create", "alice", "--password-file", "password", "-c", "threepid.toml", cwd=directory)
    assert again.returncode == 1
    assert again.stderr == "This user ID is already taken.\n"
    bad = threepid("account", "create", "No Name", "--password-file", "password", "-c", "threepid.toml", cwd=directory)
    assert bad.returncode == 1
    listed = threepid("account", "list", "-c", "threepid.toml", cwd=directory)
    assert [line.split() for line in listed.stdout.splitlines()][1][0] == "@alice:example.org"
    assert "active" in listed.stdout
    assert threepid("account", "contacts", "alice", "-c", "threepid.toml", cwd=directory).returncode == 0
    nobody = threepid("account", "contacts", "nobody", "-c", "threepid.toml", cwd=directory)
    assert (nobody.returncode, nobody.stderr) == (1, "There is no account @nobody:example.org.\n")


def test_a_password_that_is_too_short_is_refused(directory: Path) -> None:
    (directory / "short").write_text("short\n")
    made = threepid("account", "create", "alice", "--password-file", "short", "-c", "threepid.toml", cwd=directory)
    assert made.returncode == 1
    assert "at least 8" in made.stderr


def test_migrate_says_what_it_did(directory: Path) -> None:
    first = threepid("migrate", "-c", "threepid.toml", cwd=directory)
    assert first.stdout.splitlines() == [f"applied {migration.name}" for migration in known_migrations()]
    assert threepid("migrate", "-c", "threepid.toml", cwd=directory).stdout == "The database is up to date.\n"
    assert (directory / "data" / "threepid.db").exists()


def test_keys_are_made_rotated_and_listed(directory: Path) -> None:
    missing = threepid("keys", "list", "-c", "threepid.toml", cwd=directory)
    assert missing.returncode == 1
    assert "keys generate" in missing.stderr
    made = threepid("keys", "generate", "-c", "threepid.toml", cwd=directory)
    assert "ed25519:0" in made.stdout
    assert "in force" in made.stdout
    same = threepid("keys", "generate", "-c", "threepid.toml", cwd=directory)
    assert same.stdout == made.stdout
    rotated = threepid("keys", "rotate", "-c", "threepid.toml", cwd=directory).stdout
    assert "ed25519:1" in rotated
    assert rotated.count("in force") == 1
    assert rotated.count("retired") == 1
    key = directory / "data" / "keys" / "ed25519_1.key"
    assert key.stat().st_mode & 0o777 == 0o600
    seed = key.read_text().split()[2]
    assert seed not in rotated
    key.chmod(0o644)
    open_to_all = threepid("keys", "list", "-c", "threepid.toml", cwd=directory)
    assert open_to_all.returncode == 1
    assert "chmod 600" in open_to_all.stderr


def test_the_configuration_commands(directory: Path) -> None:
    assert threepid("config", "check", "-c", "threepid.toml", cwd=directory).stdout == "The configuration is good.\n"
    assert json.loads(threepid("config", "schema", cwd=directory).stdout)["$defs"]["Config"]
    assert tomllib.loads(threepid("config", "example", cwd=directory).stdout)["server"] == {}
    assert threepid("--version", cwd=directory).stdout.startswith("threepid ")
    (directory / "threepid.toml").write_text('[server]\nname = "example.org"\nport = 1\n')
    wrong = threepid("config", "check", "-c", "threepid.toml", cwd=directory)
    assert wrong.returncode == 1
    assert "[server]" in wrong.stderr
    assert "port" in wrong.stderr
    assert threepid("serve", "-c", "nosuch.toml", cwd=directory).returncode == 1


def test_a_database_that_is_not_there_is_one_sentence(directory: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    answer = threepid("migrate", "-c", "threepid.toml", cwd=directory, THREEPID__DATABASE__URL=url)
    assert answer.returncode == 1
    assert answer.stderr.startswith("PostgreSQL cannot be used")
    assert "Traceback" not in answer.stderr


def test_serve_refuses_what_cannot_be_safe(directory: Path) -> None:
    (directory / "threepid.toml").write_text(
        '[server]\nname = "example.org"\npublic_base_url = "http://matrix.example.org"\n[accounts]\nregistration = "open"\n'
    )
    refused = threepid("serve", "-c", "threepid.toml", cwd=directory)
    assert refused.returncode == 1
    assert "[server] public_base_url" in refused.stderr
    assert "[accounts] registration" in refused.stderr


def test_registration_tokens_are_made_listed_and_ended(directory: Path) -> None:
    def tokens(*arguments: str) -> subprocess.CompletedProcess[str]:
        return threepid("registration-token", *arguments, cwd=directory, THREEPID_CONFIG="threepid.toml")

    made = tokens("create")
    assert re.fullmatch(r"[a-z0-9]{26}\n", made.stdout)
    chosen = tokens("create", "--token", "event-berlin", "--uses", "3", "--expires", "30d")
    assert chosen.stdout == "event-berlin\n"
    dated = tokens("create", "--token=-x-", "--expires", "2999-12-31")
    assert dated.stdout == "-x-\n"
    listed = tokens("list").stdout
    rows = [re.split(r" {2,}", line.strip()) for line in listed.splitlines()]
    assert rows[0] == ["hint", "used", "uses allowed", "created", "expires", "state"]
    assert rows[1][:3] == [made.stdout[:6], "0", "any number"]
    assert rows[1][4:] == ["never", "usable"]
    assert rows[2][:3] == ["even", "0", "3"]
    assert rows[3][:3] == ["-", "0", "any number"]
    assert rows[3][4] == "2999-12-31 00:00"
    assert made.stdout.strip() not in listed
    assert "event-berlin" not in listed
    kept = b"".join(file.read_bytes() for file in (directory / "data").glob("threepid.db*"))
    assert made.stdout.strip().encode() not in kept
    assert b"event-berlin" not in kept
    assert tokens("delete", "even").stdout == "deleted even\n"
    assert tokens("delete", made.stdout.strip()).stdout == f"deleted {made.stdout[:6]}\n"
    assert tokens("delete", "--", "-x-").stdout == "deleted -\n"
    again = tokens("delete", "event-berlin")
    assert (again.returncode, again.stderr) == (1, "There is no such token.\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--expires", "soon"), "--expires takes"),
        (("--expires", "2020-01-01"), "in the future"),
        (("--expires", "0d"), "in the future"),
        (("--uses", "0"), "once or more"),
        (("--token", "with space"), "1 to 64 characters"),
    ],
)
def test_a_registration_token_that_makes_no_sense_is_one_sentence(
    directory: Path, arguments: tuple[str, str], sentence: str
) -> None:
    refused = threepid("registration-token", "create", *arguments, "-c", "threepid.toml", cwd=directory)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert sentence in refused.stderr
    assert refused.stderr.count("\n") == 1
