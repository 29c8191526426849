"""`threepid account …`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from threepid.cli.common import ConfigFile, die, format_time, load, out, with_server

app = typer.Typer(help="Accounts of this server.", no_args_is_help=True)


@app.command("create")
def create(
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
        user_id: str = await server.services.accounts.check_username(username, by_operator=True)
        await server.services.accounts.register(user_id, password, None)
        return user_id

    out.print(f"created {with_server(load(config_file), create)}")


@app.command("list")
def list_accounts(config_file: ConfigFile = None) -> None:
    """List all accounts."""

    async def collect(server: Any) -> list[Any]:
        found = []
        after = ""
        while page := await server.services.accounts.list_after(after, 500):
            found += page
            after = page[-1].user_id
        return found

    table = Table("user ID", "created", "contacts", "state", box=None)
    for account in with_server(load(config_file), collect):
        state = "active" if account.deactivated_at is None else "deactivated"
        table.add_row(account.user_id, format_time(account.created_at), str(account.contacts), state)
    out.print(table)


@app.command("contacts")
def contacts(user: str, config_file: ConfigFile = None) -> None:
    """List the contacts of an account, given by user ID or username."""
    settings = load(config_file)
    user_id = user if user.startswith("@") else f"@{user}:{settings.server.name}"

    async def collect(server: Any) -> list[Any] | None:
        if await server.services.accounts.get(user_id) is None:
            return None
        contacts: list[Any] = await server.services.threepids.of(user_id)
        return contacts

    contacts = with_server(settings, collect)
    if contacts is None:
        die(f"There is no account {user_id}.")
    table = Table("medium", "address", "validated", "added", box=None)
    for contact in contacts:
        table.add_row(
            contact.medium,
            contact.address,
            format_time(contact.validated_at),
            format_time(contact.added_at),
        )
    out.print(table)
