"""One server on a SQLite file: two would not see each other's limits and wake-ups."""

import errno
import fcntl
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from threepid.storage.engine.connect import sqlite_path
from threepid.storage.engine.database import StorageError

_START: Final = 1 << 62
"""The byte that is locked: far behind the ones that SQLite locks. https://www.sqlite.org/lockingv3.html."""
_HELD: Final = (errno.EACCES, errno.EAGAIN)


class InUse(StorageError):
    """Another server holds the database."""


@contextmanager
def only_server(url: str) -> Iterator[None]:
    """Hold the database file that `url` names, and so does every process that is forked meanwhile.

    Does nothing for PostgreSQL, which servers may share. Raises InUse, or StorageError if there can be no such file.
    """
    if not url.startswith("sqlite:"):
        yield
        return
    path = sqlite_path(url)
    descriptor = _open(path)
    try:
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno in _HELD:
                raise InUse(f"Another server is running on {path}: stop it first.") from None
            raise StorageError(f"{path} cannot be locked: {error.strerror}.") from error
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    # What is locked is the file, not its name: a link to it is the same database.
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if sys.platform != "linux":
            path = path.resolve().with_name(f"{path.resolve().name}.lock")
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"The database {path} cannot be opened: {error.strerror}.") from error


def _lock(descriptor: int) -> None:
    """Raises OSError with an errno of `_HELD` if somebody else has it."""
    if sys.platform == "linux":
        # A lock of the open file, not of the process: SQLite closes the same file, which would end the process's locks.
        wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, _START, 1, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    else:
        # flock on the database itself would be in the way of SQLite's locks there.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
