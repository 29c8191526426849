"""A database that came to a host with a `vault.secret` of its own."""

import subprocess
import sys
from pathlib import Path


def refuses_its_own_secret(config: Path, keys: Path) -> None:
    """Assert that nothing starts on the database while `keys` has no or another secret, and put the right one back."""
    file = keys / "vault.secret"
    right, mode = file.read_bytes(), file.stat().st_mode
    try:
        for command, is_there in ((["account", "list"], False), (["serve"], True), (["account", "list"], True)):
            file.unlink(missing_ok=True)
            if is_there:
                file.touch(mode)
                file.write_text("A" * 43 + "\n")
            done = subprocess.run(
                [sys.executable, "-m", "threepid", *command, "--config", str(config)],
                capture_output=True,
                text=True,
                timeout=180,
                stdin=subprocess.DEVNULL,
            )
            assert (done.returncode, done.stdout) == (1, ""), done
            assert done.stderr.count("\n") == 1, done.stderr
            assert "vault.secret" in done.stderr
            assert file.exists() == is_there
    finally:
        file.touch(mode)
        file.write_bytes(right)
