"""A117: what an import prints and reports, and the files that it makes, hold no secret and no terminal codes."""

import json
import sqlite3
import stat
from pathlib import Path

import pytest

from synapse_database import SynapseDatabase, synapse_hash
from test_cli import threepid

PEPPER, PASSWORD_OF_THE_DATABASE = "PEPPERSECRET", "DATABASESECRET"
TOKENS = ["syt_SECRETTOKEN_of_alice", "syt_SECRETTOKEN_expired", "syt_SECRETTOKEN_puppet", "SECRETweak", "syt_SECRETTOKEN_homeless",
          "syr_SECRETTOKEN_spent", "syr_SECRETTOKEN_fresh"]  # fmt: skip


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "threepid.toml").write_text(
        '[server]\nname = "example.org"\npublic_base_url = "https://x.example.org"\n[accounts]\n'
    )
    synapse = SynapseDatabase(f"sqlite:{tmp_path}/homeserver.db", strict=False)
    alice = "@alice:example.org"
    synapse.user(alice, "password", pepper=PEPPER)
    synapse.user("@\x1b[31mred:example.org", "password", pepper=PEPPER)
    synapse.user("@odd:example.org", password_hash="$SECRETHASH$" + synapse_hash("x"))
    synapse.device(alice, "PHONE", TOKENS[0])
    synapse.token(alice, "PHONE", TOKENS[1], valid_until_ms=1)
    synapse.token(alice, "PHONE", TOKENS[2], puppets_user_id="@admin:example.org")
    synapse.token(alice, "PHONE", TOKENS[3])
    synapse.token(alice, None, TOKENS[4])
    fresh = synapse.refresh(alice, "PHONE", TOKENS[6])
    synapse.refresh(alice, "PHONE", TOKENS[5], next_token_id=fresh)
    synapse.token(alice, "PHONE", "syt_SECRETTOKEN_issued_with_it", refresh_token_id=fresh, used=1)
    synapse.close()
    (tmp_path / "homeserver.yaml").write_text(
        'server_name: "example.org"\n'
        f'database: {{name: sqlite3, args: {{database: "{tmp_path}/homeserver.db", password: "{PASSWORD_OF_THE_DATABASE}"}}}}\n'
        f'password_config: {{pepper: "{PEPPER}"}}\nmacaroon_secret_key: "MACAROONSECRET"\n'
    )
    return tmp_path


@pytest.mark.parametrize("as_json", [False, True])
def test_A117_nothing_printed_or_reported_is_secret(directory: Path, as_json: bool) -> None:
    arguments = ["import", "synapse", "--config", "homeserver.yaml", "-c", "threepid.toml", "--report", "report"]
    done = threepid(*arguments, *(["--json"] if as_json else []), cwd=directory)
    assert done.returncode == 3, done.stderr
    report = (directory / "report").read_text()
    kinds = {json.loads(line)["kind"] for line in report.splitlines()}
    assert {"expired_token", "puppet_token", "weak_token", "unknown_password", "spent_token", "invalid_user"} <= kinds
    for text in (done.stdout, done.stderr, report):
        assert "SECRET" not in text
        assert "\x1b" not in text
        assert "$2b$" not in text
    assert stat.S_IMODE((directory / "report").stat().st_mode) == 0o600


def test_A117_the_database_holds_hashes_and_no_pepper(directory: Path) -> None:
    done = threepid("import", "synapse", "--config", "homeserver.yaml", "-c", "threepid.toml", cwd=directory)
    assert done.returncode == 3
    with sqlite3.connect(directory / "data" / "threepid.db") as database:
        dump = "\n".join(database.iterdump())
    assert "SECRET" not in dump
    assert "$peppered$" in dump
    for file in (directory / "data" / "keys").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert PEPPER not in file.name


def test_A117_a_file_that_exists_is_not_overwritten_by_the_report(directory: Path) -> None:
    for name in ("homeserver.yaml", "link"):
        if name == "link":
            (directory / name).symlink_to(directory / "threepid.toml")
        before = (directory / name).read_text()
        done = threepid(
            "import", "synapse", "--config", "homeserver.yaml", "-c", "threepid.toml", "--report", name, cwd=directory
        )
        assert (done.returncode, done.stderr) == (2, f"{name} exists already.\n")
        assert (directory / name).read_text() == before


def test_A117_a_password_of_postgresql_is_in_no_message(directory: Path) -> None:
    for url in (
        f"postgresql://synapse:{PASSWORD_OF_THE_DATABASE}@127.0.0.1:1/synapse",
        f"postgresql://synapse:{PASSWORD_OF_THE_DATABASE}@[bad/synapse",
        f"postgresql://synapse:{PASSWORD_OF_THE_DATABASE}@localhost/synapse?what=1",
    ):
        done = threepid(
            "import", "synapse", "--database", url, "--server-name", "example.org", "-c", "threepid.toml", cwd=directory
        )
        assert done.returncode == 1
        assert "SECRET" not in done.stdout + done.stderr
        assert "PostgreSQL" in done.stderr


@pytest.mark.parametrize("password", ["x@SECRET", "x/SECRET", "12/SECRET@a"])
def test_A117_a_password_that_splits_its_url_is_in_no_message(directory: Path, password: str) -> None:
    """libpq takes the rest of such a password for the host or the port, and its error quotes that."""
    url = f"postgresql://synapse:{password}@127.0.0.1:1/synapse"
    arguments = ["import", "synapse", "--database", url, "--server-name", "example.org", "-c", "threepid.toml"]
    done = threepid(*arguments, cwd=directory)
    assert done.returncode == 1
    assert "SECRET" not in done.stdout + done.stderr
    assert "PostgreSQL" in done.stderr
    assert "percent-encoded" in done.stderr


def test_A117_the_reason_of_a_plain_url_is_told(directory: Path) -> None:
    for user in ("synapse", f"synapse:{PASSWORD_OF_THE_DATABASE}"):
        url = f"postgresql://{user}@127.0.0.1:1/synapse"
        arguments = ["import", "synapse", "--database", url, "--server-name", "example.org", "-c", "threepid.toml"]
        assert "Connection refused" in threepid(*arguments, cwd=directory).stderr
