"""What commands print of the texts of strangers: in JSON and in errors, it holds no terminal codes."""

import json
import sqlite3
from pathlib import Path

import pytest

from test_cli import threepid
from threepid.cli.tables import print_json, print_object

HOSTILE = "\x1b]0;x\x07 \x9b31m \x7f \x85 \u2028 \N{RIGHT-TO-LEFT OVERRIDE} \ud800 \U000e0041 \\u0041"


def test_JSON_has_no_terminal_codes_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": HOSTILE, HOSTILE: ["Grüße, 日本 😀"]}
    print_object(value)
    one = capsys.readouterr().out
    print_json([value])
    several = capsys.readouterr().out
    assert json.loads(one) == value
    assert json.loads(several) == [value]
    for said in (one, several):
        assert said.replace("\n", "").isprintable()
        assert "Grüße, 日本 😀" in said


def test_an_error_has_no_terminal_codes(tmp_path: Path) -> None:
    """SQLite quotes names of a forged schema, and so does the import."""
    (tmp_path / "threepid.toml").write_text(
        '[server]\nname = "example.org"\npublic_base_url = "https://x.example.org"\n[accounts]\n'
    )
    file = sqlite3.connect(tmp_path / "forged.db")
    file.execute("CREATE TABLE users (name TEXT)")
    file.execute("PRAGMA writable_schema = 1")
    file.execute("UPDATE sqlite_schema SET name = ?, sql = 'CREATE TABLE x (broken'", ("\x1b]0;x\x07\n\x9b31m",))
    file.commit()
    file.close()
    arguments = ("--database", "sqlite:forged.db", "--server-name", "example.org", "-c", "threepid.toml")
    done = threepid("import", "synapse", *arguments, cwd=tmp_path)
    assert (done.returncode, "malformed database schema" in done.stderr) == (1, True), done.stderr
    assert done.stderr.replace("\n", "").isprintable()
