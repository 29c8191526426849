"""The wheel and the source distribution: what is in them, and a server that starts from an installation of them alone."""

import re
import subprocess
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import httpx
import pytest

from distribution import ROOT, run
from rig import free_port, wait_for
from threepid import __version__

PACKAGE = ROOT / "src" / "threepid"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an empty environment into which the wheel and its pinned dependencies were installed."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    pip = (programs / "python", "-m", "pip", "install", "--quiet", "--no-compile")
    run(*pip, "--require-hashes", "-r", ROOT / "requirements" / "run.txt", cwd=folder)
    run(*pip, "--no-deps", wheel, cwd=folder)
    return programs


def pins(name: str) -> set[str]:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9][\w.-]*)==", text, re.MULTILINE))


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    there = {
        str(Path("threepid") / file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {Path(name).suffix for name in there} >= {".py", ".sql", ".html", ".txt", ".css", ".js", ".po", ".pot"}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name for name in names if ".dist-info/" not in name} == there


def test_the_source_distribution_has_the_tests_the_guides_and_no_leftovers(source: Path) -> None:
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {
        "LICENSE", "CHANGELOG.md", "Makefile", "requirements/run.txt", "tests/test_package.py", "docs/guides/README.md",
    }  # fmt: skip
    assert [
        name for name in names if re.search(r"__pycache__|\.pyc$|^\.venv|threepid-data|node_modules|^\.git/", name)
    ] == []


def test_the_wheel_says_what_it_is_and_what_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        about = Parser().parsestr(archive.read(name).decode())
    assert (about["Name"], about["Version"], about["License-Expression"]) == ("threepid", __version__, "Apache-2.0")
    assert about["Requires-Python"] == ">=3.11"
    needed = {re.split(r"[\[<>=;]", one)[0] for one in about.get_all("Requires-Dist", []) if "extra ==" not in one}
    assert needed <= pins("run.txt")
    assert needed.isdisjoint(pins("build.txt"))


def test_what_only_builds_or_tests_is_not_among_the_pins_of_production() -> None:
    production = pins("run.txt")
    assert len(production) > 30
    assert production.isdisjoint(pins("build.txt"))
    assert production.isdisjoint({"hatchling", "pytest", "mypy", "ruff", "hypothesis", "uv"})
    assert production | pins("build.txt") <= pins("dev.txt")


def test_an_empty_environment_gets_only_what_runs(installed: Path) -> None:
    listed = run(installed / "python", "-m", "pip", "list", "--format=freeze", cwd=installed)
    names = {line.partition("==")[0].lower().replace("_", "-") for line in listed.split()}
    assert names - pins("run.txt") <= {"threepid", "pip", "setuptools"}
    run(installed / "python", "-m", "pip", "check", cwd=installed)


def test_an_installed_server_starts_and_has_its_pages_styles_and_languages(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "threepid", "--version", cwd=tmp_path) == f"threepid {__version__}\n"
    shown = run(installed / "threepid", "message", "preview", "--message", "bound", "--language", "de", cwd=tmp_path)
    assert "Subject: " in shown
    port = free_port()
    environment = {
        "PATH": "/usr/bin:/bin",
        "THREEPID__SERVER__LISTEN": f"127.0.0.1:{port}",
        "THREEPID__SERVER__PUBLIC_BASE_URL": f"http://localhost:{port}",
    }
    log = tmp_path / "log"
    with log.open("wb") as file:
        server = subprocess.Popen([installed / "threepid", "serve"], cwd=tmp_path, env=environment, stderr=file)
    try:
        with httpx.Client(base_url=f"http://localhost:{port}", headers={"Accept-Language": "de"}) as http:
            wait_for(lambda: _answers(http), seconds=60, what=f"an answer: {log.read_text()}")
            page = http.get("/account/", follow_redirects=True)
            assert (page.status_code, 'lang="de"' in page.text) == (200, True)
            for path in {*re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)}:
                assert http.get(path).status_code == 200, path
            assert http.get("/_threepid/health/ready").status_code == 200
    finally:
        server.terminate()
        assert server.wait(60) == 0


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/_matrix/client/versions").status_code == 200
    except httpx.TransportError:
        return False
