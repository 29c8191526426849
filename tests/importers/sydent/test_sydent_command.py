"""`threepid import sydent`, as an operator types it."""

import json
import re
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from sydent_database import NAME, SydentDatabase
from test_cli import threepid

OWN = '[server]\nname = "example.org"\npublic_base_url = "https://matrix.example.org"\n{more}'
SEED = "SECRETSEED" + "A" * 33
CONF = f"[general]\nserver.name = {NAME}\nterms.path = terms.yaml\n[db]\ndb.file = sydent.db\n[crypto]\ned25519.signingkey = ed25519 0 {SEED}\n"
ARGUMENTS = ("import", "sydent", "--config", "sydent.conf")
TOKEN = "SECRETTOKEN-of-alice-at-sydent"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "threepid.toml").write_text(OWN.format(more=f'[identity]\nname = "{NAME}"\n'))
    (tmp_path / "sydent.conf").write_text(CONF)
    (tmp_path / "terms.yaml").write_text('master_version: "v1"\ndocs: {}\n')
    sydent = SydentDatabase(tmp_path / "sydent.db")
    sydent.account("@alice:hs.example", TOKEN)
    sydent.bind("@alice:hs.example", "alice@example.com")
    sydent.close()
    return tmp_path


def test_an_import_says_what_it_did_and_ends_with_0(directory: Path) -> None:
    dry = threepid(*ARGUMENTS, "-c", "threepid.toml", "--dry-run", cwd=directory)
    assert (dry.returncode, dry.stderr) == (0, "")
    assert dry.stdout.startswith("Dry run: nothing was imported.\n")
    done = threepid(*ARGUMENTS, cwd=directory, THREEPID_CONFIG="threepid.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.strip() for line in done.stdout.splitlines()] == [
        "1  associations, of which 1 are new",
        "0  unbound, of which 0 are new",
        "1  tokens, of which 1 are new",
        "0  invitations, of which 0 are new",
        "0  invitation keys, of which 0 are new",
        "0  accepted terms, of which 0 are new",
        "1  signing keys, of which 1 are new",
        "0  associations changed since the last import",
    ]
    listed = json.loads(threepid("keys", "list", "--json", "-c", "threepid.toml", cwd=directory).stdout)
    assert [(key["key_id"], key["retired_at"]) for key in listed] == [("ed25519:0", None)]


def test_json_and_report_without_secrets_and_status_3(directory: Path) -> None:
    with sqlite3.connect(directory / "sydent.db") as database:
        database.execute("INSERT INTO tokens VALUES ('SECRETweak', '@alice:hs.example')")
        database.execute(
            "INSERT INTO invite_tokens VALUES (1, 'email', 'no address', '!r:x', '@a:x', 'SECRETinvite', 1, NULL)"
        )
    arguments = (*ARGUMENTS, "-c", "threepid.toml", "--json", "--report", "report.jsonl")
    done = threepid(*arguments, cwd=directory)
    assert (done.returncode, done.stderr) == (3, "")
    result = json.loads(done.stdout)
    assert (result["complete"], result["findings"]) == (False, {"weak_token": 1, "invalid_contact": 1})
    report = (directory / "report.jsonl").read_text()
    assert len(report.splitlines()) == 2
    assert stat.S_IMODE((directory / "report.jsonl").stat().st_mode) == 0o600
    for text in (done.stdout, done.stderr, report):
        assert "SECRET" not in text


def test_the_database_holds_hashes_of_tokens(directory: Path) -> None:
    assert threepid(*ARGUMENTS, "-c", "threepid.toml", cwd=directory).returncode == 0
    data = b"".join(file.read_bytes() for file in (directory / "data").glob("threepid.db*"))
    assert b"SECRETTOKEN" not in data
    assert b"alice@example.com" in data


def test_without_a_configuration_of_sydent_no_key_is_imported(directory: Path) -> None:
    done = threepid(
        "import",
        "sydent",
        "--database",
        "sqlite:sydent.db",
        "--server-name",
        NAME,
        "-c",
        "threepid.toml",
        "--json",
        cwd=directory,
    )
    assert (done.returncode, json.loads(done.stdout)["carried"]["signing_keys"]) == (0, 0)


def test_early_settings_stand_in_the_section_default(directory: Path) -> None:
    (directory / "sydent.conf").write_text(f"[DEFAULT]\nserver.name = {NAME}\ndb.file = sydent.db\n")
    assert threepid(*ARGUMENTS, "-c", "threepid.toml", cwd=directory).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("-c", "other.toml"), 1, f'Set [identity] name = "{NAME}" first.'),
        (("-c", "accounts.toml"), 1, "There is no identity server here: the configuration has no [identity]."),
        (("--database", "sqlite:missing.db"), 2, "missing.db cannot be read: No such file"),
        (("--database", "mysql:x"), 2, "The URL of a database begins with `sqlite:`"),
        (("--config", "threepid.db"), 2, "threepid.db cannot be read: No such file"),
        (("--config", "sydent.db"), 2, "sydent.db is not an INI file."),
        (("--config", "terms.yaml"), 2, "terms.yaml is not an INI file."),
        (("--config", "nameless.conf"), 2, "nameless.conf has no server.name."),
        (("--config", "wrong_terms.conf"), 2, "other.yaml has no master_version."),
        (("--config", "wrong_key.conf"), 1, "is not a signing key"),
        (("--report", "no/directory"), 2, "no/directory cannot be written: No such file"),
        (("--no-such-option",), 2, "No such option"),
    ],
)
def test_a_mistake_is_a_sentence(directory: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
    (directory / "other.toml").write_text(OWN.format(more='[identity]\nname = "other.example"\n'))
    (directory / "accounts.toml").write_text(OWN.format(more="[accounts]\n"))
    (directory / "nameless.conf").write_text("[general]\nlog.level = INFO\n")
    (directory / "other.yaml").write_text("docs: {}\n")
    (directory / "wrong_terms.conf").write_text(CONF.replace("terms.yaml", "other.yaml"))
    (directory / "wrong_key.conf").write_text(CONF.replace(SEED, "SECRETSEED"))
    done = threepid(*ARGUMENTS, "-c", "threepid.toml", *arguments, cwd=directory)
    assert (done.returncode, message in " ".join(done.stderr.split())) == (status, True), done.stderr
    assert "Traceback" not in done.stderr
    assert "SECRET" not in done.stderr


def test_neither_configuration_nor_database(directory: Path) -> None:
    for system in ("sydent", "ma1sd"):
        done = threepid("import", system, "-c", "threepid.toml", cwd=directory)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert "or use `--database` together with `--server-name`." in done.stderr


def test_a_key_of_the_same_id_that_has_signed_is_kept(directory: Path) -> None:
    assert threepid("migrate", "-c", "threepid.toml", cwd=directory).returncode == 0
    with sqlite3.connect(directory / "data" / "threepid.db") as database:
        database.execute(
            "INSERT INTO associations VALUES ('email', 'x@example.com', '@x:hs.example', 1, 1, 9999999999999)"
        )
    done = threepid(*ARGUMENTS, "-c", "threepid.toml", cwd=directory)
    assert done.returncode == 1
    assert done.stderr.startswith("Another key ed25519:0 exists already.")
    with sqlite3.connect(directory / "data" / "threepid.db") as database:
        assert database.execute("SELECT COUNT(*) FROM associations").fetchone() == (1,)


def test_the_commands_of_the_guide(directory: Path) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "moving-from-sydent.md").read_text()
    shutil.copy(directory / "sydent.db", directory / "copy.db")
    commands = re.findall(r"^ *threepid (import sydent .*)$", guide, re.MULTILINE)
    assert ["--dry-run" in command for command in commands] == [True, False]
    for command in commands:
        done = threepid(*command.replace("/etc/sydent/", "").replace("/etc/threepid/", "").split(), cwd=directory)
        assert (done.returncode, done.stderr) == (0, ""), command
