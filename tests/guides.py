"""The guides' own lines, run below a folder that stands for the whole machine."""

import os
import re
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent.parent / "docs" / "guides"
_OF_THE_SYSTEM: Final = re.compile(r"(?<![\w/.])/(?=opt/|etc/|var/|usr/local/|usr/lib/(?:sysusers|tmpfiles)\.d/)")
AS_THE_SERVER: Final = "runuser -u threepid -- "
"""How root runs a command as the server's user."""
ONLY_ON_A_MACHINE: Final = {
    "apt-get", "systemd-sysusers", "systemd-tmpfiles", "ln", "systemctl", "nginx", "curl", "runuser", "chown",
}  # fmt: skip
"""Programs of lines that no test runs, because they need a machine of their own. They stand in blocks `sh bare`."""


def guide(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def blocks(name: str, info: str) -> str:
    """All blocks of a guide that have this after their backticks, one after the other."""
    found = re.findall(rf"^( *)```{re.escape(info)}\n(.*?)^ *```$", guide(name), re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no block {info}"
    return "\n".join(textwrap.dedent(lines) for _, lines in found)


def moved(text: str, root: Path) -> str:
    """`text` with the folders of the system below `root`, where everything belongs to whoever runs the tests."""
    return _OF_THE_SYSTEM.sub(f"{root}/", text.replace(AS_THE_SERVER, ""))


def clean_environment(root: Path, *programs: Path) -> dict[str, str]:
    """The environment of an operator whose machine is `root`: nothing of ours, and `programs` are folders of programs."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("THREEPID", "PYTHONPATH", "VIRTUAL"))
    }
    folders = (root / "usr/local/bin", *programs, "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin")
    return {**kept, "PATH": ":".join(map(str, folders))}


def run(script: str, root: Path, environment: Mapping[str, str], *, folder: Path | None = None) -> str:
    """The output of lines of a guide, which all succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", moved(script, root)],
        cwd=folder or root, env={**environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def left_out(name: str) -> set[str]:
    """The programs of the lines of a guide that no test runs."""
    return {line.split()[0] for line in blocks(name, "sh bare").splitlines() if line}
