"""`threepid suppressions …`."""

from typing import Annotated, Any

import typer

from threepid.cli.common import ConfigFile, format_time, load, out
from threepid.cli.operators import address_of, operate
from threepid.cli.tables import AsJson, print_json, print_list

app = typer.Typer(
    help="List the email addresses from which mails come back, and send mails to them again.", no_args_is_help=True
)


@app.command("list")
def list_suppressions(config_file: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """List the addresses that get no notices, with the kind, status, times and message of the reports about them."""
    from threepid.cli.server import Server, with_server  # noqa: PLC0415 - see serving.py
    from threepid.domain.suppressions import Suppression  # noqa: PLC0415 - see serving.py

    async def collect(server: Server) -> list[Suppression]:
        return await server.services.suppressions.all()

    found = with_server(load(config_file), collect)
    if as_json:
        print_json(
            {
                "address": one.canonical,
                "kind": one.kind,
                "status": one.status,
                "message_id": one.message_id,
                "first_at": one.first_at,
                "latest_at": one.latest_at,
            }
            for one in found
        )
        return
    rows = [
        (one.canonical, one.kind, one.status, format_time(one.first_at), format_time(one.latest_at), one.message_id)
        for one in found
    ]
    print_list(("address", "kind", "status", "first", "latest", "message"), rows, whole="address")


@app.command("remove")
def remove(
    address: Annotated[str, typer.Argument(help="The address from `suppressions list`.")],
    config_file: ConfigFile = None,
) -> None:
    """Send mails to an address again, and print the address."""
    parsed = address_of(address)

    async def lift(server: Any, operator: Any) -> None:
        await server.services.operations.remove_suppression(parsed, operator)

    operate(config_file, lift)
    out.print(f"removed {parsed.canonical}", markup=False)
