"""`threepid completion`: a real bash completes commands and options by its script."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from test_cli import threepid


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A `PATH` with threepid."""
    program = tmp_path / "bin" / "threepid"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m threepid "$@"\n')
    program.chmod(0o755)
    return f"{program.parent}:/usr/bin:/bin"


def complete(path: str, folder: Path, *lines: str) -> list[list[str]]:
    """What bash offers when somebody presses Tab at the end of each line."""
    script = """
source <(threepid completion bash)
complete -p threepid
for line in "$@"; do
    IFS=' ' read -ra COMP_WORDS <<< "${line}|"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMP_WORDS[COMP_CWORD]=${COMP_WORDS[COMP_CWORD]%|}
    _threepid_completion threepid
    echo "${COMPREPLY[@]}"
done
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("THREEPID")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, "bash", *lines],
        cwd=folder, capture_output=True, text=True, timeout=300, env={**environment, "PATH": path},
    )  # fmt: skip
    assert done.stderr == ""
    installed, *offers = done.stdout.splitlines()
    assert installed == "complete -o default -F _threepid_completion threepid"
    return [line.split() for line in offers]


def test_bash_completes_commands_and_options(path: str, tmp_path: Path) -> None:
    lines = (
        "threepid regis", "threepid account devices ", "threepid account list --j", "threepid completion ",
        "threepid account show al",
    )  # fmt: skip
    assert complete(path, tmp_path, *lines) == [
        ["registration-token"],
        ["list", "logout"],
        ["--json"],
        ["bash", "zsh", "fish"],
        [],
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["bin"]  # no database was made


def test_bash_completes_the_values_of_options(path: str, tmp_path: Path) -> None:
    lines = (
        "threepid operator-token create desk --scope a", "threepid operator-token create desk --scope accounts : w",
        "threepid operator-token create desk --scope accounts :", "threepid audit export --event loc",
        "threepid audit export --event login_f", "threepid message preview --language pt",
        "threepid message preview --message contact_a", "threepid outbox drop --message contact_a",
        "threepid init --roles i",
    )  # fmt: skip
    # bash splits words at colons, and puts what it completes after the last one.
    assert complete(path, tmp_path, *lines) == [
        ["accounts:read", "accounts:write", "admins:write", "audit:read"],
        ["write"],
        ["read", "write"],
        ["locked"],
        ["login_failed"],
        ["pt-BR"],
        ["contact_added"],
        ["contact_added"],
        ["identity"],
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["bin"]


@pytest.mark.parametrize(("shell", "line"), [("zsh", "#compdef threepid"), ("fish", "complete --command threepid")])
def test_other_shells_have_a_script(tmp_path: Path, shell: str, line: str) -> None:
    made = threepid("completion", shell, cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith(line)


def test_a_shell_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    refused = threepid("completion", "csh", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
