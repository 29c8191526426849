"""The source distribution and the wheel of this checkout, built without the checkout's environment."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command in an environment without our sources."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("THREEPID", "PYTHONPATH", "VIRTUAL"))
    }
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, sources: Path, folder: Path) -> Path:
    """The distribution (`sdist` or `wheel`) of the checkout or unpacked source distribution `sources`, made in `folder`."""
    run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", folder, cwd=sources)
    (made,) = folder.iterdir()
    return made


def unpack(source: Path, folder: Path) -> Path:
    """The folder into which a source distribution was unpacked, in `folder`."""
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    return folder / source.name.removesuffix(".tar.gz")


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this checkout."""
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source distribution alone."""
    folder = tmp_path_factory.mktemp("wheel")
    return build("wheel", unpack(source, folder), folder / "dist")
