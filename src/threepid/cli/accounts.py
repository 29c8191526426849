"""`threepid account …`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from threepid.cli.common import ConfigFile, format_time, load, out, read_text, refuse
from threepid.cli.operators import operate
from threepid.cli.tables import AsJson, print_json, print_list
from threepid.config import Config

app = typer.Typer(
    help="Create, list, lock and deactivate accounts, list their contacts, and choose administrators.",
    no_args_is_help=True,
)
User = Annotated[str, typer.Argument(help="The user ID or username.")]


@app.command("create")
def create(
    username: Annotated[str, typer.Argument(help="The username, without `@` and server name.")],
    config_file: ConfigFile = None,
    password_file: Annotated[
        Path | None, typer.Option(help="Read the password from this file instead of prompting for it.")
    ] = None,
    *,
    no_password: Annotated[
        bool,
        typer.Option("--no-password", help="Set no password: add a contact, and send a link to choose one."),
    ] = False,
) -> None:
    """Create an account and print its user ID."""
    from threepid.cli.server import homeserver_of  # noqa: PLC0415 - see serving.py

    if no_password and password_file is not None:
        refuse("--no-password does not go with --password-file.")
    password = None
    if password_file is not None:
        password = read_text(password_file).rstrip("\r\n")
    elif not no_password:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)

    async def create(server: Any, operator: Any) -> str:
        return await homeserver_of(server).support.create(username, password, operator)

    out.print(f"created {operate(config_file, create, writes=True)}")


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
                "locked_at": account.locked_at,
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
            _state(account.deactivated_at, account.locked_at),
        )
        for account in accounts
    ]
    print_list(("user ID", "created", "contacts", "state"), rows, whole="user ID")


@app.command("contacts")
def contacts(
    user: User,
    config_file: ConfigFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List the contacts of an account, given by user ID or username, and when they were validated and added."""
    from threepid.cli.server import Server, homeserver_of, with_server  # noqa: PLC0415 - see serving.py
    from threepid.storage.threepids import Threepid  # noqa: PLC0415 - see serving.py

    settings = load(config_file)
    user_id = _user_id(settings, user)

    async def collect(server: Server) -> list[Threepid] | None:
        if await homeserver_of(server).accounts.get(user_id) is None:
            return None
        return await homeserver_of(server).threepids.of(user_id)

    contacts = with_server(settings, collect)
    if contacts is None:
        refuse(f"There is no account {user_id}.")
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


@app.command("lock")
def lock(user: User, config_file: ConfigFile = None) -> None:
    """Lock an account: nobody can sign in to it or use it, but its devices and contacts stay."""
    from threepid.cli.server import homeserver_of  # noqa: PLC0415 - see serving.py

    user_id = _user_id(load(config_file), user)

    async def lock(server: Any, operator: Any) -> bool:
        return await homeserver_of(server).support.lock(user_id, operator)

    if not operate(config_file, lock, writes=True):
        refuse(f"{user_id} is not an account, is deactivated, or is locked already.")
    out.print(f"locked {user_id}")


@app.command("unlock")
def unlock(user: User, config_file: ConfigFile = None) -> None:
    """Unlock an account, so that its devices can go on."""
    from threepid.cli.server import homeserver_of  # noqa: PLC0415 - see serving.py

    user_id = _user_id(load(config_file), user)

    async def unlock(server: Any, operator: Any) -> bool:
        return await homeserver_of(server).support.unlock(user_id, operator)

    if not operate(config_file, unlock, writes=True):
        refuse(f"{user_id} is not an account, is deactivated, or is not locked.")
    out.print(f"unlocked {user_id}")


@app.command("deactivate")
def deactivate(
    user: User,
    config_file: ConfigFile = None,
    *,
    erase: Annotated[
        bool, typer.Option("--erase", help="Also delete the profile, and hide messages if possible.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Deactivate an account: remove its devices, sessions and contacts, and never give its username to anybody else."""
    from threepid.cli.server import homeserver_of  # noqa: PLC0415 - see serving.py

    user_id = _user_id(load(config_file), user)
    if not yes:
        typer.confirm(f"Deactivate {user_id}?", abort=True)

    async def deactivate(server: Any, operator: Any) -> bool:
        if await homeserver_of(server).accounts.get(user_id) is None:
            refuse(f"There is no account {user_id}.")
        return await homeserver_of(server).support.deactivate(user_id, operator, erase=erase)

    operate(config_file, deactivate, writes=True)
    out.print(f"deactivated {user_id}")


@app.command("reactivate")
def reactivate(
    user: User,
    config_file: ConfigFile = None,
    password_file: Annotated[
        Path | None, typer.Option(help="Read a new password from this file. Without it, the account has no password.")
    ] = None,
) -> None:
    """Undo the deactivation of an account. Its contacts, devices and right to administer the server do not come back."""
    from threepid.cli.server import homeserver_of  # noqa: PLC0415 - see serving.py

    user_id = _user_id(load(config_file), user)
    password = None if password_file is None else read_text(password_file).rstrip("\r\n")

    async def reactivate(server: Any, operator: Any) -> None:
        await homeserver_of(server).support.reactivate(user_id, password, operator)

    operate(config_file, reactivate, writes=True)
    out.print(f"reactivated {user_id}")


@app.command("admin")
def admin(
    user: User,
    config_file: ConfigFile = None,
    *,
    remove: Annotated[bool, typer.Option(help="Make it an ordinary account again.")] = False,
) -> None:
    """Let an account open the console, and its apps ask for the administration of the homeserver and of people's accounts."""
    from threepid.cli.server import Server, homeserver_of, with_server  # noqa: PLC0415 - see serving.py

    settings = load(config_file)
    user_id = _user_id(settings, user)

    async def choose(server: Server) -> bool:
        return await homeserver_of(server).accounts.set_admin(user_id, is_admin=not remove)

    if not with_server(settings, choose, writes_accounts=True):
        refuse(f"There is no account {user_id}.")
    out.print(f"{user_id} is {'an ordinary account' if remove else 'an administrator'}")


def _user_id(settings: Config, user: str) -> str:
    return user if user.startswith("@") else f"@{user}:{settings.server.name}"


def _state(deactivated_at: int | None, locked_at: int | None) -> str:
    if deactivated_at is not None:
        return "deactivated"
    return "active" if locked_at is None else "locked"
