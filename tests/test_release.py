"""`make release` prepares a release, and sets a tag only when asked."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from test_package import pins

ROOT = Path(__file__).parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout from which version 9.8.7 can be released."""
    for name in ("src/threepid/__init__.py", "requirements/run.txt", "CHANGELOG.md", ".gitignore"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "src/threepid/__init__.py").write_text('__version__ = "9.8.7"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [9.8.7] - 2027-01-31\n")
    (tmp_path / "dist").mkdir()
    for name in ("threepid-9.8.7.tar.gz", "threepid-9.8.7-py3-none-any.whl"):
        (tmp_path / "dist" / name).write_bytes(name.encode())
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x")


def prepare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    identity = {"GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x@example.org", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "prepare-release", *arguments],
        cwd=folder, env=identity, capture_output=True, text=True,
    )  # fmt: skip


def test_a_release_has_sums_and_a_bill_of_materials_and_no_tag(checkout: Path) -> None:
    made = prepare(checkout)
    assert (made.returncode, made.stdout) == (0, "dist/ has threepid 9.8.7\n"), made.stderr
    assert git(checkout, "tag") == ""
    lines = (checkout / "dist" / "SHA256SUMS").read_text().splitlines()
    assert len(lines) == 3
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((checkout / "dist" / name).read_bytes()).hexdigest() == digest
    bill = json.loads((checkout / "dist" / "threepid-9.8.7.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["serialNumber"])
    assert {one["name"] for one in bill["components"]} == pins("run.txt")
    references = [one["bom-ref"] for one in bill["components"]]
    assert len(set(references)) == len(references)
    assert bill["dependencies"] == [{"ref": "pkg:pypi/threepid@9.8.7", "dependsOn": references}]
    text = (checkout / "requirements" / "run.txt").read_text()
    hashes = [file["hashes"][0]["content"] for one in bill["components"] for file in one["externalReferences"]]
    assert sorted(hashes) == sorted(re.findall(r"sha256:([0-9a-f]{64})", text))
    assert prepare(checkout).returncode == 0
    assert json.loads((checkout / "dist" / "threepid-9.8.7.cdx.json").read_text()) == bill


def test_a_tag_is_set_when_asked_and_only_once(checkout: Path) -> None:
    assert prepare(checkout, "--tag").returncode == 0
    assert git(checkout, "tag") == "v9.8.7\n"
    again = prepare(checkout, "--tag")
    assert again.returncode == 1
    assert again.stderr.startswith("The tag v9.8.7 exists already")


def test_everything_that_is_missing_is_said_at_once(checkout: Path) -> None:
    (checkout / "CHANGELOG.md").write_text("## [9.8.7] - soon\n")
    (checkout / "dist" / "threepid-9.8.7.tar.gz").unlink()
    refused = prepare(checkout, "--tag")
    assert refused.returncode == 1
    assert [line.partition(":")[0] for line in refused.stderr.splitlines()] == [
        "The working tree has changes",
        "CHANGELOG.md has no section `## [9.8.7] - YYYY-MM-DD`",
        "dist/threepid-9.8.7.tar.gz is missing",
    ]
    assert git(checkout, "tag") == ""
    assert not (checkout / "dist" / "SHA256SUMS").exists()


def audited(folder: Path, output: str, errors: str = "", status: int = 0) -> subprocess.CompletedProcess[str]:
    """The audit with a pip-audit that answers so."""
    program = folder / "pip-audit"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.stdout.write({output!r})\nsys.stderr.write({errors!r})\nsys.exit({status})\n"
    )
    program.chmod(0o755)
    script = str(ROOT / "scripts" / "audit-dependencies")
    return subprocess.run([sys.executable, script, str(program), "run.txt"], capture_output=True, text=True)


FLAW = {"id": "PYSEC-2099-1", "fix_versions": ["1.1"], "aliases": [], "description": "x"}
SOUND = {"name": "idna", "version": "3.11", "vulns": []}


def test_a_known_vulnerability_stops_a_release(tmp_path: Path) -> None:
    flawed = {"name": "aiohttp", "version": "1.0", "vulns": [FLAW]}
    done = audited(tmp_path, json.dumps({"dependencies": [SOUND, flawed]}), status=1)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "aiohttp 1.0: PYSEC-2099-1, fixed in 1.1\n"
    sound = audited(tmp_path, json.dumps({"dependencies": [SOUND]}))
    assert (sound.returncode, sound.stderr) == (0, "")


def test_an_audit_without_its_database_is_said_and_stops_nothing(tmp_path: Path) -> None:
    skipped = {"name": "yarl", "skip_reason": "Dependency not found on PyPI and could not be audited: yarl (1)"}
    done = audited(tmp_path, json.dumps({"dependencies": [SOUND, skipped]}))
    assert (done.returncode, done.stderr.count("NOT AUDITED: yarl")) == (0, 1)
    nothing = audited(tmp_path, json.dumps({"dependencies": [skipped]}))
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert nothing.stderr.startswith("NOT AUDITED: ")
    away = audited(tmp_path, "", "Traceback\nrequests.exceptions.ConnectTimeout: nobody answers\n", 1)
    assert (away.returncode, away.stdout) == (0, "")
    assert "cannot be reached (requests.exceptions.ConnectTimeout: nobody answers)" in away.stderr


def test_an_audit_that_fails_otherwise_stops_a_release(tmp_path: Path) -> None:
    for errors in ("ERROR:pip_audit._cli:invalid requirement\n", ""):
        done = audited(tmp_path, "", errors, 1)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("pip-audit failed: ")
