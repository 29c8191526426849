"""`threepid database …`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from threepid.cli.common import ConfigFile, load, out, refuse
from threepid.cli.importing import end_with
from threepid.cli.operators import operator_here
from threepid.cli.progress import progress_bar
from threepid.cli.tables import AsJson

app = typer.Typer(help="Move the database.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Move the database."""


@app.command("copy")
def copy(
    to: Annotated[
        str, typer.Option(help="URL of the new, empty database: `sqlite:PATH` or `postgresql://USER@HOST/NAME`.")
    ],
    to_password_file: Annotated[Path | None, typer.Option(help="File with the password of the new database.")] = None,
    config_file: ConfigFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Copy the database of the configuration into an empty one, on SQLite or PostgreSQL, and compare both.

    Stop the server first. The copy is one transaction: an interrupted copy has copied nothing, and can be repeated. The
    command writes nothing to the old database. Afterwards, write the new URL into the configuration.
    """
    from threepid import config  # noqa: PLC0415 - see serving.py
    from threepid.clock import Clock, Entropy  # noqa: PLC0415 - see serving.py
    from threepid.config.sections import database  # noqa: PLC0415 - see serving.py
    from threepid.domain import audit  # noqa: PLC0415 - see serving.py
    from threepid.importers.copying.run import Place, copy_database  # noqa: PLC0415 - see serving.py
    from threepid.importers.source import SourceError  # noqa: PLC0415 - see serving.py
    from threepid.startup import database_password  # noqa: PLC0415 - see serving.py
    from threepid.storage.audit import Entry  # noqa: PLC0415 - see serving.py

    settings = load(config_file)
    # An empty URL would mean the file that is the default.
    for problem in database.problems(config.Database(url=to or "-"), settings.server.data_dir):
        refuse(f"--to: {problem.message}.")
    source = Place(config.database_url(settings), database_password(settings))
    try:
        target = Place(to, config.read_secret(to_password_file).reveal() if to_password_file else None)
    except config.ConfigError as error:
        refuse(str(error))
    clock, operator = Clock(), operator_here(Clock())

    def entry_of(rows: int) -> Entry:
        origin, by = operator.origin, operator.caller
        return audit.entry_of(clock, Entropy(), audit.Event.DATABASE_COPIED, "", origin, by, {"rows": rows})

    try:
        copied = copy_database(source, target, clock, lambda rows: progress_bar("rows", rows), entry_of)
    except SourceError as error:
        end_with(error)
    if as_json:
        sys.stdout.write(json.dumps(copied, indent=2) + "\n")
        return
    for table, rows in copied.items():
        if rows:
            out.print(f"{rows:>9}  {table}", markup=False)
    out.print(
        f"{sum(copied.values()):>9}  rows in all, the same on both sides\n\n"
        "Write this into [database] of the configuration, and start the server:\n",
        markup=False,
    )
    for setting in _settings_for(to, to_password_file):
        out.print(setting, markup=False, soft_wrap=True)


def _settings_for(url: str, password_file: Path | None) -> Iterator[str]:
    """The lines of `[database]` for a URL. A path in the configuration is relative to its folder, and here to another one."""
    kind, colon, path = url.partition(":")
    whole = f"{kind}{colon}{Path(path).absolute()}" if kind == "sqlite" else url
    yield f"url = {json.dumps(whole, ensure_ascii=False)}"
    if password_file is not None:
        yield f"password_file = {json.dumps(str(password_file.absolute()), ensure_ascii=False)}"
