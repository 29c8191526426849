"""Functions that all commands share: read the configuration, and end with an error message."""

import errno
import getpass
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final, NoReturn, TypeVar

import typer
from rich.console import Console

from threepid import config
from threepid.config import Config, ConfigError, Problem, UnreadableConfig
from threepid.spec.errors import LimitExceeded, MatrixError

T = TypeVar("T")

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a write, which do not name the file: no space, no more for this user, no larger file."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="THREEPID_CONFIG",
        help="The configuration file (TOML). Without it, the settings of a development server apply.",
    ),
]


def load(config_file: Path | None, *, anywhere: bool = False) -> Config:
    """The configuration. Ends the program with an error message if the file cannot be read, or has mistakes.

    Without a file, a command is about the development server, whose data must be there, unless it makes sense `anywhere`: an
    operator who forgets the file would otherwise get the answers of an empty server.
    """
    try:
        settings = config.load(config_file, os.environ)
    except UnreadableConfig as error:
        refuse(str(error))
    except ConfigError as error:
        die(str(error))
    if config_file is None and not anywhere and not Path(settings.server.data_dir).exists():
        refuse(
            "Name the configuration: -c FILE or THREEPID_CONFIG. Without it, this is about a development server, and there is "
            f"no {settings.server.data_dir} here."
        )
    return settings


def refuse_problems(settings: Config) -> None:
    """Print warnings, and all unsafe settings; end the program if there are any unsafe settings."""
    if print_problems(settings):
        raise typer.Exit(1)


def print_problems(settings: Config) -> list[Problem]:
    """Print warnings, and all unsafe settings, which are returned."""
    problems = config.check(settings)
    for problem in problems:
        err.print(str(problem), markup=False)
    for warning in (*config.environment_warnings(os.environ), *config.warnings(settings)):
        err.print(f"Warning: {warning}", markup=False)
    return problems


def with_key_errors(work: Callable[[], T], *, of_argument: bool = False) -> T:
    """The result of `work`. Ends the program with an error message about the database, or about keys.

    `of_argument`: the keys are those that the operator named, so that a problem with them is a wrong argument.
    """
    from threepid.domain.secrets.files import KeyFileError  # noqa: PLC0415 - see serving.py
    from threepid.storage.engine.database import StorageError  # noqa: PLC0415 - see serving.py

    try:
        return work()
    except KeyFileError as error:
        if of_argument:
            refuse(str(error))
        die(str(error))
    except StorageError as error:
        die(str(error))


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait: for changes of several files, which take milliseconds and belong together."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def sentence(error: Exception) -> str | None:
    """The message to an operator about an error that they can fix; None for an error in the program."""
    from threepid.delivery.render import TemplateError  # noqa: PLC0415 - see serving.py
    from threepid.domain.secrets.files import KeyFileError  # noqa: PLC0415 - see serving.py
    from threepid.storage.engine.database import StorageError  # noqa: PLC0415 - see serving.py

    if isinstance(error, MatrixError):
        return str(error.text)
    if isinstance(error, ConfigError | KeyFileError | TemplateError | StorageError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{os.fsdecode(error.filename)}: {error.strerror}."
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"A file cannot be written: {error.strerror}."
    return None


def read_text(file: Path) -> str:
    """The text of a file that an operator names. Ends the program with an error message if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        refuse(f"{file} cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        refuse(f"{file} is not a text file.")


def ask_password() -> str:
    """The password that an operator enters twice. Ends the program with an error message where there is no terminal."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    except getpass.GetPassWarning:
        refuse("There is no terminal to enter a password at: use --password-file.")
    return password


def printable(text: str) -> str:
    """`text` in one line, with control characters escaped: strangers wrote much of the text."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def format_time(milliseconds: int) -> str:
    """The time in UTC, for people to read."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def status_of(error: MatrixError) -> int:
    """Exit status: 2 if the arguments are at fault, 1 if it is something else."""
    return 2 if error.status < HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, LimitExceeded) else 1


def refuse(*sentences: str) -> NoReturn:
    """End the program with error messages about arguments, each in one line: exit status 2."""
    for sentence in sentences:
        err.print(printable(sentence), markup=False)
    raise typer.Exit(2)


def die(message: str) -> NoReturn:
    """End the program with an error message about something else than its arguments: exit status 1."""
    complain(message)
    raise typer.Exit(1)


def complain(message: str) -> None:
    """Print an error message, whose lines may quote the text of strangers."""
    err.print("\n".join(map(printable, message.split("\n"))), markup=False)
