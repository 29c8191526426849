"""What the commands for operators share: who acts, and what becomes of wrong arguments."""

import getpass
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer

from threepid.cli.common import ConfigFile, format_time, load, refuse
from threepid.config import Config

T = TypeVar("T")

Account = Annotated[
    str, typer.Argument(help="The account: a username, user ID, email address, or phone number with +.")
]
Address = Annotated[str, typer.Argument(help="An email address, or a phone number with + and the country code.")]


def operate(config_file: ConfigFile, work: Callable[[Any, Any], Awaitable[T]], *, writes: bool = False) -> T:
    """The result of `work` for a server without listeners and the operator."""
    from threepid.cli.server import Server, with_server  # noqa: PLC0415 - see serving.py
    from threepid.domain.operators.operator import Operator  # noqa: PLC0415 - see serving.py
    from threepid.domain.origin import Origin  # noqa: PLC0415 - see serving.py
    from threepid.spec.operator_scopes import Scope  # noqa: PLC0415 - see serving.py

    settings: Config = load(config_file)

    async def run(server: Server) -> T:
        operator = Operator(f"command line: {_user()}", Origin(server.context.clock.now()), frozenset(Scope))
        return await work(server, operator)

    return with_server(settings, run, writes_accounts=writes)


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
