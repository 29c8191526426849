"""`threepid keys …`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from threepid.cli.common import ConfigFile, err, format_time, load, read_text, with_key_errors
from threepid.cli.tables import AsJson, print_json, print_list
from threepid.config import Config

app = typer.Typer(help="The server's signing keys.", no_args_is_help=True)

_RESTART = "A server that is running takes this after a restart."


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
    err.print(_RESTART)


@app.command("import")
def import_keys(
    file: Annotated[Path, typer.Argument(help="Sydent's configuration, or a `signing.key` of Synapse.")],
    *,
    retired: Annotated[
        bool, typer.Option("--retired", help="Keep the keys only for the signatures that they made.")
    ] = False,
    config_file: ConfigFile = None,
) -> None:
    """Take over the keys of another server: the first one signs from now on, all others retire. Restart the server afterwards."""
    from threepid.clock import Clock  # noqa: PLC0415 - see serving.py
    from threepid.domain import keys  # noqa: PLC0415 - see serving.py

    text = read_text(file)
    directory = _keys_directory(load(config_file))
    _print_keys(with_key_errors(lambda: keys.import_keys(directory, text, Clock(), retired=retired)))
    err.print(_RESTART)


@app.command("list")
def list_keys(config_file: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """List the signing keys with their public halves."""
    from threepid.domain.keys import load_keyring  # noqa: PLC0415 - see serving.py

    keyring = with_key_errors(lambda: load_keyring(_keys_directory(load(config_file))))
    if not as_json:
        _print_keys(keyring)
        return
    print_json(
        {"key_id": key.key_id, "public_key": key.public_key, "retired_at": key.retired_at} for key in keyring.keys
    )


def _keys_directory(settings: Config) -> Path:
    return Path(settings.server.data_dir) / "keys"


def _print_keys(keyring: Any) -> None:
    rows = [
        (
            key.key_id,
            key.public_key,
            "in force" if key.retired_at is None else f"retired {format_time(key.retired_at)}",
        )
        for key in keyring.keys
    ]
    print_list(("key", "public key", "state"), rows, whole="public key")
