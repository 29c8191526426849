"""A server without listeners, for commands that use the database. Import this module inside a command: see serving.py."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from threepid.app import Server
from threepid.cli.common import die, err, printable, status_of, with_key_errors
from threepid.clock import Clock, Entropy
from threepid.config import Config
from threepid.domain.services import Homeserver, IdentityServer
from threepid.spec.errors import MatrixError
from threepid.startup import account_of_another_name, connect, known_secrets, load_secrets, run_migrations
from threepid.storage.engine.database import StorageError
from threepid.telemetry import configure_logging

__all__ = ["Server", "homeserver_of", "identity_of", "migrate_database", "refuse_other_names", "with_server"]

T = TypeVar("T")


def refuse_other_names(settings: Config) -> None:
    """End the program if `server.name` was changed: accounts of the old name could not log in."""
    if settings.accounts is None:
        return
    user_id = asyncio.run(account_of_another_name(settings))
    if user_id is not None:
        name = user_id.partition(":")[2]
        die(
            f"[server] name: the database has accounts of {name}, such as {user_id}, which could not log in to "
            f'{settings.server.name}. A server cannot be renamed. Set name = "{name}", or use another database.'
        )


def migrate_database(settings: Config) -> list[str]:
    """Apply the missing migrations, and return their names."""
    try:
        return run_migrations(settings)
    except StorageError as error:
        die(str(error))


def homeserver_of(server: Server) -> Homeserver:
    """The homeserver. Ends the program if the configuration has no [accounts]."""
    return server.services.homeserver or die(
        "There is no homeserver here: the configuration has no [accounts]. Add it first."
    )


def identity_of(server: Server) -> IdentityServer:
    """The identity server. Ends the program if the configuration has no [identity]."""
    return server.services.identity or die(
        "There is no identity server here: the configuration has no [identity]. Add it first."
    )


def with_server(
    settings: Config, work: Callable[[Server], Awaitable[T]], *, any_secret: bool = False, writes_accounts: bool = False
) -> T:
    """The result of `work` for a server without listeners. `any_secret`: accept a secret that the database does not know."""
    configure_logging(level="warning")
    migrate_database(settings)
    if writes_accounts:
        refuse_other_names(settings)
    clock, entropy = Clock(), Entropy()

    async def run() -> T:
        database = connect(settings)
        try:
            secrets = (
                load_secrets(settings, entropy) if any_secret else await known_secrets(settings, database, entropy)
            )
        except BaseException:
            await database.close()
            raise
        server = Server(settings, clock=clock, entropy=entropy, database=database, secrets=secrets, background=False)
        try:
            if not any_secret:
                await server.recognise()
            return await work(server)
        finally:
            await server.stop()

    try:
        return with_key_errors(lambda: asyncio.run(run()))
    except MatrixError as error:
        err.print(printable(str(error.text)), markup=False)
        raise typer.Exit(status_of(error)) from None
