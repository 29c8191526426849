"""`threepid homeserver …`."""

import typer

from threepid.cli.common import ConfigFile, die, load, out
from threepid.cli.operators import operator_here

app = typer.Typer(help="Work with the homeserver beside this server.", no_args_is_help=True)


@app.callback()
def homeserver() -> None:
    """Work with the homeserver beside this server."""


@app.command("resync")
def resync(config_file: ConfigFile = None) -> None:
    """Tell the homeserver of all accounts, contacts and devices again, and print how many accounts there are.

    Run it after the homeserver was restored from a backup, before clients reach the homeserver. The running server sends it.
    """
    from threepid.cli.server import Server, homeserver_of, with_server  # noqa: PLC0415 - see serving.py

    settings = load(config_file)
    if settings.homeserver is None:
        die("There is no homeserver beside this server: the configuration has no [homeserver].")

    async def queue(server: Server) -> int:
        operations, operator = server.services.operations, operator_here(server.context.clock)
        return await operations.resync(homeserver_of(server).provisioning, operator)

    count = with_server(settings, queue)
    out.print(f"{count} {'account' if count == 1 else 'accounts'}: `threepid outbox list` shows what waits")
