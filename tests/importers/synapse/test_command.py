"""`threepid import synapse`, as an operator types it."""

import json
import sqlite3
from pathlib import Path

import pytest

from synapse_database import SynapseDatabase
from test_cli import threepid

OWN = '[server]\nname = "{name}"\npublic_base_url = "https://matrix.example.org"\n{more}[accounts]\n'
YAML = "server_name: example.org\ndatabase: {name: sqlite3, args: {database: homeserver.db}}\n"
ARGUMENTS = ("import", "synapse", "--config", "homeserver.yaml")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "threepid.toml").write_text(OWN.format(name="example.org", more=""))
    (tmp_path / "homeserver.yaml").write_text(YAML)
    synapse = SynapseDatabase(f"sqlite:{tmp_path}/homeserver.db")
    synapse.user("@alice:example.org", "password")
    synapse.device("@alice:example.org", "PHONE", "syt_phone_of_alice")
    synapse.close()
    return tmp_path


def test_an_import_says_what_it_did_and_ends_with_0(directory: Path) -> None:
    dry = threepid(*ARGUMENTS, "-c", "threepid.toml", "--dry-run", cwd=directory)
    assert (dry.returncode, dry.stderr) == (0, "")
    assert dry.stdout.startswith("Dry run: nothing was imported.\n")
    done = threepid(*ARGUMENTS, cwd=directory, THREEPID_CONFIG="threepid.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(maxsplit=1)[1] for line in done.stdout.splitlines()] == [
        "accounts, of which 1 are new",
        "passwords, of which 1 are new",
        "contacts, of which 0 are new",
        "devices, of which 1 are new",
        "access tokens, of which 1 are new",
        "refresh tokens, of which 0 are new",
        "accounts changed since the last import",
    ]
    listed = threepid("account", "list", "-c", "threepid.toml", cwd=directory)
    assert "@alice:example.org" in listed.stdout


def test_a_time_that_no_calendar_has_hides_no_account(directory: Path) -> None:
    """Such as milliseconds, or microseconds, where Synapse has seconds and milliseconds."""
    synapse = SynapseDatabase(f"sqlite:{directory}/other.db")
    synapse.user("@bob:example.org", "password", creation_ts=1_700_000_000_000)
    synapse.contact("@bob:example.org", "email", "bob@example.com", added_at=1_700_000_000_000_000)
    synapse.device("@bob:example.org", "PHONE", last_seen=1_700_000_000_000_000)
    synapse.token("@bob:example.org", "PHONE", "syt_token_of_bob_1", valid_until_ms=2**60)
    synapse.close()
    done = threepid(
        *ARGUMENTS, "--database", "sqlite:other.db", "-c", "threepid.toml", "--report", "report.jsonl", cwd=directory
    )
    assert done.returncode == 3
    findings = [json.loads(line)["detail"] for line in (directory / "report.jsonl").read_text().splitlines()]
    assert findings == ["users.creation_ts", "user_threepids: email bob@example.com"]
    for command in (("account", "list"), ("account", "show", "bob")):
        shown = threepid(*command, "-c", "threepid.toml", cwd=directory)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "1970-01-01" in shown.stdout
    assert "1  access tokens, of which 1 are new" in done.stdout


def test_json_and_report_and_status_3(directory: Path) -> None:
    with sqlite3.connect(directory / "homeserver.db") as database:
        database.execute("INSERT INTO user_threepids VALUES ('@alice:example.org', 'email', 'no address', 1, 2)")
    arguments = (*ARGUMENTS, "-c", "threepid.toml", "--json", "--report", "report.jsonl")
    done = threepid(*arguments, cwd=directory)
    assert (done.returncode, done.stderr) == (3, "")
    result = json.loads(done.stdout)
    assert (result["complete"], result["findings"], result["mismatches"]) == (False, {"invalid_contact": 1}, [])
    assert result["found"]["users"] == result["carried"]["accounts"] == result["inserted"]["accounts"] == 1
    (line,) = (directory / "report.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "kind": "invalid_contact",
        "user_id": "@alice:example.org",
        "detail": "email no address",
    }


def test_without_a_configuration_of_synapse(directory: Path) -> None:
    (directory / "pepper").write_text("pepper\n")
    done = threepid(
        "import", "synapse", "--database", "sqlite:homeserver.db", "--server-name", "example.org", "--pepper-file", "pepper",
        "-c", "threepid.toml", cwd=directory,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    with sqlite3.connect(directory / "data" / "threepid.db") as database:
        ((password_hash,),) = database.execute("SELECT password_hash FROM accounts")
    assert password_hash.startswith("$peppered$")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("-c", "other.toml"), 1, "Synapse's server name is example.org, and the one of threepid is other.example."),
        (("-c", "identity.toml"), 1, "There is no homeserver here: the configuration has no [accounts]."),
        (("-c", "switched.toml"), 1, "Before the switch, import without that section."),
        (("-c", "threepid.toml", "--database", "sqlite:missing.db"), 2, "missing.db cannot be read: No such file"),
        (("-c", "threepid.toml", "--server-name", "example.org"), 2, "are for imports without `--config`"),
        (("-c", "threepid.toml", "--config", "threepid.toml"), 2, "threepid.toml, line 2: this is not YAML."),
        (("-c", "threepid.toml", "--config", "missing.yaml"), 2, "missing.yaml cannot be read: No such file"),
        (("-c", "threepid.toml", "--report", "no/directory"), 2, "no/directory cannot be written: No such file"),
    ],
)
def test_a_mistake_is_a_sentence(directory: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
    (directory / "other.toml").write_text(OWN.format(name="other.example", more=""))
    (directory / "identity.toml").write_text(
        OWN.format(name="example.org", more="").replace("[accounts]", "[identity]")
    )
    (directory / "secret").write_text("secret of both")
    (directory / "secret").chmod(0o600)
    section = '[homeserver]\nkind = "synapse"\nurl = "http://127.0.0.1:1"\nsecret_file = "secret"\n'
    (directory / "switched.toml").write_text(OWN.format(name="example.org", more=section))
    done = threepid(*ARGUMENTS, *arguments, cwd=directory)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_neither_configuration_nor_database(directory: Path) -> None:
    done = threepid("import", "synapse", "-c", "threepid.toml", cwd=directory)
    assert (done.returncode, done.stderr) == (
        2,
        "Name Synapse's homeserver.yaml with `--config`, or use `--database` together with `--server-name`.\n",
    )
