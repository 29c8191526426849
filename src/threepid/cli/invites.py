"""`threepid invites …`."""

from typing import Any, Final

import typer
from rich.table import Column, Table

from threepid.cli.common import ConfigFile, die, format_time, load, out, with_server

app = typer.Typer(help="Invitations that wait for somebody to publish their address.", no_args_is_help=True)

_PAGE: Final = 500
_ID_LENGTH: Final = 12


@app.command("list")
def list_invites(config_file: ConfigFile = None) -> None:
    """List all invitations, oldest first."""

    async def collect(server: Any) -> list[tuple[Any, str]]:
        invites = _invites(server)
        found: list[tuple[Any, str]] = []
        last = None
        while page := await invites.list_after(last, _PAGE):
            found += [(invite, invites.state(invite)) for invite in page]
            last = page[-1]
        return found

    table = Table(
        Column("id", min_width=_ID_LENGTH),
        "medium",
        "address",
        "sender",
        "room",
        "created",
        "expires",
        "state",
        box=None,
    )
    for invite, state in with_server(load(config_file), collect):
        table.add_row(
            invite.id,
            invite.medium,
            invite.canonical,
            invite.sender,
            invite.room_id,
            format_time(invite.created_at),
            format_time(invite.expires_at),
            state,
        )
    out.print(table, markup=False)


@app.command("cancel")
def cancel(invite_id: str, config_file: ConfigFile = None) -> None:
    """End an invitation, given by its id; one that starts with a dash is given after `--`."""

    async def end(server: Any) -> str:
        invite = await _invites(server).cancel(invite_id)
        return f"cancelled the invitation of {invite.canonical} to {invite.room_id}"

    out.print(with_server(load(config_file), end), markup=False)


def _invites(server: Any) -> Any:
    if server.services.invites is None:
        die("There is no identity server in this configuration.")
    return server.services.invites
