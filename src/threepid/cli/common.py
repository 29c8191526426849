"""What all commands share: reading the configuration, a server that does not listen, and how to end badly."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console

from threepid import config
from threepid.config import Config, ConfigError

T = TypeVar("T")

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="THREEPID_CONFIG", help="The TOML file. Without it: a development server."),
]


def load(config_file: Path | None) -> Config:
    """The configuration; ends with what is wrong in it."""
    try:
        return config.load(config_file, os.environ)
    except ConfigError as error:
        die(str(error))


def refuse_problems(settings: Config) -> None:
    """End with what cannot be safe, if there is any of it; warn of what may not be meant."""
    problems = config.check(settings)
    for problem in problems:
        err.print(str(problem), markup=False)
    for warning in config.warnings(settings):
        err.print(f"Warning: {warning}", markup=False)
    if problems:
        raise typer.Exit(1)


def refuse_other_names(settings: Config) -> None:
    """End if the database has accounts of another server name, who could not log in: `server.name` was changed."""
    from threepid.app import account_of_another_name  # noqa: PLC0415 - see serving.py

    if settings.accounts is None:
        return
    user_id = asyncio.run(account_of_another_name(settings))
    if user_id is not None:
        name = user_id.partition(":")[2]
        die(
            f"[server] name: the database has accounts of {name}, such as {user_id}, who could not log in to "
            f'{settings.server.name}: a server cannot be renamed. Set name = "{name}", or use another database.'
        )


def migrate_database(settings: Config) -> list[str]:
    """Bring the database to this version's schema; returns the names of what was applied."""
    from threepid.app import run_migrations  # noqa: PLC0415 - see serving.py
    from threepid.storage.engine.database import StorageError  # noqa: PLC0415 - see serving.py

    try:
        return run_migrations(settings)
    except StorageError as error:
        die(str(error))


def with_server(
    settings: Config, work: Callable[[Any], Awaitable[T]], *, any_secret: bool = False, writes_accounts: bool = False
) -> T:
    """What `work` returns for a server that does not listen. `any_secret`: also if the database knows another one."""
    from threepid.app import Server, connect, load_secrets  # noqa: PLC0415 - see serving.py
    from threepid.clock import Clock, Entropy  # noqa: PLC0415 - see serving.py
    from threepid.spec.errors import MatrixError  # noqa: PLC0415 - see serving.py
    from threepid.telemetry import configure_logging  # noqa: PLC0415 - see serving.py

    configure_logging(level="warning")
    migrate_database(settings)
    if writes_accounts:
        refuse_other_names(settings)
    clock, entropy = Clock(), Entropy()

    async def run() -> T:
        server = Server(
            settings,
            clock=clock,
            entropy=entropy,
            database=connect(settings),
            secrets=load_secrets(settings, entropy),
            background=False,
        )
        try:
            if not any_secret:
                await server.recognise()
            return await work(server)
        finally:
            await server.stop()

    try:
        return with_key_errors(lambda: asyncio.run(run()))
    except MatrixError as error:
        die(error.message)


def homeserver_of(server: Any) -> Any:
    """The homeserver side; ends if the configuration has none."""
    if server.services.homeserver is None:
        die("There are no accounts here: the configuration has no [accounts].")
    return server.services.homeserver


def with_key_errors(work: Callable[[], T]) -> T:
    """What `work` returns; ends with what is wrong with the key files, or with the database."""
    from threepid.domain.secrets.keys import KeyFileError  # noqa: PLC0415 - see serving.py
    from threepid.storage.engine.database import StorageError  # noqa: PLC0415 - see serving.py

    try:
        return work()
    except (KeyFileError, StorageError) as error:
        die(str(error))


def sentence(error: Exception) -> str | None:
    """What an operator is told of an error that they can mend; None for one of ours."""
    from threepid.delivery.render import TemplateError  # noqa: PLC0415 - see serving.py
    from threepid.domain.secrets.keys import KeyFileError  # noqa: PLC0415 - see serving.py
    from threepid.spec.errors import MatrixError  # noqa: PLC0415 - see serving.py
    from threepid.storage.engine.database import StorageError  # noqa: PLC0415 - see serving.py

    if isinstance(error, MatrixError):
        return error.message
    if isinstance(error, ConfigError | KeyFileError | TemplateError | StorageError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{os.fsdecode(error.filename)}: {error.strerror}."
    return None


def read_text(file: Path) -> str:
    """The text in a file that an operator names; ends with what is wrong with it."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        die(f"{file} cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        die(f"{file} is not a text file.")


def format_time(milliseconds: int) -> str:
    """The time as people read it, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def die(message: str) -> NoReturn:
    """End the program with one sentence."""
    err.print(message, markup=False)
    raise typer.Exit(1)
