"""Standard output that is a full disk, that nobody reads, or that is closed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXPORT = "config", "show"
HELP = "config", "--help"
EXAMPLE = "config", "example"
"""More than a buffer of text."""


def run(command: tuple[str, ...], redirection: str) -> subprocess.CompletedProcess[str]:
    """The command of a shell that redirects the command's standard output."""
    program = [sys.executable, "-m", "threepid", *command]
    return subprocess.run(
        ["/bin/sh", "-c", f'"$@" {redirection}', "sh", *program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", [EXPORT, HELP, EXAMPLE])
def test_a_full_disk_under_the_output_is_named(command: tuple[str, ...]) -> None:
    """An export into a file on a full disk is not complete, and must not look so."""
    done = run(command, ">/dev/full")
    assert done.returncode == 1
    assert done.stderr == "Standard output cannot be written: No space left on device.\n"


@pytest.mark.parametrize("command", [EXPORT, HELP, EXAMPLE])
def test_output_that_nobody_reads_ends_the_command_quietly(command: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "threepid", *command],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("command", [EXPORT, HELP, EXAMPLE])
@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-"])
def test_closed_output_takes_nothing(command: tuple[str, ...], redirection: str) -> None:
    done = run(command, redirection)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


OLD_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""Python takes the C locale for UTF-8 unless these settings forbid it; then it is as a locale of an older encoding."""


def test_a_locale_without_the_letters_of_a_text_gets_them_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OLD_LOCALE.items():
        monkeypatch.setenv(name, value)
    done = run(("message", "preview", "--message", "contact_added", "--language", "ja"), "")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Subject: @alice:example.org \\u306b" in done.stdout


def test_files_of_messages_are_utf_8_whatever_the_locale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in OLD_LOCALE.items():
        monkeypatch.setenv(name, value)
    command = "message", "preview", "--message", "contact_added", "--language", "ja", "--folder", str(tmp_path / "new")
    done = run(command, "")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "new" / "contact_added.ja.txt").read_text(encoding="utf-8").isascii()


def test_a_full_disk_under_files_of_messages_is_named(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "threepid", "message", "preview", "--folder", str(tmp_path / "new")]
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "A file cannot be written: File too large.\n"
