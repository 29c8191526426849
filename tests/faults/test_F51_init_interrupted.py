"""F51: `threepid init` is killed or interrupted at each of the files that it creates."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from test_cli import threepid
from test_init import init

FILES = 4
"""Two keys, the unit and the configuration."""


def interrupted(tmp_path: Path, signal: str, when: int) -> int:
    """Run `init`, which gets the signal at the `when`th file that it puts in its place."""
    command = (sys.executable, "-m", "threepid", "init", "etc", "--data-dir", "data", "--yes", "--name", "a.example")
    inject = f"inject=link,linkat:signal={signal}:when={when}"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=link,linkat", "-e", inject, *command],
        cwd=tmp_path, capture_output=True, timeout=180,
    )  # fmt: skip
    return done.returncode


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing: run scripts/system-packages strace")
@pytest.mark.parametrize("when", range(1, FILES + 1))
def test_an_init_that_was_killed_can_be_run_again(tmp_path: Path, when: int) -> None:
    assert interrupted(tmp_path, "KILL", when) != 0
    secrets = {file: file.read_text() for file in tmp_path.glob("data/keys/[!.]*")}
    if not (tmp_path / "etc" / "threepid.toml").exists():
        assert init(tmp_path, "--yes", "--name", "a.example").returncode == 0
    assert {file: file.read_text() for file in secrets} == secrets
    checked = threepid("config", "check", "--offline", "-c", "etc/threepid.toml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing: run scripts/system-packages strace")
@pytest.mark.parametrize("signal", ["INT", "TERM"])
@pytest.mark.parametrize("when", range(1, FILES))
def test_an_init_that_was_interrupted_leaves_nothing(tmp_path: Path, signal: str, when: int) -> None:
    assert interrupted(tmp_path, signal, when) != 0
    assert [*tmp_path.iterdir()] == []
