"""The command line."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from threepid import __version__, config
from threepid.config import Config, ConfigError, MailboxTransport

T = TypeVar("T")

app = typer.Typer(
    help="Contacts of Matrix accounts, and an identity server.", no_args_is_help=True, add_completion=False
)
config_app = typer.Typer(help="Check and explain the configuration.", no_args_is_help=True)
account_app = typer.Typer(help="Accounts of this server.", no_args_is_help=True)
keys_app = typer.Typer(help="The server's signing keys.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(account_app, name="account")
app.add_typer(keys_app, name="keys")
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="THREEPID_CONFIG", help="The TOML file. Without it: a development server."),
]


def main() -> None:
    """Run the command line."""
    app()


@app.callback(invoke_without_command=True)
def version(*, show: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    """Contacts of Matrix accounts, and an identity server."""
    if show:
        out.print(f"threepid {__version__}")
        raise typer.Exit


@app.command()
def serve(
    config_file: ConfigFile = None,
    workers: Annotated[int | None, typer.Option(help="Number of server processes.")] = None,
) -> None:
    """Serve until SIGTERM. Without a configuration: a development server on http://localhost:8008."""
    if workers is not None:
        os.environ["THREEPID__SERVER__WORKERS"] = str(workers)
    settings = _load(config_file)
    _refuse_problems(settings)
    with tempfile.TemporaryDirectory(prefix="threepid-metrics-") as metrics:
        if settings.server.metrics_listen:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
        # Imported here: the metrics library reads its environment when it is imported, and other commands start faster.
        from threepid import process  # noqa: PLC0415

        _migrate(settings)
        _prepare_secrets(settings)
        _banner(settings, development=config_file is None)
        try:
            process.serve(settings, config_file)
        except process.CannotServe as error:
            _die(str(error))


@app.command()
def migrate(config_file: ConfigFile = None) -> None:
    """Bring the database to this version's schema."""
    applied = _migrate(_load(config_file))
    for name in applied:
        out.print(f"applied {name}")
    if not applied:
        out.print("The database is up to date.")


@config_app.command("check")
def config_check(config_file: ConfigFile = None) -> None:
    """Say what is wrong with the configuration, and what to change."""
    settings = _load(config_file)
    _refuse_problems(settings)
    out.print("The configuration is good.")


@config_app.command("schema")
def config_schema() -> None:
    """The JSON Schema of the configuration."""
    out.print_json(json.dumps(config.schema()))


@config_app.command("example")
def config_example() -> None:
    """A configuration with every setting, its default and what it does."""
    sys.stdout.write(config.example())


@account_app.command("create")
def account_create(
    username: str,
    config_file: ConfigFile = None,
    password_file: Annotated[
        Path | None, typer.Option(help="Read the password from this file instead of asking.")
    ] = None,
) -> None:
    """Create an account."""
    if password_file is not None:
        password = password_file.read_text(encoding="utf-8").rstrip("\r\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)

    async def create(server: Any) -> str:
        user_id: str = await server.services.accounts.check_username(username)
        await server.services.accounts.register(user_id, password, None)
        return user_id

    out.print(f"created {_with_server(_load(config_file), create)}")


@account_app.command("list")
def account_list(config_file: ConfigFile = None) -> None:
    """List all accounts."""

    async def collect(server: Any) -> list[Any]:
        found = []
        after = ""
        while page := await server.services.accounts.list_after(after, 500):
            found += page
            after = page[-1].user_id
        return found

    table = Table("user ID", "created", "contacts", "state", box=None)
    for account in _with_server(_load(config_file), collect):
        state = "active" if account.deactivated_at is None else "deactivated"
        table.add_row(account.user_id, _format_time(account.created_at), str(account.contacts), state)
    out.print(table)


@account_app.command("contacts")
def account_contacts(user: str, config_file: ConfigFile = None) -> None:
    """List the contacts of an account, given by user ID or username."""
    settings = _load(config_file)
    user_id = user if user.startswith("@") else f"@{user}:{settings.server.name}"

    async def collect(server: Any) -> list[Any] | None:
        if await server.services.accounts.find(user=user_id) is None:
            return None
        contacts: list[Any] = await server.services.threepids.of(user_id)
        return contacts

    contacts = _with_server(settings, collect)
    if contacts is None:
        _die(f"There is no account {user_id}.")
    table = Table("medium", "address", "validated", "added", box=None)
    for contact in contacts:
        table.add_row(
            contact.medium,
            contact.address,
            _format_time(contact.validated_at),
            _format_time(contact.added_at),
        )
    out.print(table)


@keys_app.command("generate")
def keys_generate(config_file: ConfigFile = None) -> None:
    """Make the first signing key; does nothing if there is one."""
    from threepid.clock import Entropy  # noqa: PLC0415 - see serve
    from threepid.domain.keys import ensure_keyring  # noqa: PLC0415 - see serve

    _print_keys(_with_key_errors(lambda: ensure_keyring(_keys_directory(_load(config_file)), Entropy())))


@keys_app.command("rotate")
def keys_rotate(config_file: ConfigFile = None) -> None:
    """Make a new signing key and retire the one before. Restart the server afterwards."""
    from threepid.clock import Clock, Entropy  # noqa: PLC0415 - see serve
    from threepid.domain.keys import rotate_keyring  # noqa: PLC0415 - see serve

    _print_keys(_with_key_errors(lambda: rotate_keyring(_keys_directory(_load(config_file)), Entropy(), Clock())))


@keys_app.command("list")
def keys_list(config_file: ConfigFile = None) -> None:
    """List the signing keys with their public halves."""
    from threepid.domain.keys import load_keyring  # noqa: PLC0415 - see serve

    _print_keys(_with_key_errors(lambda: load_keyring(_keys_directory(_load(config_file)))))


def _keys_directory(settings: Config) -> Path:
    return Path(settings.server.data_dir) / "keys"


def _print_keys(keyring: Any) -> None:
    table = Table("key", "public key", "state", box=None)
    for key in keyring.keys:
        state = "in force" if key.retired_at is None else f"retired {_format_time(key.retired_at)}"
        table.add_row(key.key_id, key.public_key, state)
    out.print(table)


def _with_key_errors(work: Callable[[], T]) -> T:
    from threepid.domain.keys import KeyFileError  # noqa: PLC0415 - see serve

    try:
        return work()
    except KeyFileError as error:
        _die(str(error))


def _load(config_file: Path | None) -> Config:
    try:
        return config.load(config_file, os.environ)
    except ConfigError as error:
        _die(str(error))


def _refuse_problems(settings: Config) -> None:
    problems = config.check(settings)
    for problem in problems:
        err.print(str(problem), markup=False)
    if problems:
        raise typer.Exit(1)


def _migrate(settings: Config) -> list[str]:
    from threepid.app import run_migrations  # noqa: PLC0415 - see serve
    from threepid.storage.database import StorageError  # noqa: PLC0415 - see serve

    try:
        return run_migrations(settings)
    except StorageError as error:
        _die(str(error))


def _prepare_secrets(settings: Config) -> None:
    from threepid.app import load_secrets  # noqa: PLC0415 - see serve
    from threepid.clock import Entropy  # noqa: PLC0415 - see serve

    _with_key_errors(lambda: load_secrets(settings, Entropy()))


def _with_server(settings: Config, work: Callable[[Any], Awaitable[T]]) -> T:
    """What `work` returns for a server that does not listen."""
    from threepid.app import Server, connect, load_secrets  # noqa: PLC0415 - see serve
    from threepid.clock import Clock, Entropy  # noqa: PLC0415 - see serve
    from threepid.spec.errors import MatrixError  # noqa: PLC0415 - see serve
    from threepid.telemetry import configure_logging  # noqa: PLC0415 - see serve

    configure_logging(level="warning")
    _migrate(settings)
    clock, entropy = Clock(), Entropy()

    async def run() -> T:
        server = Server(
            settings,
            clock=clock,
            entropy=entropy,
            database=connect(settings),
            secrets=load_secrets(settings, entropy),
            background=False,
        )
        try:
            return await work(server)
        finally:
            await server.stop()

    try:
        return asyncio.run(run())
    except MatrixError as error:
        _die(error.message)


def _banner(settings: Config, *, development: bool) -> None:
    base = settings.server.public_base_url.rstrip("/")
    title = "threepid development server" if development else "threepid"
    lines = [f"[bold]{title}[/bold] {__version__} for [bold]{settings.server.name}[/bold]", ""]
    if settings.accounts is not None:
        lines.append(f"  accounts          {base}/_matrix/client/versions")
    if settings.identity is not None:
        lines.append(f"  identity server   {base}/_matrix/identity/versions")
    if settings.email is not None and any(isinstance(via, MailboxTransport) for via in settings.email.via):
        lines.append(f"  mailbox           {base}/mailbox/   (mails are kept here, none is sent)")
    if development:
        lines += ["", f"  Data is in {settings.server.data_dir}/. Registration is open. Not for the internet."]
    err.print("\n".join(["", *lines, ""]))


def _format_time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _die(message: str) -> NoReturn:
    err.print(message, markup=False)
    raise typer.Exit(1)
