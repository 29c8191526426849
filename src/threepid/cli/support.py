"""`threepid account show`, `search`, `set-password`, `contact …`, `devices …` and `sessions …`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from threepid.cli.accounts import app, state_of
from threepid.cli.common import ConfigFile, ask_password, format_time, out, read_text, refuse
from threepid.cli.operators import Account, Address, address_of, operate, time_or
from threepid.cli.tables import AsJson, print_json, print_list, print_object

__all__ = ["app"]

contact = typer.Typer(help="Add, verify and remove contacts of an account.", no_args_is_help=True)
devices = typer.Typer(help="List devices of an account, and log them out.", no_args_is_help=True)
sessions = typer.Typer(help="List browser sessions of an account, and end them.", no_args_is_help=True)
app.add_typer(contact, name="contact")
app.add_typer(devices, name="devices")
app.add_typer(sessions, name="sessions")


@app.command("search")
def search(
    text: Annotated[str, typer.Argument(help="An email address, a phone number with +, or the start of a username.")],
    config_file: ConfigFile = None,
    *,
    anywhere: Annotated[
        bool, typer.Option("--anywhere", help="Find the text in the middle of usernames, too, which takes longer.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the accounts that have an address or number, or whose username begins with a text, 100 at most."""

    async def find(server: Any, _operator: Any) -> list[Any]:
        return list(await _home(server).directory.search(text, anywhere=anywhere))

    found = operate(config_file, find)
    if as_json:
        print_json(_plain(found))
        return
    rows = [
        (one.user_id, format_time(one.created_at), str(one.contacts), state_of(one.deactivated_at, one.locked_at))
        for one in found
    ]
    print_list(("user ID", "created", "contacts", "state"), rows, whole="user ID")


@app.command("show")
def show(account: Account, config_file: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """Print an account: contacts, devices, browser sessions, used-up limits, and messages with what became of them."""

    async def find(server: Any, _operator: Any) -> tuple[Any, list[Any]]:
        directory = _home(server).directory
        user_id = await directory.find(account)
        return await directory.show(user_id), await directory.messages(user_id, count=20)

    shown, messages = operate(config_file, find)
    if as_json:
        print_json([{**_plain([shown])[0], "messages": _plain(messages)}])
        return
    out.print(f"user ID: {shown.user_id}", markup=False)
    out.print(f"created: {format_time(shown.created_at)}")
    out.print(f"deactivated: {time_or(shown.deactivated_at, 'no')}")
    out.print(f"locked: {time_or(shown.locked_at, 'no')}")
    out.print(f"administrator: {'yes' if shown.is_admin else 'no'}")
    out.print(f"password: {'yes' if shown.has_password else 'no'}")
    out.print("\ncontacts")
    print_list(
        ("medium", "address", "validated", "added", "no mails since", "status"),
        [
            (
                one.medium,
                one.address,
                format_time(one.validated_at),
                format_time(one.added_at),
                time_or(one.suppressed_since),
                one.suppressed_status or "",
            )
            for one in shown.contacts
        ],
        whole="address",
    )
    out.print("\ndevices")
    _print_devices(shown.devices)
    out.print("\nbrowser sessions")
    _print_sessions(shown.sessions)
    out.print("\nused-up limits")
    print_list(("limit", "until"), [(one.limit, format_time(one.until)) for one in shown.used_up_limits], whole="until")
    out.print("\nmessages")
    print_list(
        ("id", "message", "recipient", "state", "created", "sent", "came back", "why"),
        [
            (
                one.id,
                one.message,
                one.recipient,
                one.state,
                format_time(one.created_at),
                time_or(one.sent_at),
                time_or(one.returned_at),
                one.returned_status or one.last_error or "",
            )
            for one in messages
        ],
        whole="id",
    )


@app.command("export")
def export(account: Account, config_file: ConfigFile = None) -> None:
    """Print the data of an account as JSON, as its owner can download it: docs/account-data.md."""

    async def collect(server: Any, operator: Any) -> Any:
        user_id = await _home(server).directory.find(account)
        return await _home(server).support.export(user_id, operator)

    print_object(operate(config_file, collect))


@app.command("remains")
def remains(account: Account, config_file: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """Print which tables have rows about an account, and how many. After an erasure: docs/guides/retention.md says why."""

    async def count(server: Any, _operator: Any) -> list[Any]:
        directory = _home(server).directory
        return list(await directory.remains(await directory.find(account)))

    found = operate(config_file, count)
    if as_json:
        print_json({"table": one.table_name, "rows": one.count} for one in found)
        return
    print_list(("table", "rows"), [(one.table_name, str(one.count)) for one in found], whole="table")


@app.command("set-password")
def set_password(
    account: Account,
    config_file: ConfigFile = None,
    *,
    password_file: Annotated[
        Path | None, typer.Option(help="Read the password from this file instead of prompting for it.")
    ] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Send a link by which the owner chooses a password instead.")
    ] = False,
    keep_devices: Annotated[
        bool, typer.Option("--keep-devices", help="Leave the account's devices logged in.")
    ] = False,
) -> None:
    """Set the password of an account, or send a link to choose one, and print the user ID."""
    if link and (password_file or keep_devices):
        refuse("--link goes with neither --password-file nor --keep-devices.")

    async def check(server: Any, operator: Any) -> None:
        await _home(server).support.check_active(await _home(server).directory.find(account), operator)

    password = ""
    if password_file is not None:
        password = read_text(password_file).rstrip("\r\n")
    elif not link:
        operate(config_file, check, writes=True)
        password = ask_password()

    async def change(server: Any, operator: Any) -> str:
        user_id: str = await _home(server).directory.find(account)
        support = _home(server).support
        if link:
            address = await support.send_link(user_id, operator)
            return f"sent a link for {user_id} to {address}"
        await support.set_password(user_id, password, operator, log_out_devices=not keep_devices)
        return f"set the password of {user_id}"

    out.print(operate(config_file, change, writes=True), markup=False)


@contact.command("add")
def add_contact(account: Account, address: Address, config_file: ConfigFile = None) -> None:
    """Add an address that you know to be the owner's, without a confirmation, and print it."""
    parsed = address_of(address)

    async def add(server: Any, operator: Any) -> str:
        user_id: str = await _home(server).directory.find(account)
        for known in await _home(server).threepids.of(user_id):
            if (known.medium, known.canonical) == (parsed.medium, parsed.canonical):
                refuse(f"{user_id} has this contact already, as {known.address}. Nothing was changed.")
        await _home(server).support.add_contact(user_id, parsed, operator)
        return f"added {parsed.address} to {user_id}"

    out.print(operate(config_file, add, writes=True), markup=False)


@contact.command("verify")
def verify_contact(account: Account, address: Address, config_file: ConfigFile = None) -> None:
    """Record that a contact is still the owner's, so that it counts as validated now, and print it."""
    _change_contact(
        config_file, account, address, lambda support: support.verify_contact, "verified {address} of {user_id}"
    )


@contact.command("remove")
def remove_contact(account: Account, address: Address, config_file: ConfigFile = None) -> None:
    """Remove a contact of an account, unbind its address, and print it."""
    _change_contact(
        config_file, account, address, lambda support: support.remove_contact, "removed {address} from {user_id}"
    )


@devices.command("list")
def list_devices(account: Account, config_file: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """List the devices of an account, and when and from where they were last seen."""

    async def find(server: Any, _operator: Any) -> Any:
        return await _home(server).directory.show(await _home(server).directory.find(account))

    found = operate(config_file, find).devices
    if as_json:
        print_json(_plain(found))
    else:
        _print_devices(found)


@devices.command("logout")
def log_out(
    account: Account,
    device_id: Annotated[str, typer.Argument(help="The ID from `account devices list`.")] = "",
    config_file: ConfigFile = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Log out all devices and browsers.")] = False,
) -> None:
    """Log a device of an account out, or all devices and browsers, and print the user ID."""
    if bool(device_id) == every:
        refuse("Name a device, or use --all.")

    async def end(server: Any, operator: Any) -> str:
        user_id: str = await _home(server).directory.find(account)
        if every:
            await _home(server).support.log_out_everywhere(user_id, operator)
            return f"logged all devices and browsers of {user_id} out"
        await _home(server).support.log_out(user_id, device_id, operator)
        return f"logged {device_id} of {user_id} out"

    out.print(operate(config_file, end, writes=True), markup=False)


@sessions.command("list")
def list_sessions(account: Account, config_file: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """List the browsers that are signed in to an account, and when and from where they were last seen."""

    async def find(server: Any, _operator: Any) -> Any:
        return await _home(server).directory.show(await _home(server).directory.find(account))

    found = operate(config_file, find).sessions
    if as_json:
        print_json(_plain(found))
    else:
        _print_sessions(found)


@sessions.command("end")
def end_session(
    account: Account,
    session_id: Annotated[
        str, typer.Argument(help="The ID from `account sessions list`. Put `--` before an ID that begins with a dash.")
    ],
    config_file: ConfigFile = None,
) -> None:
    """Sign a browser of an account out, and print the ID of the session."""

    async def end(server: Any, operator: Any) -> str:
        user_id: str = await _home(server).directory.find(account)
        await _home(server).support.end_session(user_id, session_id, operator)
        return f"ended {session_id} of {user_id}"

    out.print(operate(config_file, end, writes=True), markup=False)


def _change_contact(
    config_file: Path | None, account: str, address: str, change_of: Callable[[Any], Callable[..., Any]], done: str
) -> None:
    """Do what `change_of` finds in the server's `support` with a contact of an account, and print `done`."""
    parsed = address_of(address)

    async def change(server: Any, operator: Any) -> str:
        user_id: str = await _home(server).directory.find(account)
        await change_of(_home(server).support)(user_id, parsed, operator)
        return done.format(address=parsed.address, user_id=user_id)

    out.print(operate(config_file, change, writes=True), markup=False)


def _home(server: Any) -> Any:
    from threepid.cli.server import homeserver_of  # noqa: PLC0415 - see serving.py

    return homeserver_of(server)


def _plain(views: list[Any]) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(view) for view in views]


def _print_devices(found: list[Any]) -> None:
    rows = [
        (
            one.device_id,
            one.display_name or "",
            format_time(one.created_at),
            time_or(one.seen_at),
            one.seen_from or "",
            one.user_agent or "",
        )
        for one in found
    ]
    print_list(("device ID", "name", "created", "last seen", "from", "user agent"), rows, whole="device ID")


def _print_sessions(found: list[Any]) -> None:
    rows = [
        (one.session_id, format_time(one.created_at), format_time(one.seen_at), one.seen_from, one.user_agent)
        for one in found
    ]
    print_list(("id", "created", "last seen", "from", "user agent"), rows, whole="id")
