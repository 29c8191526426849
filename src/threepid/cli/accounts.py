"""`threepid account …`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from threepid.cli.common import ConfigFile, ask_password, format_time, load, out, read_text, refuse
from threepid.cli.operators import Account, operate
from threepid.cli.tables import AsJson, print_json, print_list

app = typer.Typer(
    help="Find, show, create, lock and deactivate accounts, help their owners, and choose administrators.",
    no_args_is_help=True,
)


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

    async def check(server: Any, _operator: Any) -> None:
        await homeserver_of(server).support.check_username(username)

    password = None
    if password_file is not None:
        password = read_text(password_file).rstrip("\r\n")
    elif not no_password:
        operate(config_file, check, writes=True)
        password = ask_password()

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
            state_of(account.deactivated_at, account.locked_at),
        )
        for account in accounts
    ]
    print_list(("user ID", "created", "contacts", "state"), rows, whole="user ID")


@app.command("contacts")
def contacts(
    account: Account,
    config_file: ConfigFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List the contacts of an account, and when they were validated and added."""

    async def collect(server: Any, _operator: Any) -> list[Any]:
        return list(await _home(server).threepids.of(await _home(server).directory.find(account)))

    contacts = operate(config_file, collect)
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
def lock(account: Account, config_file: ConfigFile = None) -> None:
    """Lock an account: nobody can sign in to it or use it, but its devices and contacts stay."""

    async def lock(server: Any, operator: Any) -> str:
        user_id: str = await _home(server).directory.find(account)
        if not await _home(server).support.lock(user_id, operator):
            refuse(f"{user_id} is locked already, or deactivated.")
        return user_id

    out.print(f"locked {operate(config_file, lock, writes=True)}", markup=False)


@app.command("unlock")
def unlock(account: Account, config_file: ConfigFile = None) -> None:
    """Unlock an account, so that its devices can go on."""

    async def unlock(server: Any, operator: Any) -> str:
        user_id: str = await _home(server).directory.find(account)
        if not await _home(server).support.unlock(user_id, operator):
            refuse(f"{user_id} is not locked, or is deactivated.")
        return user_id

    out.print(f"unlocked {operate(config_file, unlock, writes=True)}", markup=False)


@app.command("deactivate")
def deactivate(
    account: Account,
    config_file: ConfigFile = None,
    *,
    erase: Annotated[
        bool,
        typer.Option(
            "--erase",
            help="Also delete the profile, preferences, accepted terms, finished messages and entries of the audit log, and "
            "have a homeserver beside this server hide what the account wrote.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Deactivate an account: remove its devices, sessions and contacts, and never give its username to anybody else."""

    async def find(server: Any, _operator: Any) -> str:
        user_id: str = await _home(server).directory.find(account)
        return user_id

    async def deactivate(server: Any, operator: Any) -> None:
        await _home(server).support.deactivate(user_id, operator, erase=erase)

    user_id = operate(config_file, find)
    if not yes:
        typer.confirm(f"Deactivate {user_id}?", abort=True)
    operate(config_file, deactivate, writes=True)
    out.print(f"deactivated {user_id}", markup=False)


@app.command("reactivate")
def reactivate(
    account: Account,
    config_file: ConfigFile = None,
    password_file: Annotated[
        Path | None, typer.Option(help="Read a new password from this file. Without it, the account has no password.")
    ] = None,
) -> None:
    """Undo the deactivation of an account. Its contacts, devices and right to administer the server do not come back."""
    password = None if password_file is None else read_text(password_file).rstrip("\r\n")

    async def reactivate(server: Any, operator: Any) -> str:
        user_id: str = await _home(server).directory.find(account)
        await _home(server).support.reactivate(user_id, password, operator)
        return user_id

    out.print(f"reactivated {operate(config_file, reactivate, writes=True)}", markup=False)


@app.command("admin")
def admin(
    account: Account,
    config_file: ConfigFile = None,
    *,
    remove: Annotated[bool, typer.Option(help="Make it an ordinary account again.")] = False,
) -> None:
    """Let an account open the console, and its apps ask for the administration of the homeserver and of people's accounts."""

    async def choose(server: Any, operator: Any) -> str:
        user_id: str = await _home(server).directory.find(account)
        if not await _home(server).support.set_admin(user_id, operator, is_admin=not remove):
            refuse(f"{user_id} is deactivated.")
        return user_id

    user_id = operate(config_file, choose, writes=True)
    out.print(f"{user_id} is {'an ordinary account' if remove else 'an administrator'}", markup=False)


def _home(server: Any) -> Any:
    from threepid.cli.server import homeserver_of  # noqa: PLC0415 - see serving.py

    return homeserver_of(server)


def state_of(deactivated_at: int | None, locked_at: int | None) -> str:
    """An account's state in one word."""
    if deactivated_at is not None:
        return "deactivated"
    return "active" if locked_at is None else "locked"
