"""`threepid config …`."""

import json
import sys
from pathlib import Path

import typer

from threepid import config
from threepid.cli.common import ConfigFile, load, out, refuse_problems, with_key_errors

app = typer.Typer(help="Check the configuration, and print its schema or an example.", no_args_is_help=True)


@app.command("check")
def check(config_file: ConfigFile = None) -> None:
    """Check the configuration, and print every unsafe setting and how to fix it."""
    from threepid.domain.secrets.keys import check_files  # noqa: PLC0415 - see serving.py

    settings = load(config_file)
    refuse_problems(settings)
    with_key_errors(lambda: check_files(Path(settings.server.data_dir) / "keys"))
    out.print("The configuration is valid.")


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of the configuration."""
    out.print_json(json.dumps(config.schema()))


@app.command("example")
def example() -> None:
    """Print a configuration file with a description and the default of every setting."""
    sys.stdout.write(config.example())
