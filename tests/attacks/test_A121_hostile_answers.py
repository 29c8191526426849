"""A121: an answer to `threepid init` ends up in a file that root reads, and must stay an answer there."""

import tomllib
from pathlib import Path

import pytest

from test_init import init


@pytest.mark.parametrize(
    "arguments",
    [
        ("--name", 'a.example"\n[limits]\nall = "off"\nx = "'),
        ("--name", "a.example", "--url", 'https://a.example"\n[limits]\nall = "off"'),
        ("--name", "a.example", "--relay", 'm.example", ca_file = "/etc/shadow'),
        ("--name", "a.example", "--relay", "m.example\nBcc: x"),
        ("--name", "a.example", "--database", 'sqlite:x"\npool_size = 200\ny = "'),
        ("--name", "a.example", "--database", "sqlite::memory:"),
        ("--name", "a.example", "--data-dir", "/tmp/x\nExecStartPre=/bin/sh"),
        ("--name", "a.example", "--data-dir", "/tmp/%h $HOME ; x"),
        ("--name", "\x1b[2J"),
    ],
)
def test_a_hostile_answer_is_rejected_and_writes_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    refused = init(tmp_path, "--yes", *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Traceback" not in refused.stderr
    assert [*tmp_path.iterdir()] == []


def test_a_quote_in_an_answer_stays_in_its_setting(tmp_path: Path) -> None:
    made = init(tmp_path, "--yes", "--name", "a.example", "--database", 'sqlite:a"b\\c')
    assert made.returncode == 0, made.stderr
    assert tomllib.loads((tmp_path / "etc" / "threepid.toml").read_text())["database"] == {"url": 'sqlite:a"b\\c'}


def test_a_link_that_somebody_put_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "threepid.toml").symlink_to(tmp_path / "elsewhere")
    refused = init(tmp_path, "--yes", "--name", "a.example")
    assert refused.returncode == 2
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "data").exists()
