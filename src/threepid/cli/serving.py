"""`threepid serve` and `threepid migrate`."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

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
from threepid.clock import Entropy
from threepid.config import Config, has_mailbox
from threepid.output import secure_output


def serve(
    config_file: ConfigFile = None,
    workers: Annotated[
        int | None, typer.Option(help="Number of server processes; default: the setting `server.workers`.")
    ] = None,
) -> None:
    """Run the server until SIGTERM. Without a configuration file, run a development server on http://localhost:8008."""
    # Do this before printing or opening anything: a full disk under the log must not prevent the start either.
    secure_output()
    if workers is not None:
        os.environ["THREEPID__SERVER__WORKERS"] = str(workers)
    settings = load(config_file)
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
    from threepid.startup import load_secrets, verify_secret  # noqa: PLC0415 - see above

    with process.alone(settings):
        migrate_database(settings)
        refuse_other_names(settings)
        verify_secret(settings, load_secrets(settings, Entropy()))
        _banner(settings, development=config_file is None)
        process.serve(settings, config_file)


def _banner(settings: Config, *, development: bool) -> None:
    base = settings.server.public_base_url.rstrip("/")
    title = "threepid development server" if development else "threepid"
    lines = [f"[bold]{title}[/bold] {__version__} for [bold]{settings.server.name}[/bold]", ""]
    if settings.accounts is not None:
        lines.append(f"  accounts          {base}/_matrix/client/versions")
    if settings.identity is not None:
        lines.append(f"  identity server   {base}/_matrix/identity/versions")
    if has_mailbox(settings):
        lines.append(f"  mailbox           {base}/mailbox/   (mails are shown here and not sent)")
    if development:
        lines += ["", f"  Data is in {settings.server.data_dir}/. Registration is open. Not for the internet."]
    err.print("\n".join(["", *lines, ""]))
