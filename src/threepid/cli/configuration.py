"""`threepid config …`."""

import json
import sys
from pathlib import Path

import typer

from threepid import config
from threepid.cli.common import ConfigFile, load, out, refuse_problems, with_key_errors

app = typer.Typer(help="Check and explain the configuration.", no_args_is_help=True)


@app.command("check")
def check(config_file: ConfigFile = None) -> None:
    """Say what is wrong with the configuration, and what to change."""
    from threepid.domain.secrets.keys import check_files  # noqa: PLC0415 - see serving.py

    settings = load(config_file)
    refuse_problems(settings)
    with_key_errors(lambda: check_files(Path(settings.server.data_dir) / "keys"))
    out.print("The configuration is good.")


@app.command("schema")
def schema() -> None:
    """The JSON Schema of the configuration."""
    out.print_json(json.dumps(config.schema()))


@app.command("example")
def example() -> None:
    """A configuration with every setting, its default and what it does."""
    sys.stdout.write(config.example())
