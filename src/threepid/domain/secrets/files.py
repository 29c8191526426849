"""Files that only the server's user can read: created whole or not at all, and synced."""

import os
import stat
from pathlib import Path


class KeyFileError(Exception):
    """A key file cannot or must not be used; the message says why."""


def read_private(path: Path) -> str:
    """The text of a file. Raises KeyFileError if others can read it, too."""
    try:
        status = path.stat()
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise KeyFileError(f"{path} is readable by others: run `chmod 600 {path}`.")
        if status.st_uid not in (os.geteuid(), 0):
            raise KeyFileError(
                f"{path} belongs to another user (number {status.st_uid}): run this as the server's user, or chown it."
            )
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise KeyFileError(f"{path} is not plain ASCII.") from None


def make_directory(directory: Path) -> None:
    """Create a folder for such files, if there is none. Raises KeyFileError."""
    try:
        for folder in (directory.parent, directory):  # `mode` applies only to the last directory
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyFileError(f"{directory} cannot be created: {error.strerror}.") from None


def create(path: Path, text: str) -> bool:
    """Create a file atomically; False, and no change, if it exists. Raises KeyFileError."""
    temporary = _write_aside(path, text)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    _sync(path.parent)
    return True


def replace(path: Path, text: str) -> None:
    """Replace a file atomically. Raises KeyFileError."""
    _write_aside(path, text).replace(path)
    _sync(path.parent)


def _write_aside(path: Path, text: str) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        temporary.unlink()
        raise KeyFileError(f"{path} cannot be written: {error.strerror}.") from None
    return temporary


def _sync(directory: Path) -> None:
    """Call fsync on the directory, so that a new key file survives a power failure: signatures must not outlive their key."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
