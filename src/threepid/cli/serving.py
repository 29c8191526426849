"""`threepid serve` and `threepid migrate`."""

import os
import tempfile
import threading
from pathlib import Path
from typing import Annotated, Final

import typer

from threepid import __version__
from threepid.cli.common import (
    ConfigFile,
    die,
    err,
    load,
    out,
    refuse_problems,
    with_key_errors,
)
from threepid.config import Config, database_url, has_mailbox
from threepid.output import secure_output

_DATABASE_SECONDS: Final = 5
"""How long PostgreSQL has to answer before the start is tried again."""
_PAUSE_SECONDS: Final = 1.0
_DELIVERY_SECONDS: Final = 3.0
"""How long a start waits for relays that do not answer, to warn of them."""


def serve(
    config_file: ConfigFile = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Number of server processes; default: the setting `server.workers`."),
    ] = None,
) -> None:
    """Run the server until SIGTERM. Without a configuration file, run a development server on http://localhost:8008."""
    # Do this before printing or opening anything: a full disk under the log must not prevent the start either.
    secure_output()
    if workers is not None:
        os.environ["THREEPID__SERVER__WORKERS"] = str(workers)
    settings = load(config_file, anywhere=True)
    refuse_problems(settings)
    with tempfile.TemporaryDirectory(prefix="threepid-metrics-") as metrics:
        if settings.server.metrics_listen:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
        # Imported here, because the metrics library reads its environment at import, and because other commands start faster.
        from threepid import process  # noqa: PLC0415

        try:
            with_key_errors(lambda: _serve(settings, config_file))
        except process.CannotServe as error:
            die(str(error))


def migrate(config_file: ConfigFile = None) -> None:
    """Migrate the database to the schema of this version, and print each migration that was applied."""
    from threepid.cli.server import migrate_database  # noqa: PLC0415 - see above

    applied = migrate_database(load(config_file))
    for name in applied:
        out.print(f"applied {name}")
    if not applied:
        out.print("The database schema is up to date.")


def _serve(settings: Config, config_file: Path | None) -> None:
    from threepid import process  # noqa: PLC0415 - see above
    from threepid.cli.server import migrate_database, refuse_other_names  # noqa: PLC0415 - see above
    from threepid.startup import delivery_troubles, verify_secret  # noqa: PLC0415 - see above

    with process.alone(settings):
        _await_database(settings)
        migrate_database(settings)
        refuse_other_names(settings)
        verify_secret(settings)
        for trouble in delivery_troubles(settings, _DELIVERY_SECONDS):
            err.print(f"Warning: {trouble}", markup=False)
        _banner(settings, development=config_file is None)
        process.serve(settings, config_file)


def _await_database(settings: Config) -> None:
    """Wait until the database can be used, and say once why it cannot: after a power cut, it may start later than this server."""
    from threepid.startup import database_trouble  # noqa: PLC0415 - see above

    pause = threading.Event()
    said = False
    while (trouble := database_trouble(settings, _DATABASE_SECONDS)) is not None and _may_pass(settings):
        if not said:
            err.print(f"Warning: {trouble}. The server starts as soon as the database can be used.", markup=False)
            said = True
        pause.wait(_PAUSE_SECONDS)


def _may_pass(settings: Config) -> bool:
    """May trouble with the database pass by itself? A SQLite file does not change."""
    return not database_url(settings).startswith("sqlite:")


def _banner(settings: Config, *, development: bool) -> None:
    base = settings.server.public_base_url.rstrip("/")
    title = "threepid development server" if development else "threepid"
    lines = [f"[bold]{title}[/bold] {__version__} for [bold]{settings.server.name}[/bold]", ""]
    if settings.accounts is not None:
        lines.append(f"  accounts          {base}/_matrix/client/versions")
        lines.append(f"  account portal    {base}/account/")
    if settings.identity is not None:
        lines.append(f"  identity server   {base}/_matrix/identity/versions")
    if has_mailbox(settings):
        lines.append(f"  mailbox           {base}/mailbox/   (mails are shown here and not sent)")
    if development:
        lines += ["", f"  Data is in {settings.server.data_dir}/. Registration is open. Not for the internet."]
    err.print("\n".join(["", *lines, ""]))
