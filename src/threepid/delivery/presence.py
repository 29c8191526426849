"""The identity of this worker, and certain knowledge of dead workers.

Each worker holds a lock (flock) on a file of its name, in a folder that the workers of a server share. The kernel releases the
lock when the process ends, however it ends. A process ID is no proof, because another process may reuse it, and neither is a
host name, because containers may share it.
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
        """Without `directory`, the deaths of this worker and of others are detected only by missing renewals."""
        self._directory = directory
        self._machine = _machine()
        self._descriptor: int | None = None
        host = _NOT_IN_NAMES.sub("-", platform.node())[:64] or "host"
        self.name = _SEPARATOR.join((host, self._machine, entropy.token(count=12)))
        """Host, boot ID and a random string: unique among all workers, past and present."""

    def begin(self) -> None:
        """Take the lock. Raises OSError if that is impossible: then others detect a death only by missing renewals."""
        if self._directory is None or self._descriptor is not None:
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The file is renamed only once it is locked: an unlocked file of a worker's name means that the worker is dead.
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
        """Remove the file and release the lock: this worker stops and holds no leases."""
        if self._directory is not None and self._descriptor is not None:
            with suppress(OSError):
                (self._directory / self.name).unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def dead(self) -> list[str]:
        """Names of the workers in the folder whose processes have ended."""
        if self._directory is None:
            return []
        with suppress(OSError):
            return [file.name for file in self._directory.iterdir() if self._is_dead(file.name)]
        return []

    def forget(self, name: str) -> None:
        """Remove the file of a dead worker, once its leases are released."""
        if self._directory is not None:
            with suppress(OSError):
                (self._directory / name).unlink(missing_ok=True)

    def is_of_earlier_boot(self, name: str) -> bool:
        """Is this a worker of another machine, or of an earlier boot of this one?"""
        return _machine_of(name) != self._machine

    def _is_dead(self, name: str) -> bool:
        # On a network file system, locks may be local to each machine: they prove nothing about workers of other machines.
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
    """The kernel's boot ID, which differs between machines and boots; else the host name."""
    try:
        return _NOT_IN_NAMES.sub("-", _BOOT.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return _NOT_IN_NAMES.sub("-", platform.node()) or "unknown"


def _machine_of(name: str) -> str:
    parts = name.split(_SEPARATOR)
    return parts[1] if len(parts) == 3 and not name.startswith(".") else ""  # noqa: PLR2004 - the parts of a name
