"""A database that came to a host with a `vault.secret` of its own."""

import subprocess
import sys
from pathlib import Path


def refuses_its_own_secret(config: Path, keys: Path) -> None:
    """Assert that nothing starts on the database while `keys` has another secret, and put the right one back."""
    file = keys / "vault.secret"
    right = file.read_bytes()
    file.unlink()
    try:
        for command in (["serve"], ["account", "list"]):
            done = subprocess.run(
                [sys.executable, "-m", "threepid", *command, "--config", str(config)],
                capture_output=True,
                text=True,
                timeout=50,
                stdin=subprocess.DEVNULL,
            )
            assert (done.returncode, done.stdout) == (1, ""), done
            assert done.stderr.count("\n") == 1, done.stderr
            assert "vault.secret" in done.stderr
        assert file.read_bytes() != right
    finally:
        file.write_bytes(right)
