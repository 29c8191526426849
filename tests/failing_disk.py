"""A disk whose syncs fail when somebody says so."""

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

_SYSTEM = apsw.vfs_names()[0]


class Disk(apsw.VFS):
    """The system's files, whose sync can fail."""

    def __init__(self) -> None:
        super().__init__("failing", _SYSTEM, makedefault=True)
        self.fails = False

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: apsw.URIFilename | str | None, flags: list[int]) -> None:
        super().__init__(_SYSTEM, name, flags)
        self._disk = disk

    def xSync(self, flags: int) -> None:
        if self._disk.fails:
            raise apsw.IOError("the disk is gone")
        super().xSync(flags)


@contextmanager
def failing_disk() -> Iterator[Disk]:
    """What is opened meanwhile is on this disk."""
    disk = Disk()
    try:
        yield disk
    finally:
        disk.fails = False
        disk.unregister()
