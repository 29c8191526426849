"""Installs the packages of a lock file beside the tests that use them."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest


def install(folder: Path) -> None:
    """Install what `package-lock.json` in `folder` names, unless it is there; skip the test where that is impossible."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"npm is missing: the packages of {folder.name} are not here")
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    mark = folder / "node_modules" / ".installed"
    with (folder / "package-lock.json").open() as lock:  # the tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.exists() and mark.read_text() == wanted:
            return
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180)
        if done.returncode:
            # Without the registry there is nothing to run; where a change is checked, that is a failure.
            told = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            told(f"the packages of {folder.name} could not be installed: {done.stderr[-1000:]}")
        mark.write_text(wanted)
