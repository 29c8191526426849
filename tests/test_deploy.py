"""The files in `deploy/`: as far as tools without a running systemd or container engine can check them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from threepid import config
from threepid.cli.installing import unit

DEPLOY = Path(__file__).parent.parent / "deploy"
UNIT = (DEPLOY / "threepid.service").read_text(encoding="utf-8")
systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing: run scripts/system-packages systemd"
)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "SYSTEMD_COLORS": "0"})


def test_the_unit_is_the_one_that_init_writes() -> None:
    assert unit(Path("/opt/threepid/bin/threepid"), Path("/etc/threepid/threepid.toml")) == UNIT


@systemd
def test_systemd_has_nothing_to_say_about_the_unit(tmp_path: Path) -> None:
    file = tmp_path / "threepid.service"
    file.write_text(unit(Path(sys.executable), Path("/etc/threepid/threepid.toml")))
    done = run("systemd-analyze", "verify", "--man=no", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@systemd
def test_the_unit_is_hardened() -> None:
    done = run(
        "systemd-analyze",
        "security",
        "--offline=true",
        "--threshold=20",
        "--no-pager",
        str(DEPLOY / "threepid.service"),
    )
    assert done.returncode == 0, done.stdout
    assert float(re.search(r"exposure level for threepid.service: ([\d.]+)", done.stdout)[1]) < 2  # type: ignore[index]


@systemd
def test_the_user_and_the_folders_are_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    done = run("systemd-sysusers", f"--root={tmp_path}", str(DEPLOY / "threepid.sysusers"))
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^threepid:x:\d+:\d+:threepid server:/var/lib/threepid:",
        (tmp_path / "etc" / "passwd").read_text(),
        re.MULTILINE,
    )
    made = run("systemd-tmpfiles", f"--root={tmp_path}", "--create", str(DEPLOY / "threepid.tmpfiles"))
    if os.geteuid() == 0:
        assert made.returncode == 0, made.stderr
        assert (tmp_path / "etc" / "threepid").stat().st_mode & 0o777 == 0o750
        assert (tmp_path / "var" / "lib" / "threepid").stat().st_mode & 0o777 == 0o700


def test_a_secret_without_a_folder_is_systemds_copy_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "database.password").write_text("x")
    file = tmp_path / "threepid.toml"
    file.write_text('identity = {}\n[database]\npassword_file = "database.password"\n')
    assert config.load(file, {}).database.password_file == str(tmp_path / "database.password")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert config.load(file, {}).database.password_file == str(tmp_path / "credentials" / "database.password")
    for other in ("./database.password", "other.password", "../x/database.password"):
        file.write_text(f'identity = {{}}\n[database]\npassword_file = "{other}"\n')
        assert config.load(file, {}).database.password_file == str(tmp_path / other)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "credentials")
    file.write_text('identity = {}\n[database]\npassword_file = "database.password"\n')
    assert config.load(file, {}).database.password_file == str(tmp_path / "database.password")
