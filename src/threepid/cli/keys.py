"""`threepid keys …`."""

from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from threepid.cli.common import ConfigFile, format_time, load, out, with_key_errors
from threepid.config import Config

app = typer.Typer(help="The server's signing keys.", no_args_is_help=True)


@app.command("generate")
def generate(config_file: ConfigFile = None) -> None:
    """Make the first signing key; does nothing if there is one."""
    from threepid.clock import Entropy  # noqa: PLC0415 - see serving.py
    from threepid.domain.keys import ensure_keyring  # noqa: PLC0415 - see serving.py

    _print_keys(with_key_errors(lambda: ensure_keyring(_keys_directory(load(config_file)), Entropy())))


@app.command("rotate")
def rotate(config_file: ConfigFile = None) -> None:
    """Make a new signing key and retire the one before. Restart the server afterwards."""
    from threepid.clock import Clock, Entropy  # noqa: PLC0415 - see serving.py
    from threepid.domain.keys import rotate_keyring  # noqa: PLC0415 - see serving.py

    _print_keys(with_key_errors(lambda: rotate_keyring(_keys_directory(load(config_file)), Entropy(), Clock())))


@app.command("list")
def list_keys(config_file: ConfigFile = None) -> None:
    """List the signing keys with their public halves."""
    from threepid.domain.keys import load_keyring  # noqa: PLC0415 - see serving.py

    _print_keys(with_key_errors(lambda: load_keyring(_keys_directory(load(config_file)))))


def _keys_directory(settings: Config) -> Path:
    return Path(settings.server.data_dir) / "keys"


def _print_keys(keyring: Any) -> None:
    table = Table("key", "public key", "state", box=None)
    for key in keyring.keys:
        state = "in force" if key.retired_at is None else f"retired {format_time(key.retired_at)}"
        table.add_row(key.key_id, key.public_key, state)
    out.print(table)
