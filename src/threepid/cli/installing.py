"""What `threepid init` writes: the configuration file, the systemd unit and the keys."""

import grp
import json
import os
import pwd
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import resources
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from msgspec import Struct

from threepid import config
from threepid.clock import Entropy
from threepid.domain.secrets.keys import ensure_keyring, ensure_secret

USER: Final = "threepid"
"""The user of the systemd unit."""
_FILE_MODE: Final = 0o640
_WITH_PORT: Final = re.compile(r"(?P<host>[^:]+|\[[^]]+\]):(?P<port>[0-9]{1,5})")


class Answers(Struct, frozen=True):
    """The answers to the five questions, and where the server keeps its data."""

    name: str
    url: str
    roles: tuple[str, ...]
    database: str
    relay: str
    data_dir: Path


class CannotWrite(Exception):
    """A file is there already, or cannot be written. The message says which."""


def configuration(answers: Answers) -> str:
    """The configuration file: the answers, and every other setting with its default in a comment."""
    values = {
        "server.name": _text(answers.name),
        "server.public_base_url": _text(answers.url),
        "server.data_dir": _text(str(answers.data_dir)),
    }
    if "accounts" in answers.roles:
        values["accounts.registration"] = '"closed"'
    if "identity" in answers.roles:
        values["identity.pepper_days"] = "30"
    if answers.database != "sqlite":
        values["database.url"] = _text(answers.database)
    if answers.relay:
        match = _WITH_PORT.fullmatch(answers.relay)
        host, port = (match["host"], match["port"]) if match else (answers.relay, "")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]  # an IPv6 address, in brackets as in a URL
        of_port = f", port = {port}" if port else ""
        tls = "plain" if host in {"localhost", "127.0.0.1"} else "tls" if port == "465" else "starttls"
        values["email.from"] = _text(f"{answers.name} <noreply@{answers.name.partition(':')[0]}>")
        values["email.via"] = f'[{{ transport = "smtp", host = {_text(host)}{of_port}, tls = "{tls}" }}]'
    return config.example(values=values)


def unit(program: Path, config_file: Path) -> str:
    """The systemd unit."""
    text = resources.files("threepid.cli").joinpath("threepid.service").read_text(encoding="utf-8")
    for name, value in (("PROGRAM", program), ("CONFIG", config_file), ("FOLDER", config_file.parent)):
        text = text.replace(f"@{name}@", str(value))
    return text


def install(answers: Answers, config_file: Path, unit_file: Path, text: str) -> None:
    """Write keys, unit and, last, the configuration `text`: where it is, everything is. Raises CannotWrite and KeyFileError.

    A failure or signal removes what was written. After a kill, the command can be run again, and uses the keys that are there.
    """
    program = Path(sys.prefix) / "bin" / "threepid"
    of_unit = unit(program, config_file)
    if config_file.exists():
        raise CannotWrite(f"{config_file} exists already: nothing was changed. Edit it, or move it away.")
    if unit_file.exists() and unit_file.read_text(encoding="utf-8") != of_unit:
        raise CannotWrite(f"{unit_file} exists already: nothing was changed. Move it away.")
    with _undo() as undo:
        _folder(config_file.parent, undo)
        _keys(answers.data_dir, undo)
        if not unit_file.exists():
            _create(unit_file, of_unit, undo)
        _create(config_file, text, undo)
        undo.pop_all()


@contextmanager
def _undo() -> Iterator[ExitStack]:
    """A stack of steps that undo the work, unless it is emptied. SIGTERM counts as a failure."""

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with ExitStack() as stack:
            yield stack
    except OSError as error:
        raise CannotWrite(f"{error.filename} cannot be written: {error.strerror}. Nothing was changed.") from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _folder(folder: Path, undo: ExitStack) -> None:
    if not folder.exists():
        # Each step is undone even if a signal comes between it and the next line, so the undoing is planned first.
        undo.callback(_remove_folder, folder)
        folder.mkdir(mode=0o750)
        _give(folder, 0)


def _keys(data_dir: Path, undo: ExitStack) -> None:
    folders = [data_dir, data_dir / "keys"]
    for folder in folders:
        if not folder.exists():
            undo.callback(_remove_folder, folder)
            folder.mkdir(mode=0o700, parents=folder == data_dir)
    before = {*folders[1].iterdir()}
    undo.callback(_remove_new, folders[1], before)
    entropy = Entropy()
    ensure_secret(folders[1] / "vault.secret", entropy)
    ensure_keyring(folders[1], entropy)
    for path in (*folders, *folders[1].iterdir()):
        _give(path, None)


def _give(path: Path, owner: int | None) -> None:
    """Give a path that root made to the unit's group, and to `owner` (None: the unit's user), if there is such a user."""
    if os.geteuid() != 0:
        return
    try:
        os.chown(path, pwd.getpwnam(USER).pw_uid if owner is None else owner, grp.getgrnam(USER).gr_gid)
    except KeyError:
        return


def _create(path: Path, text: str, undo: ExitStack) -> None:
    """Create a file with its whole text, or not at all. Raises OSError if it exists."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _give(aside, 0)
        undo.callback(_remove_file, path, aside.stat().st_ino)
        os.link(aside, path)
    finally:
        aside.unlink()


def _remove_folder(folder: Path) -> None:
    with suppress(FileNotFoundError):
        folder.rmdir()


def _remove_new(folder: Path, before: set[Path]) -> None:
    for file in {*folder.iterdir()} - before:
        file.unlink()


def _remove_file(path: Path, inode: int) -> None:
    """Remove a file if it is the one with this inode, and not another that was there before."""
    if path.exists() and path.stat().st_ino == inode:
        path.unlink()


def _text(value: str) -> str:
    """`value` as text of TOML, which has the escapes of JSON. https://toml.io/en/v1.0.0#string."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
