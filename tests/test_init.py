"""`threepid init` writes what a new server needs."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from test_cli import threepid


def init(tmp_path: Path, *arguments: str, answers: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "threepid", "init", "etc", "--data-dir", "data", *arguments],
        cwd=tmp_path, input=answers, capture_output=True, text=True, timeout=180,
    )  # fmt: skip


def test_flags_alone_make_a_configuration_keys_and_a_unit(tmp_path: Path) -> None:
    made = init(tmp_path, "--yes", "--name", "example.org", "--relay", "mail.example.org:465")
    assert made.returncode == 0, made.stderr
    file = tmp_path / "etc" / "threepid.toml"
    assert made.stdout.splitlines()[0] == f"wrote {file}"
    tree = tomllib.loads(file.read_text())
    assert tree["server"] == {
        "name": "example.org", "public_base_url": "https://example.org", "data_dir": str(tmp_path / "data"),
    }  # fmt: skip
    assert tree["email"] == {
        "from": "example.org <noreply@example.org>",
        "via": [{"transport": "smtp", "host": "mail.example.org", "port": 465, "tls": "tls"}],
    }
    assert "# Maximum number of" in file.read_text()
    assert {path.name for path in (tmp_path / "data" / "keys").iterdir()} == {"vault.secret", "ed25519_0.key"}
    assert f"serve --config {file}\n" in (tmp_path / "etc" / "threepid.service").read_text()
    assert file.stat().st_mode & 0o777 == 0o640
    checked = threepid("config", "check", "--offline", "-c", str(file), cwd=tmp_path)
    assert (checked.stdout, checked.stderr) == ("The configuration is valid.\n", "")
    assert sorted(path.name for path in (tmp_path / "etc").iterdir()) == ["threepid.service", "threepid.toml"]


def test_five_questions_do_the_same(tmp_path: Path) -> None:
    made = init(tmp_path, answers="example.org\nhttps://matrix.example.org\nidentity\npostgresql:///x?host=/run/p\n\n")
    assert made.returncode == 0, made.stderr
    tree = tomllib.loads((tmp_path / "etc" / "threepid.toml").read_text())
    assert tree["server"]["public_base_url"] == "https://matrix.example.org"
    assert tree["database"]["url"] == "postgresql:///x?host=/run/p"
    assert "identity" in tree
    assert "accounts" not in tree
    assert "email" not in tree


@pytest.mark.parametrize("existing", ["threepid.toml", "threepid.service"])
def test_nothing_that_exists_is_overwritten(tmp_path: Path, existing: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / existing).write_text("mine")
    refused = init(tmp_path, "--yes", "--name", "example.org")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"{tmp_path / 'etc' / existing} exists already: nothing was changed.")
    assert (tmp_path / "etc" / existing).read_text() == "mine"
    assert not (tmp_path / "data").exists()


def test_keys_that_exist_are_kept(tmp_path: Path) -> None:
    assert init(tmp_path, "--yes", "--name", "example.org").returncode == 0
    secret = (tmp_path / "data" / "keys" / "vault.secret").read_text()
    (tmp_path / "etc" / "threepid.toml").unlink()
    assert init(tmp_path, "--yes", "--name", "example.org").returncode == 0
    assert (tmp_path / "data" / "keys" / "vault.secret").read_text() == secret


@pytest.mark.parametrize("relay", ["[2001:db8::25]:587", "2001:db8::25", "[2001:db8::25]"])
def test_a_relay_may_be_an_ipv6_address(tmp_path: Path, relay: str) -> None:
    made = init(tmp_path, "--yes", "--name", "example.org", "--relay", relay)
    assert made.returncode == 0, made.stderr
    (via,) = tomllib.loads((tmp_path / "etc" / "threepid.toml").read_text())["email"]["via"]
    port = {"port": 587} if "587" in relay else {}
    assert via == {"transport": "smtp", "host": "2001:db8::25", **port, "tls": "starttls"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--yes",), "Give --name: the Matrix server name has no default."),
        (("--yes", "--name", "no name"), "[server] name: 'no name' is not the name of a server"),
        (("--yes", "--name", "a.example", "--url", "http://a.example"), "[server] public_base_url: people would"),
        (("--yes", "--name", "a.example", "--roles", "all"), "'all' is none of accounts, identity, both."),
        (("--yes", "--name", "a.example", "--database", "mysql://x"), "[database] url: must begin with sqlite:"),
        (("--yes", "--name", "a.example", "--database", "postgresql://u:p@h/d"), "[database] url: contains a password"),
        (("--yes", "--name", "a.example", "--relay", "smtp://x"), "[email] via[0].host: 'smtp://x' is a URL"),
        (("--yes", "--name", "a.exam\nple"), "[server] name: 'a.exam\\nple' is not the name of a server"),
    ],
)
def test_a_wrong_answer_is_one_sentence_and_writes_nothing(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    refused = init(tmp_path, *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(sentence)
    assert refused.stderr.count("\n") == 1
    assert [*tmp_path.iterdir()] == []


def test_input_that_ends_writes_nothing(tmp_path: Path) -> None:
    assert init(tmp_path, answers="example.org\n").returncode == 1
    assert [*tmp_path.iterdir()] == []
