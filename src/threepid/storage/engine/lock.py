"""Locks a SQLite file for one server: two servers would not see each other's limits and wake-ups."""

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
"""Offset of the locked byte, far behind the bytes that SQLite locks. https://www.sqlite.org/lockingv3.html."""
_HELD: Final = (errno.EACCES, errno.EAGAIN)


class InUse(StorageError):
    """Another server holds the lock on the database."""


@contextmanager
def only_server(url: str) -> Iterator[None]:
    """Hold the lock on the database file of `url`; processes that are forked meanwhile hold it too.

    Does nothing for PostgreSQL, which servers may share. Raises InUse if another server holds the lock, StorageError if the
    file cannot be opened or locked.
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
                raise InUse(f"Another server is using {path}. Stop it first.") from None
            raise StorageError(f"{path} cannot be locked: {error.strerror}.") from error
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    # The lock is on the file, not on its name, because a link to the file is the same database.
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if sys.platform != "linux":
            path = path.resolve().with_name(f"{path.resolve().name}.lock")
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"The database {path} cannot be opened: {error.strerror}.") from error


def _lock(descriptor: int) -> None:
    """Lock the file without waiting. Raises OSError with an errno of `_HELD` if another process holds the lock."""
    if sys.platform == "linux":
        # The lock belongs to the open file. SQLite closes the same file, which would release a lock that the process owns.
        wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, _START, 1, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    else:
        # flock on the database itself would conflict with SQLite's locks there, hence the separate `.lock` file.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
