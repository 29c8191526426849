"""F65: somebody presses Ctrl-C. The command ends with one line and status 130, and what it was about was done or not begun."""

import json
import os
import pty
import select
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import threepid as package
from synapse_database import SynapseDatabase
from test_cli import threepid

CONFIG = '[server]\nname = "example.org"\npublic_base_url = "https://matrix.example.org"\n[accounts]\n[identity]\n'
ENVIRONMENT = {"THREEPID_CONFIG": "threepid.toml", "NO_COLOR": "1"}
traced = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is missing: run scripts/system-packages strace"
)
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "threepid.toml").write_text(CONFIG)
    (tmp_path / "password").write_text("a long password\n")
    for command in (("migrate",), ("keys", "generate")):
        assert threepid(*command, cwd=tmp_path, **ENVIRONMENT).returncode == 0
    return tmp_path


def interrupted(folder: Path, calls: str, when: int, *command: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command, which gets SIGINT at the `when`th of these system calls (about a file, if a path is given)."""
    return subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", *(("-P", path) if path else ()), "-e", f"trace={calls}",
         "-e", f"inject={calls}:signal=INT:when={when}", sys.executable, "-m", "threepid", *command],
        cwd=folder, capture_output=True, text=True, timeout=180, env={**os.environ, **ENVIRONMENT},
    )  # fmt: skip


def typed(folder: Path, *command: str, until: str) -> tuple[int, str]:
    """The status of a command that asks until Ctrl-C is pressed after `until`, and what the terminal shows."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execve(sys.executable, [sys.executable, "-m", "threepid", *command], {**os.environ, **ENVIRONMENT})
    shown = b""
    for _ in range(60):
        if not select.select([terminal], [], [], 1)[0]:
            if until.encode() in shown:
                os.write(terminal, b"\x03")  # again: between writing a prompt and reading, Python notes it and reads on
            continue
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the other side is closed
            break
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown.decode()


def accounts(folder: Path) -> int:
    with sqlite3.connect(folder / "data" / "threepid.db") as database:
        return int(database.execute("SELECT COUNT(*) FROM accounts").fetchone()[0])


@traced
@pytest.mark.parametrize("when", [1, 2])
def test_a_command_that_writes_the_database(directory: Path, when: int) -> None:
    command = ("account", "create", "alice", "--password-file", "password")
    done = interrupted(directory, "fdatasync,fsync", when, *command)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")
    again = threepid(*command, cwd=directory, **ENVIRONMENT)
    assert (again.returncode, again.stderr) in {(0, ""), (1, "This user ID is already taken.\n")}
    assert accounts(directory) == 1


@traced
@pytest.mark.parametrize("when", [1, 2])
def test_a_command_that_writes_several_files(directory: Path, when: int) -> None:
    assert (
        threepid("account", "list", cwd=directory, **ENVIRONMENT).returncode == 0
    )  # makes the other files of the folder
    done = interrupted(directory, "fsync", when, "keys", "rotate", path=str(directory / "data" / "keys"))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")
    assert keys_in_force_and_retired(directory) == (1, 1)


@traced
def test_a_command_that_notes_what_it_is_about_to_write(directory: Path) -> None:
    assert threepid("account", "list", cwd=directory, **ENVIRONMENT).returncode == 0
    done = interrupted(directory, "fdatasync,fsync", 1, "keys", "rotate")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")
    assert keys_in_force_and_retired(directory) == (1, 0)


def keys_in_force_and_retired(folder: Path) -> tuple[int, int]:
    listed = threepid("keys", "list", cwd=folder, **ENVIRONMENT).stdout
    return listed.count("in force"), listed.count("retired")


@traced
def test_a_copy_of_the_database(directory: Path) -> None:
    command = ("database", "copy", "--to", "sqlite:new.db")
    done = interrupted(directory, "pwrite64", 5, *command, path=str(directory / "new.db"))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")
    again = threepid(*command, cwd=directory, **ENVIRONMENT)
    assert (again.returncode, again.stderr) == (0, "")


@traced
def test_an_import(directory: Path) -> None:
    synapse = SynapseDatabase(f"sqlite:{directory}/homeserver.db")
    for number in range(1500):
        synapse.user(f"@u{number:05}:example.org", appservice_id="x")
    synapse.close()
    command = (
        "import", "synapse", "--database", "sqlite:homeserver.db", "--server-name", "example.org", "--report", "report",
    )  # fmt: skip
    done = interrupted(directory, "fdatasync", 3, *command)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")
    assert not (directory / "report").exists()
    again = threepid(*command, "--json", cwd=directory, **ENVIRONMENT)
    result = json.loads(again.stdout)
    assert (again.returncode, result["unchanged"] + result["inserted"]["accounts"]) == (0, 1500)


@traced
def test_while_the_program_is_loaded(directory: Path) -> None:
    late = str(Path(package.__file__).parent / "cli" / "suppressions.py")
    done = interrupted(directory, "newfstatat", 1, "account", "list", path=late)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


def test_at_a_prompt(directory: Path) -> None:
    status, shown = typed(directory, "account", "create", "alice", until="Password: ")
    assert status == 130, shown
    assert shown.splitlines()[0].startswith("Password:")
    assert shown.splitlines()[-1].endswith("Aborted.")
    assert len(shown.splitlines()) == 2
    assert accounts(directory) == 0


def test_where_nothing_but_yes_continues(directory: Path) -> None:
    assert threepid("account", "list", cwd=directory, **ENVIRONMENT).returncode == 0
    (directory / "data" / "keys" / "vault.secret").unlink()
    status, shown = typed(directory, "keys", "accept-new-secret", until="[y/N]: ")
    assert status == 130, shown
    assert shown.endswith("Aborted.\r\n")
    assert threepid("account", "list", cwd=directory, **ENVIRONMENT).returncode == 1
