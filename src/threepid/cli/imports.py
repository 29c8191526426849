"""`threepid import …`."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from threepid.cli.common import die, load, refuse
from threepid.cli.importing import AsJson, DryRun, OwnConfig, Report, end_with, print_result, report_file
from threepid.cli.operators import operator_here
from threepid.cli.progress import progress_bar

app = typer.Typer(help="Import the data of another server.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Import the data of another server."""


@app.command("synapse")
def synapse(
    config_files: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            help="Synapse's homeserver.yaml. Repeat the option for further files and folders, as Synapse was started.",
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
    dry_run: DryRun = False,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Import users with their passwords, contacts, devices and sessions from Synapse, which keeps running meanwhile.

    Run it again after Synapse was stopped: that brings only what changed. A run that was killed continues in the same way.
    The import writes nothing to Synapse's database. Exit status: 0 if everything was carried that can be, 3 if the report
    has something to look at, 2 for wrong arguments, 1 after another error.
    """
    from threepid.cli.server import Server, homeserver_of, with_server  # noqa: PLC0415 - see serving.py
    from threepid.importers.result import Result  # noqa: PLC0415 - see serving.py
    from threepid.importers.source import SourceError, open_source  # noqa: PLC0415 - see serving.py
    from threepid.importers.synapse.run import Import  # noqa: PLC0415 - see serving.py

    own = load(threepid_config)
    if own.homeserver is not None:
        die(
            "The configuration of threepid has [homeserver], so Synapse leaves the accounts to threepid already, and its own "
            "are out of date. Before the switch, import without that section."
        )

    async def work(server: Server) -> Result:
        accounts = homeserver_of(server).settings
        with open_source(settings.database, settings.arguments) as source, report_file(report) as note:
            begun = Import(
                server.context, accounts, settings, source, operator_here(server.context.clock), dry_run=dry_run
            )
            # Millions of small objects are made and none is in a circle: looking for circles would take a tenth of the time.
            gc.disable()
            with progress_bar("users", begun.total) as advance:
                return await begun.run(note, advance)

    settings = _settings(config_files or [], database, server_name, pepper_file)
    try:
        if settings.server_name != own.server.name:
            die(
                f"Synapse's server name is {settings.server_name}, and the one of threepid is {own.server.name}. "
                f'Set [server] name = "{settings.server_name}" first.'
            )
        result = with_server(own, work, writes_accounts=True)
    except SourceError as error:
        end_with(error)
    print_result(result, report, noun="accounts", as_json=as_json)


def _settings(config_files: list[Path], database: str | None, server_name: str | None, pepper_file: Path | None) -> Any:
    from threepid.importers.source import SourceError  # noqa: PLC0415 - see serving.py
    from threepid.importers.synapse import configuration  # noqa: PLC0415 - see serving.py

    if config_files:
        if server_name is not None or pepper_file is not None:
            refuse("`--server-name` and `--pepper-file` are for imports without `--config`, which says both.")
        try:
            return configuration.read(config_files, database=database)
        except SourceError as error:
            refuse(str(error))
    if database is None or server_name is None:
        _missing("Synapse's homeserver.yaml")
    pepper = ""
    if pepper_file is not None:
        try:
            pepper = pepper_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            refuse(f"{pepper_file} cannot be read as text.")
    return configuration.Settings(server_name=server_name, database=database, pepper=pepper)


@app.command("sydent")
def sydent(
    config_file: Annotated[Path | None, typer.Option("--config", help="Sydent's sydent.conf.")] = None,
    database: Annotated[
        str | None, typer.Option(help="URL of Sydent's database, in place of the configured one: `sqlite:PATH`.")
    ] = None,
    server_name: Annotated[
        str | None,
        typer.Option(help="Sydent's `server.name`, if there is no `--config`; then no signing key is imported."),
    ] = None,
    threepid_config: OwnConfig = None,
    *,
    dry_run: DryRun = False,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Import associations, pepper, tokens, invitations, accepted terms and the signing key from a Sydent that was stopped.

    The same command continues a run that was killed. It writes nothing to Sydent's database. Exit status: 0 if everything was
    carried that can be, 3 if the report has something to look at, 2 for wrong arguments, 1 after another error.
    """
    from threepid.importers.sydent import configuration  # noqa: PLC0415 - see serving.py
    from threepid.importers.sydent.origin import Sydent  # noqa: PLC0415 - see serving.py

    settings = _identity_settings(
        configuration, "Sydent's sydent.conf", config_file, database=database, server_name=server_name
    )
    _import_identity(
        threepid_config,
        settings,
        lambda source, checked: Sydent(source, settings, **checked),
        dry_run=dry_run,
        report=report,
        as_json=as_json,
    )


@app.command("ma1sd")
def ma1sd(
    config_file: Annotated[Path | None, typer.Option("--config", help="ma1sd's ma1sd.yaml.")] = None,
    database: Annotated[
        str | None,
        typer.Option(
            help="URL of ma1sd's database, in place of the configured one: `sqlite:PATH` or `postgresql://USER@HOST/NAME`."
        ),
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="ma1sd's folder of keys, in place of the configured one.")] = None,
    server_name: Annotated[
        str | None, typer.Option(help="ma1sd's `server.name`, in place of the configured one.")
    ] = None,
    threepid_config: OwnConfig = None,
    *,
    with_directory: Annotated[
        bool,
        typer.Option("--with-directory", help="Also bind the addresses that ma1sd had copied from its directories."),
    ] = False,
    dry_run: DryRun = False,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Import tokens, invitations with their keys, accepted terms and the signing keys from a ma1sd or mxisd that was stopped.

    The same command continues a run that was killed. It writes nothing to ma1sd's database. Exit status: 0 if everything was
    carried that can be, 3 if the report has something to look at, 2 for wrong arguments, 1 after another error.
    """
    from threepid.importers.ma1sd import configuration  # noqa: PLC0415 - see serving.py
    from threepid.importers.ma1sd.origin import Ma1sd  # noqa: PLC0415 - see serving.py

    settings = _identity_settings(
        configuration, "ma1sd's ma1sd.yaml", config_file, database=database, server_name=server_name, keys=keys
    )
    _import_identity(
        threepid_config,
        settings,
        lambda source, checked: Ma1sd(source, settings, with_directory=with_directory, **checked),
        dry_run=dry_run,
        report=report,
        as_json=as_json,
    )


def _identity_settings(
    configuration: Any, file: str, config_file: Path | None, *, database: str | None, **changes: Any
) -> Any:
    """What the configuration of the other server says, with the arguments in its place; `file` is how people call it."""
    from threepid.importers.source import SourceError  # noqa: PLC0415 - see serving.py

    if config_file is None:
        if not database or not changes["server_name"]:
            _missing(file)
        settings = configuration.Settings(server_name="", database=database)
    else:
        try:
            settings = configuration.read(config_file, database=database)
        except SourceError as error:
            refuse(str(error))
    return msgspec.structs.replace(settings, **{name: value for name, value in changes.items() if value is not None})


def _missing(what: str) -> NoReturn:
    refuse(f"Name {what} with `--config`, or use `--database` together with `--server-name`.")


def _import_identity(
    threepid_config: Path | None,
    settings: Any,
    origin_of: Callable[[Any, dict[str, Any]], Any],
    *,
    dry_run: bool,
    report: Path | None,
    as_json: bool,
) -> None:
    """Import from an identity server, print the result and end the program with its exit status."""
    from threepid.cli.server import Server, identity_of, with_server  # noqa: PLC0415 - see serving.py
    from threepid.importers.identity.run import Import  # noqa: PLC0415 - see serving.py
    from threepid.importers.result import Result  # noqa: PLC0415 - see serving.py
    from threepid.importers.source import SourceError, open_source  # noqa: PLC0415 - see serving.py

    own = load(threepid_config)

    async def work(server: Server) -> Result:
        identity = identity_of(server)
        if not identity.associations.is_named(settings.server_name):
            die(
                f"The other identity server's name is {settings.server_name}, and the one of threepid is "
                f'{identity.associations.name}. Set [identity] name = "{settings.server_name}" first.'
            )
        context = server.context
        checked = {
            "now": context.clock.now(),
            "hash_token": context.vault.hash_token,
            "documents": identity.settings.terms,
        }
        arguments = getattr(settings, "arguments", None)
        with open_source(settings.database, arguments) as source, report_file(report) as note:
            operator = operator_here(context.clock)
            begun = Import(context, identity.settings, origin_of(source, checked), operator, dry_run=dry_run)
            gc.disable()  # as above
            with progress_bar("rows", begun.total) as advance:
                return await begun.run(note, advance)

    try:
        result = with_server(own, work)
    except SourceError as error:
        end_with(error)
    print_result(result, report, noun="associations", as_json=as_json)
