"""`threepid import ma1sd`, as an operator types it."""

import json
import re
from pathlib import Path

import pytest

from ma1sd_database import Ma1sdDatabase, write_keys
from test_cli import threepid
from threepid.importers.ma1sd import configuration
from threepid.importers.source import SourceError

NAME = "example.org"
YAML = """
matrix: {domain: example.org}
key: {path: keys}
storage: {backend: sqlite, provider: {sqlite: {database: ma1sd.db}}}
"""
ARGUMENTS = ("import", "ma1sd", "--config", "ma1sd.yaml", "-c", "threepid.toml")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "threepid.toml").write_text(
        f'[server]\nname = "example.org"\npublic_base_url = "https://x.example.org"\n[identity]\nname = "{NAME}"\n'
    )
    (tmp_path / "ma1sd.yaml").write_text(YAML)
    write_keys(tmp_path / "keys", "AAA", regular={"AAA": b"1" * 32}, ephemeral={"e": b"2" * 32})
    ma1sd = Ma1sdDatabase(f"sqlite:{tmp_path}/ma1sd.db")
    ma1sd.account("@alice:example.org", "token-of-alice-at-ma1sd")
    ma1sd.hashed("@alice:example.org", "alice@example.com")
    ma1sd.close()
    return tmp_path


def test_an_import_with_and_without_the_directory(directory: Path) -> None:
    dry = threepid(*ARGUMENTS, "--dry-run", "--json", cwd=directory)
    assert (dry.returncode, dry.stderr, json.loads(dry.stdout)["findings"]) == (3, "", {"directory": 1})
    done = threepid(*ARGUMENTS, "--with-directory", "--json", cwd=directory)
    assert (done.returncode, done.stderr) == (0, "")
    inserted = {name: count for name, count in json.loads(done.stdout)["inserted"].items() if count}
    assert inserted == {"associations": 1, "tokens": 1, "invitation_keys": 1, "signing_keys": 1}
    listed = json.loads(threepid("keys", "list", "--json", "-c", "threepid.toml", cwd=directory).stdout)
    assert [key["key_id"] for key in listed] == ["ed25519:AAA"]


def test_options_in_place_of_the_configuration(directory: Path) -> None:
    done = threepid(
        "import", "ma1sd", "--database", "sqlite:ma1sd.db", "--server-name", NAME, "--keys", "keys", "-c", "threepid.toml",
        "--json", "--with-directory", cwd=directory,
    )  # fmt: skip
    assert (done.returncode, json.loads(done.stdout)["carried"]["signing_keys"]) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--server-name", "other.example"), 1, 'Set [identity] name = "other.example" first.'),
        (("--database", "sqlite:missing.db"), 2, "missing.db cannot be read: No such file"),
        (("--database", "sqlite:threepid.toml"), 1, "threepid.toml is not a SQLite database."),
        (("--keys", "missing"), 1, "missing/current cannot be read: No such file"),
        (("--config", "threepid.toml"), 2, "threepid.toml, line 2: this is not YAML."),
        (("--config", "nameless.yaml"), 2, "has neither server.name nor matrix.domain."),
    ],
)
def test_a_mistake_is_a_sentence(directory: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
    (directory / "nameless.yaml").write_text("key: {path: keys}\n")
    done = threepid(*ARGUMENTS, *arguments, cwd=directory)
    assert (done.returncode, message in done.stderr) == (status, True), done.stderr
    assert "Traceback" not in done.stderr


def test_the_database_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "ma1sd.yaml"
    postgresql = "{postgresql: {database: '//db.example/ma1sd', username: ma1sd, password: secret}}"
    file.write_text(f"server: {{name: id.example.org}}\nstorage: {{backend: postgresql, provider: {postgresql}}}\n")
    found = configuration.read(file)
    assert (found.server_name, found.database, found.keys) == ("id.example.org", "postgresql://db.example/ma1sd", None)
    assert found.arguments == {"user": "ma1sd", "password": "secret"}
    file.write_text(file.read_text().replace("//db.example/ma1sd", "ma1sd"))
    assert configuration.read(file).database == "postgresql:///ma1sd"
    for storage in ("{}", "{backend: [], provider: 5}", "{backend: oracle}"):
        file.write_text(f"matrix: {{domain: example.org}}\nstorage: {storage}\n")
        with pytest.raises(SourceError, match="names no database"):
            configuration.read(file)


def test_the_commands_of_the_guide(directory: Path) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "moving-from-ma1sd.md").read_text()
    commands = re.findall(r"^ *threepid (import ma1sd .*)$", guide, re.MULTILINE)
    assert ["--dry-run" in command for command in commands] == [True, False]
    for command in commands:
        done = threepid(*command.replace("/etc/ma1sd/", "").replace("/etc/threepid/", "").split(), cwd=directory)
        assert (done.returncode, done.stderr) == (3, ""), command  # because of the directory
