"""`threepid account …`."""

from pathlib import Path
from typing import Annotated

import typer

from threepid.cli.common import ConfigFile, die, format_time, load, out, read_text
from threepid.cli.tables import AsJson, print_json, print_list

app = typer.Typer(
    help="Create and list accounts, list their contacts, and choose administrators.", no_args_is_help=True
)


@app.command("create")
def create(
    username: Annotated[str, typer.Argument(help="The username, without `@` and server name.")],
    config_file: ConfigFile = None,
    password_file: Annotated[
        Path | None, typer.Option(help="Read the password from this file instead of prompting for it.")
    ] = None,
) -> None:
    """Create an account and print its user ID."""
    from threepid.cli.server import Server, homeserver_of, with_server  # noqa: PLC0415 - see serving.py

    if password_file is not None:
        password = read_text(password_file).rstrip("\r\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)

    async def create(server: Server) -> str:
        return await homeserver_of(server).registration.create(username, password)

    out.print(f"created {with_server(load(config_file), create, writes_accounts=True)}")


@app.command("list")
def list_accounts(config_file: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """List all accounts with their creation time, number of contacts and state."""
    from threepid.cli.server import Server, homeserver_of, with_server  # noqa: PLC0415 - see serving.py
    from threepid.storage.accounts import AccountSummary  # noqa: PLC0415 - see serving.py

    async def collect(server: Server) -> list[AccountSummary]:
        found: list[AccountSummary] = []
        after = ""
        while page := await homeserver_of(server).accounts.list_after(after, 500):
            found += page
            after = page[-1].user_id
        return found

    accounts = with_server(load(config_file), collect)
    if as_json:
        print_json(
            {
                "user_id": account.user_id,
                "created_at": account.created_at,
                "deactivated_at": account.deactivated_at,
                "contacts": account.contacts,
            }
            for account in accounts
        )
        return
    rows = [
        (
            account.user_id,
            format_time(account.created_at),
            str(account.contacts),
            "active" if account.deactivated_at is None else "deactivated",
        )
        for account in accounts
    ]
    print_list(("user ID", "created", "contacts", "state"), rows, whole="user ID")


@app.command("contacts")
def contacts(
    user: Annotated[str, typer.Argument(help="The user ID or username.")],
    config_file: ConfigFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List the contacts of an account, given by user ID or username, and when they were validated and added."""
    from threepid.cli.server import Server, homeserver_of, with_server  # noqa: PLC0415 - see serving.py
    from threepid.storage.threepids import Threepid  # noqa: PLC0415 - see serving.py

    settings = load(config_file)
    user_id = user if user.startswith("@") else f"@{user}:{settings.server.name}"

    async def collect(server: Server) -> list[Threepid] | None:
        if await homeserver_of(server).accounts.get(user_id) is None:
            return None
        return await homeserver_of(server).threepids.of(user_id)

    contacts = with_server(settings, collect)
    if contacts is None:
        die(f"There is no account {user_id}.")
    if as_json:
        print_json(
            {
                "medium": contact.medium,
                "address": contact.address,
                "validated_at": contact.validated_at,
                "added_at": contact.added_at,
            }
            for contact in contacts
        )
        return
    rows = [
        (contact.medium, contact.address, format_time(contact.validated_at), format_time(contact.added_at))
        for contact in contacts
    ]
    print_list(("medium", "address", "validated", "added"), rows, whole="address")


@app.command("admin")
def admin(
    user: Annotated[str, typer.Argument(help="The user ID or username.")],
    config_file: ConfigFile = None,
    *,
    remove: Annotated[bool, typer.Option(help="Make it an ordinary account again.")] = False,
) -> None:
    """Let the apps of an account ask for the administration of the homeserver (`urn:synapse:admin:*`)."""
    from threepid.cli.server import Server, homeserver_of, with_server  # noqa: PLC0415 - see serving.py

    settings = load(config_file)
    user_id = user if user.startswith("@") else f"@{user}:{settings.server.name}"

    async def choose(server: Server) -> bool:
        return await homeserver_of(server).accounts.set_admin(user_id, is_admin=not remove)

    if not with_server(settings, choose, writes_accounts=True):
        die(f"There is no account {user_id}.")
    out.print(f"{user_id} is {'an ordinary account' if remove else 'an administrator'}")
