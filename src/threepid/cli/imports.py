"""`threepid import …`."""

import asyncio
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from threepid.cli.common import die, load, out
from threepid.cli.progress import progress_bar

app = typer.Typer(help="Import the accounts of another server.", no_args_is_help=True)

_INCOMPLETE: Final = 3
"""Exit status of an import that is done, but did not carry everything."""

OwnConfig = Annotated[
    Path | None,
    typer.Option(
        "--threepid-config",
        "-c",
        envvar="THREEPID_CONFIG",
        help="The configuration file of threepid (TOML), as `--config` of other commands.",
    ),
]


@app.callback()
def group() -> None:
    """Import the accounts of another server."""


@app.command("synapse")
def synapse(
    config_files: Annotated[
        list[Path] | None,
        typer.Option(
            "--config", help="Synapse's homeserver.yaml. Repeat the option for further files, as Synapse was started."
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            help="URL of Synapse's database, in place of the configured one: `sqlite:PATH` or `postgresql://USER@HOST/NAME`."
        ),
    ] = None,
    server_name: Annotated[str | None, typer.Option(help="Synapse's server name, if there is no `--config`.")] = None,
    pepper_file: Annotated[
        Path | None,
        typer.Option(help="File with Synapse's `password_config.pepper`, if it has one and there is no `--config`."),
    ] = None,
    threepid_config: OwnConfig = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check everything, and import nothing.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Write everything that is not carried into this new file, as a JSON object a line."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Import users with their passwords, contacts, devices and sessions from Synapse, which keeps running meanwhile.

    Run it again after Synapse was stopped: that brings only what changed. A run that was killed continues in the same way.
    Nothing is written to Synapse's database. Exit status: 0 if everything was carried that can be, 3 if the report has
    something to look at, 1 after an error.
    """
    from threepid.cli.server import Server, homeserver_of, with_server  # noqa: PLC0415 - see serving.py
    from threepid.importers.source import SourceError, open_source  # noqa: PLC0415 - see serving.py
    from threepid.importers.synapse.run import Import, Result  # noqa: PLC0415 - see serving.py

    own = load(threepid_config)
    if own.homeserver is not None:
        die(
            "The configuration of threepid has [homeserver], so Synapse leaves the accounts to threepid already, and its own "
            "are out of date. Before the switch, import without that section."
        )

    async def work(server: Server) -> Result:
        accounts = homeserver_of(server).settings
        with open_source(settings.database, settings.arguments) as source, _report_file(report) as note:
            begun = Import(server.context, accounts, settings, source, dry_run=dry_run)
            # Millions of small objects are made and none is in a circle: looking for circles would take a tenth of the time.
            gc.disable()
            with progress_bar("users", begun.total) as advance:
                return await begun.run(note, advance)

    try:
        settings = _settings(config_files or [], database, server_name, pepper_file)
        if settings.server_name != own.server.name:
            die(
                f"Synapse's server name is {settings.server_name}, and the one of threepid is {own.server.name}. "
                f'Set [server] name = "{settings.server_name}" first.'
            )
        result = with_server(own, work, writes_accounts=True)
    except SourceError as error:
        die(str(error))
    _print(result, report, as_json=as_json)
    if not result.is_complete:
        raise typer.Exit(_INCOMPLETE)


def _settings(config_files: list[Path], database: str | None, server_name: str | None, pepper_file: Path | None) -> Any:
    from threepid.importers.synapse import configuration  # noqa: PLC0415 - see serving.py

    if config_files:
        if server_name is not None or pepper_file is not None:
            die("`--server-name` and `--pepper-file` are for imports without `--config`, which says both.")
        return configuration.read(config_files, database=database)
    if database is None or server_name is None:
        die("Name Synapse's homeserver.yaml with `--config`, or use `--database` together with `--server-name`.")
    pepper = ""
    if pepper_file is not None:
        try:
            pepper = pepper_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            die(f"{pepper_file} cannot be read as text.")
    return configuration.Settings(server_name=server_name, database=database, pepper=pepper)


@contextmanager
def _report_file(path: Path | None) -> Iterator[Callable[[Any], None]]:
    """A function that writes a finding into a new file, which only its owner can read: it has contacts of people."""
    if path is None:
        yield lambda _: None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        die(f"{path} exists already.")
    except OSError as error:
        die(f"{path} cannot be written: {error.strerror}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:

        def note(finding: Any) -> None:
            line = {"kind": finding.kind.name.lower(), "user_id": finding.user_id, "detail": finding.detail}
            file.write(json.dumps(line) + "\n")

        try:
            yield note
        except (asyncio.CancelledError, KeyboardInterrupt):
            # The next run writes it whole, and would stop at a file that is there.
            path.unlink(missing_ok=True)
            raise


def _print(result: Any, report: Path | None, *, as_json: bool) -> None:
    from threepid.importers.records import Kind  # noqa: PLC0415 - see serving.py

    if as_json:
        shown = {name: getattr(result, name) for name in result.__struct_fields__}
        shown["findings"] = {name.lower(): count for name, count in result.findings.items()}
        sys.stdout.write(json.dumps({**shown, "complete": result.is_complete}, indent=2) + "\n")
        return
    if result.dry_run:
        out.print("Dry run: nothing was imported.")
    for part, count in result.carried.items():
        out.print(f"{count:>9}  {part.replace('_', ' ')}, of which {result.inserted[part]} are new", markup=False)
    out.print(f"{result.replaced:>9}  accounts changed since the last import", markup=False)
    for lost, title in ((True, "Look at these:"), (False, "Not carried, as it must be:")):
        found = [(Kind[name], count) for name, count in result.findings.items() if Kind[name].lost is lost]
        if found:
            out.print(f"\n{title}")
        for kind, count in found:
            out.print(f"{count:>9}  {kind.text}", markup=False)
    for mismatch in result.mismatches:
        out.print(f"The counts differ: {mismatch}", markup=False)
    if result.findings and report is None:
        out.print("\nWith `--report FILE`, each of these is written into a file.")
