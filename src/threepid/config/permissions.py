"""Checks of who can read or change a file, by its mode, its owner and the folders above it."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

SECRET_FOLDERS: Final = ("/run/secrets", "/var/run/secrets")
"""Folders in which container platforms mount secrets, often owned by root and readable for everybody in the container."""
_READ_BY_GROUP: Final = 0o040
_READ_BY_ALL: Final = 0o004
_OTHERS: Final = 0o077
_ANOTHER_USER: Final = "run this as the server's user, or chown it"
"""What to do about files of another user: mostly they are the server's, and it is root who runs a command."""


def credential(name: str) -> Path | None:
    """The file in `$CREDENTIALS_DIRECTORY` into which systemd copied the secret `name` (LoadCredential), or None."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    file = Path(folder) / name
    return file if folder.startswith("/") and "/" not in name and file.is_file() else None


def secret_folders(named: Iterable[str] = ()) -> list[Path]:
    """The folders of secrets: SECRET_FOLDERS, systemd's `$CREDENTIALS_DIRECTORY`, and the `named` ones; never `/`."""
    of_systemd = os.environ.get("CREDENTIALS_DIRECTORY", "")
    folders = [*SECRET_FOLDERS, *named, *([of_systemd] if of_systemd.startswith("/") else [])]
    resolved = [Path(folder).resolve() for folder in folders]
    return [folder for folder in resolved if folder != Path("/")]


def why_no_secret(name: str, folders: Iterable[Path]) -> str | None:
    """Why the file `name` cannot be used as a secret, and what to change; None if it can.

    A file that its group can read is accepted if root or the server's user owns it. A file that everybody can read is accepted
    if root owns it and it is below one of `folders`, where container platforms mount such files. Symbolic links are followed.
    """
    if (trouble := why_unreadable(name)) is not None:
        return trouble
    status = Path(name).stat()
    bits = stat.S_IMODE(status.st_mode) & _OTHERS
    if status.st_size == 0:
        return f"{name} is empty"
    if bits & ~(_READ_BY_GROUP | _READ_BY_ALL):
        return f"others can change or run {name}: chmod 600 {name}"
    if bits & _READ_BY_ALL:
        return _why_not_for_all(name, status.st_uid, folders)
    if bits and status.st_uid not in _trusted_users():
        return f"the group of {name} can read it, and another user owns it: chown it, or chmod 600 {name}"
    return None


def _why_not_for_all(name: str, owner: int, folders: Iterable[Path]) -> str | None:
    if not any(Path(name).resolve().is_relative_to(folder) for folder in folders):
        return (
            f"everybody can read {name}: chmod 600 {name}. Only a secret that a container platform mounts may be readable, "
            f"below {', '.join(SECRET_FOLDERS)}, $CREDENTIALS_DIRECTORY or a folder of server.secret_dirs, if root owns it"
        )
    return (
        None
        if owner == 0
        else f"everybody can read {name}, and root does not own it: chown it to root, or chmod 600 {name}"
    )


def why_unreadable(name: str) -> str | None:
    """Why the server cannot read the file `name`; None if it can."""
    try:
        status = Path(name).stat()
    except OSError as error:
        return f"there is no file {name} that the server can reach: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return f"{name} is not a file"
    if not os.access(name, os.R_OK):
        return f"the server's user cannot read {name}"
    return None


def why_changeable(path: Path) -> str | None:
    """Who, besides root and the server's user, can change or replace `path`, and what to change; None if nobody.

    If `path` does not exist yet, only the folders above it are checked.
    """
    try:
        status = path.stat()
    except OSError:
        status = None
    if status is not None and not is_read_only(path):
        if status.st_uid not in _trusted_users():
            return f"{path} belongs to another user (number {status.st_uid}), who can change it: {_ANOTHER_USER}"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"others can write {path}: chmod go-w {path}"
    for folder in _folders_above(path):
        folder_status = folder.stat()
        mode = folder_status.st_mode
        if folder_status.st_uid not in _trusted_users() and not is_read_only(folder):
            return (
                f"the folder {folder} belongs to another user (number {folder_status.st_uid}), who can replace {path}: "
                f"{_ANOTHER_USER}"
            )
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX and not is_read_only(folder):
            return f"others can write the folder {folder} and so replace {path}: chmod o-w {folder}"
    return None


def why_open(path: Path) -> str | None:
    """Why others can read the file or enter the folder `path`; None if they cannot, or if it does not exist."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if stat.S_ISDIR(mode) and is_read_only(path):  # a mounted secret: its files have modes of their own
        return None
    if mode & _OTHERS:
        return f"others can read {path}: chmod {'700' if stat.S_ISDIR(mode) else '600'} {path}"
    return None


def is_read_only(path: Path) -> bool:
    """Is `path` on a read-only file system, such as a secret that a container platform mounts?"""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _trusted_users() -> tuple[int, int]:
    return 0, os.geteuid()


def _folders_above(path: Path) -> Iterator[Path]:
    """Every folder above `path`, both with its symbolic links and with them resolved."""
    for folder in dict.fromkeys([*path.absolute().parents, *path.resolve().parents]):
        if folder.is_dir():
            yield folder
