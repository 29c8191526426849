"""Functions that all commands share: read the configuration, and end with an error message."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from rich.console import Console

from threepid import config
from threepid.config import Config, ConfigError

T = TypeVar("T")

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


def load(config_file: Path | None) -> Config:
    """The configuration. Ends the program with an error message if it cannot be read."""
    try:
        return config.load(config_file, os.environ)
    except ConfigError as error:
        die(str(error))


def refuse_problems(settings: Config) -> None:
    """Print warnings, and all unsafe settings; end the program if there are any unsafe settings."""
    problems = config.check(settings)
    for problem in problems:
        err.print(str(problem), markup=False)
    for warning in (*config.environment_warnings(os.environ), *config.warnings(settings)):
        err.print(f"Warning: {warning}", markup=False)
    if problems:
        raise typer.Exit(1)


def with_key_errors(work: Callable[[], T]) -> T:
    """The result of `work`. Ends the program with an error message about the key files or the database."""
    from threepid.domain.secrets.keys import KeyFileError  # noqa: PLC0415 - see serving.py
    from threepid.storage.engine.database import StorageError  # noqa: PLC0415 - see serving.py

    try:
        return work()
    except (KeyFileError, StorageError) as error:
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
    from threepid.domain.secrets.keys import KeyFileError  # noqa: PLC0415 - see serving.py
    from threepid.spec.errors import MatrixError  # noqa: PLC0415 - see serving.py
    from threepid.storage.engine.database import StorageError  # noqa: PLC0415 - see serving.py

    if isinstance(error, MatrixError):
        return str(error.text)
    if isinstance(error, ConfigError | KeyFileError | TemplateError | StorageError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{os.fsdecode(error.filename)}: {error.strerror}."
    return None


def read_text(file: Path) -> str:
    """The text of a file that an operator names. Ends the program with an error message if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        die(f"{file} cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        die(f"{file} is not a text file.")


def format_time(milliseconds: int) -> str:
    """The time in UTC, for people to read."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def die(message: str) -> NoReturn:
    """End the program with an error message."""
    err.print(message, markup=False)
    raise typer.Exit(1)
