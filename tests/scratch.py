"""Where tests write: in memory, if the machine has room for it there. Most of what many of them do is wait for a disk."""

import os
from functools import cache
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ENOUGH = 4 * 2**30


@cache
def in_memory() -> Path | None:
    """A folder in memory that programs can run from, with 4 GiB to spare; None if there is none."""
    try:
        found = os.statvfs(_MEMORY)
    except OSError:
        return None
    usable = os.access(_MEMORY, os.W_OK) and not found.f_flag & os.ST_NOEXEC
    return _MEMORY if usable and found.f_bavail * found.f_frsize >= _ENOUGH else None
