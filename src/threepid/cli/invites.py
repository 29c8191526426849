"""`threepid invites …`."""

from typing import Annotated, Any, Final

import typer

from threepid.cli.common import ConfigFile, format_time, out
from threepid.cli.operators import address_of, operate
from threepid.cli.tables import AsJson, print_json, print_list

app = typer.Typer(help="List and cancel invitations to email addresses and phone numbers.", no_args_is_help=True)

_PAGE: Final = 500


@app.command("list")
def list_invites(
    config_file: ConfigFile = None,
    *,
    address: Annotated[str, typer.Option(help="List only the invitations to this email address or phone number.")] = "",
    as_json: AsJson = False,
) -> None:
    """List all invitations with their address, sender, room, times and state, oldest first."""
    from threepid.cli.server import identity_of  # noqa: PLC0415 - see serving.py

    only = address_of(address) if address else None

    async def collect(server: Any, _operator: Any) -> list[Any]:
        invites, operations = identity_of(server).invites, server.services.operations
        found: list[Any] = []
        if only is None:
            while page := await operations.invites(invites, after=found[-1].id if found else None, count=_PAGE):
                found += page
            return found
        while page := await operations.invites_of(only, invites, before=found[-1].id if found else None, count=_PAGE):
            found += page
        return found[::-1]

    invites = operate(config_file, collect)
    if as_json:
        print_json(
            {
                "id": invite.id,
                "medium": invite.medium,
                "address": invite.address,
                "sender": invite.sender,
                "room_id": invite.room_id,
                "created_at": invite.created_at,
                "expires_at": invite.expires_at,
                "state": invite.state,
            }
            for invite in invites
        )
        return
    rows = [
        (
            invite.id,
            invite.medium,
            invite.address,
            invite.sender,
            invite.room_id,
            format_time(invite.created_at),
            format_time(invite.expires_at),
            invite.state,
        )
        for invite in invites
    ]
    print_list(("id", "medium", "address", "sender", "room", "created", "expires", "state"), rows, whole="id")


@app.command("cancel")
def cancel(
    invite_id: Annotated[
        str, typer.Argument(help="The ID from `invites list`. Put `--` before an ID that begins with a dash.")
    ],
    config_file: ConfigFile = None,
) -> None:
    """Cancel the invitation with this ID (after `--` if it begins with a dash), and print its address and room."""
    from threepid.cli.server import identity_of  # noqa: PLC0415 - see serving.py

    async def end(server: Any, operator: Any) -> str:
        invite = await server.services.operations.cancel_invite(invite_id, identity_of(server).invites, operator)
        return f"cancelled the invitation of {invite.address} to {invite.room_id}"

    out.print(operate(config_file, end), markup=False)
