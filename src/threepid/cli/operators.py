"""What the commands for operators share: who acts, and what becomes of wrong arguments."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer

from threepid.cli.common import ConfigFile, format_time, load, refuse, with_key_errors
from threepid.clock import Clock, Entropy
from threepid.config import Config

T = TypeVar("T")

Account = Annotated[
    str, typer.Argument(help="The account: a username, user ID, email address, or phone number with +.")
]
Address = Annotated[str, typer.Argument(help="An email address, or a phone number with + and the country code.")]


def operate(config_file: ConfigFile, work: Callable[[Any, Any], Awaitable[T]], *, writes: bool = False) -> T:
    """The result of `work` for a server without listeners and the operator."""
    from threepid.cli.server import Server, with_server  # noqa: PLC0415 - see serving.py

    settings: Config = load(config_file)

    async def run(server: Server) -> T:
        return await work(server, operator_here(server.context.clock))

    return with_server(settings, run, writes_accounts=writes)


def operator_here(clock: Clock) -> Any:
    """Who types the command."""
    from threepid.domain.operators.operator import Operator  # noqa: PLC0415 - see serving.py
    from threepid.domain.origin import Origin  # noqa: PLC0415 - see serving.py
    from threepid.spec.operator_scopes import Scope  # noqa: PLC0415 - see serving.py

    return Operator(f"command line: {_user()}", Origin(clock.now()), frozenset(Scope))


def note(settings: Config, event: Any, **details: str | int) -> None:
    """Append to the audit log what a command is about to change outside of the database.

    Ends the program with an error message if that fails: better an entry about something that did not happen than the reverse.
    """
    from threepid.cli.server import migrate_database  # noqa: PLC0415 - see serving.py
    from threepid.startup import in_context  # noqa: PLC0415 - see serving.py
    from threepid.telemetry import configure_logging  # noqa: PLC0415 - see serving.py

    configure_logging(level="warning")
    migrate_database(settings)
    operator = operator_here(Clock())

    async def append(context: Any) -> None:
        await context.database.write(lambda tx: operator.note(tx, context, event, "", **details))

    with_key_errors(lambda: asyncio.run(in_context(settings, Entropy(), append)))


def address_of(text: str) -> Any:
    """The address in `text`. Ends the program with status 2 if it is none."""
    from threepid.domain.addresses import InvalidAddress, parse_address  # noqa: PLC0415 - see serving.py

    try:
        return parse_address("email" if "@" in text else "msisdn", text)
    except InvalidAddress:
        refuse("This is neither an email address nor a phone number with + and the country code.")


def time_or(milliseconds: int | None, otherwise: str = "") -> str:
    """A time for people to read, or `otherwise`."""
    return otherwise if milliseconds is None else format_time(milliseconds)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
