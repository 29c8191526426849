"""The files in `deploy/`: as far as tools without a running systemd or container engine can check them."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

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


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile. https://docs.docker.com/reference/dockerfile/"""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    lines = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines if line.strip()]


def test_the_container_needs_no_root_and_no_shell() -> None:
    found = instructions()
    assert {name for name, _ in found} == {
        "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD",
    }  # fmt: skip
    last = max(index for index, (name, _) in enumerate(found) if name == "FROM")
    final = found[last:]
    assert [value for name, value in final if name == "USER"] == ["10001:10001"]
    assert "RUN" not in {name for name, _ in final}
    for name, value in found:
        if name in {"RUN", "ENTRYPOINT", "CMD", "VOLUME"}:
            assert all(isinstance(word, str) for word in json.loads(value)), value
        if name == "HEALTHCHECK":
            command = json.loads(value.partition(" CMD ")[2])
            compile(command[-1], "health check", "exec")
    for _, value in (one for one in found if one[0] == "FROM"):
        assert re.fullmatch(r"docker\.io/library/python:\d\.\d+-slim(?: AS build)?", value)


def test_the_container_gets_only_pinned_packages_and_files_that_exist() -> None:
    found = instructions()
    for name, value in found:
        if name == "COPY" and "--from=" not in value:
            assert all((DEPLOY.parent / source).exists() for source in value.split()[:-1]), value
        if name == "RUN" and "install" in json.loads(value):
            assert {"--require-hashes", "--no-index"} & {*json.loads(value)}, value
    into_production = [value for name, value in found if name == "RUN" and '"/opt/threepid/bin/python"' in value]
    assert not any("build.txt" in value for value in into_production)


def test_the_containers_variables_are_settings() -> None:
    (environment,) = (value for name, value in instructions() if name == "ENV")
    variables = dict(one.split("=", 1) for one in environment.split())
    made = config.load(None, variables)
    assert (made.server.data_dir, made.server.listen) == ("/data", "0.0.0.0:8008")
    assert [*config.environment_warnings(variables)] == []


def test_the_compose_file_hardens_the_server_and_names_only_what_it_declares() -> None:
    tree: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    server, database = tree["services"]["threepid"], tree["services"]["database"]
    assert (server["read_only"], server["cap_drop"], server["tmpfs"]) == (True, ["ALL"], ["/tmp"])
    for service in (server, database):
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        assert {*service["secrets"]} <= {*tree["secrets"]}
        named = {volume.partition(":")[0] for volume in service["volumes"]}
        assert {name for name in named if not name.startswith(".")} <= {*tree["volumes"]}
    assert all(port.startswith("127.0.0.1:") for port in server["ports"])
    assert "ports" not in database
    build = server["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).exists()
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    settings = "\n".join(re.findall(r"^#     (.*)$", text, re.MULTILINE))
    assert tomllib.loads(settings)["database"]["password_file"] == f"/run/secrets/{database['secrets'][0]}"
