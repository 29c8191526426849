"""`threepid config …`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from threepid import config
from threepid.cli.common import ConfigFile, complain, err, load, out, print_problems
from threepid.config import Config

app = typer.Typer(help="Check or show the configuration, and print its schema or an example.", no_args_is_help=True)
_SECONDS: Final = 10
"""How long the database and each relay have to answer."""


@app.command("check")
def check(
    config_file: ConfigFile = None,
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Do not connect to the database and to relays.")] = False,
) -> None:
    """Check the configuration, and print every mistake and how to fix it.

    Also checks that the database and the relays can be used now, that the database belongs to the keys in `server.data_dir`, and
    that names of gateways resolve. Sends nothing.
    """
    from threepid.startup import database_trouble, delivery_troubles, secret_trouble  # noqa: PLC0415 - see serving.py

    settings = load(config_file, anywhere=True)
    if config_file is None:
        err.print("Warning: no file is named, so these are the settings of a development server.")
    problems = print_problems(settings)

    def unsafe(*tables: str) -> bool:
        """Is there a problem with one of the tables, so that it makes no sense to try what they describe?"""
        return any(problem.place.startswith(tables) for problem in problems)

    skips_keys = unsafe("[server] data_dir")
    troubles = [] if skips_keys else _key_troubles(settings)
    if not offline:
        if not unsafe("[database]"):
            if (database := database_trouble(settings, _SECONDS)) is not None:
                troubles.append(str(database))
            elif not (skips_keys or troubles):
                troubles += secret_trouble(settings, _SECONDS)
        if not unsafe("[email]", "[sms]"):
            troubles += map(str, delivery_troubles(settings, _SECONDS))
    for trouble in troubles:
        complain(trouble)
    if problems or troubles:
        raise typer.Exit(1)
    out.print("The configuration is valid.")


@app.command("show")
def show(config_file: ConfigFile = None) -> None:
    """Print every setting with its effective value, from the file, the environment or the defaults. Secrets are masked."""
    sys.stdout.write(config.shown(load(config_file, anywhere=True)))


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of the configuration."""
    out.print_json(json.dumps(config.schema()))


@app.command("example")
def example() -> None:
    """Print a configuration file with a description and the default of every setting."""
    sys.stdout.write(config.example())


def _key_troubles(settings: Config) -> list[str]:
    """What is wrong with a key file that exists."""
    from threepid.domain.secrets.files import KeyFileError  # noqa: PLC0415 - see serving.py
    from threepid.domain.secrets.keys import check_files  # noqa: PLC0415 - see serving.py

    try:
        check_files(Path(settings.server.data_dir) / "keys")
    except KeyFileError as error:
        return [str(error)]
    return []
