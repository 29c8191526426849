"""Which worker this is, and which others are surely dead.

Each worker holds a lock on a file that has its name, in a folder that the workers of a server share. The kernel lets the lock go
when the process ends, however it ends: no number of a process, which another one may have by then, and no host name, which
containers may have in common, is taken for proof.
"""

import fcntl
import os
import platform
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from threepid.clock import Entropy

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_SEPARATOR: Final = "~"
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9.-]")


class Presence:
    """One worker among those that share the folder `directory`."""

    def __init__(self, directory: Path | None, entropy: Entropy) -> None:
        """Without a folder nobody is known to be dead, and nobody knows it of this worker."""
        self._directory = directory
        self._machine = _machine()
        self._descriptor: int | None = None
        host = _NOT_IN_NAMES.sub("-", platform.node())[:64] or "host"
        self.name = _SEPARATOR.join((host, self._machine, entropy.token(count=12)))
        """The host, its boot and a random text: no other worker has the same, nor had."""

    def begin(self) -> None:
        """Hold the lock from now on. Raises OSError where there can be none: then others notice a death only by silence."""
        if self._directory is None or self._descriptor is not None:
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # It gets its name when it is locked: one that is not would be taken for that of a dead worker.
        unnamed = self._directory / f".{self.name}"
        descriptor = os.open(unnamed, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(self._directory / self.name)
        except OSError:
            os.close(descriptor)
            unnamed.unlink(missing_ok=True)
            raise
        self._descriptor = descriptor

    def end(self) -> None:
        """This worker has nothing in hand any more, and stops."""
        if self._directory is not None and self._descriptor is not None:
            with suppress(OSError):
                (self._directory / self.name).unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def dead(self) -> list[str]:
        """Workers of the folder whose process has ended."""
        if self._directory is None:
            return []
        with suppress(OSError):
            return [file.name for file in self._directory.iterdir() if self._is_dead(file.name)]
        return []

    def forget(self, name: str) -> None:
        """A dead worker has nothing in hand any more."""
        if self._directory is not None:
            with suppress(OSError):
                (self._directory / name).unlink(missing_ok=True)

    def is_of_earlier_boot(self, name: str) -> bool:
        """Was this a worker of another machine, or of this one before it was started anew?"""
        return _machine_of(name) != self._machine

    def _is_dead(self, name: str) -> bool:
        # Between machines that share a folder, a lock may be one for each machine: it proves nothing of the other's workers.
        if self._directory is None or name in {self.name, ""} or _machine_of(name) != self._machine:
            return False
        try:
            descriptor = os.open(self._directory / name, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True


def _machine() -> str:
    """What tells the running kernel from all others, also from its own run before."""
    try:
        return _NOT_IN_NAMES.sub("-", _BOOT.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return _NOT_IN_NAMES.sub("-", platform.node()) or "unknown"


def _machine_of(name: str) -> str:
    parts = name.split(_SEPARATOR)
    return parts[1] if len(parts) == 3 and not name.startswith(".") else ""  # noqa: PLR2004 - the parts of a name
