"""`threepid limits clear`, `resend`, `audit export` and `operator-token …`."""

import sys
from typing import Annotated, Any

import msgspec
import typer

from threepid.cli import completion
from threepid.cli.common import ConfigFile, complain, format_time, out, refuse
from threepid.cli.operators import address_of, operate, time_or
from threepid.cli.registration_tokens import end_of
from threepid.cli.tables import AsJson, print_json, print_list

limits = typer.Typer(help="Fill used-up limits again.", no_args_is_help=True)
audit = typer.Typer(help="Read the audit log.", no_args_is_help=True)
tokens = typer.Typer(help="Manage operator tokens, which open the console and the admin API.", no_args_is_help=True)


@limits.command("clear")
def clear(
    config_file: ConfigFile = None,
    *,
    account: Annotated[str, typer.Option(help="An account: username, user ID, email address or phone number.")] = "",
    address: Annotated[str, typer.Option(help="An email address, or a phone number with +.")] = "",
    network: Annotated[str, typer.Option(help="An IP address or network.")] = "",
) -> None:
    """Fill the limits again that keep an account, an address or a network out, and print how many there were."""
    parsed = address_of(address) if address else None

    async def fill(server: Any, operator: Any) -> int:
        from threepid.cli.server import homeserver_of  # noqa: PLC0415 - see serving.py

        user_id = await homeserver_of(server).directory.find(account) if account else ""
        cleared: int = await server.services.operations.clear_limits(
            operator, user_id=user_id, address=parsed, network=network
        )
        return cleared

    count = operate(config_file, fill)
    out.print(f"cleared {count} {'limit' if count == 1 else 'limits'}")


def resend(
    message_id: Annotated[
        str,
        typer.Argument(
            help="The ID from `account show` or `outbox list`. Put `--` before one that begins with a dash."
        ),
    ],
    config_file: ConfigFile = None,
) -> None:
    """Send a message now that waits for another attempt, and print its ID."""

    async def hurry(server: Any, operator: Any) -> None:
        await server.services.operations.resend(message_id, operator)

    operate(config_file, hurry)
    out.print(f"{message_id} is sent now", markup=False)


@audit.command("export")
def export(
    config_file: ConfigFile = None,
    *,
    since: Annotated[str, typer.Option(help="Begin at this date or time, such as 2027-12-31, in UTC.")] = "",
    until: Annotated[str, typer.Option(help="End before this date or time, in UTC.")] = "",
    event: Annotated[
        str,
        typer.Option(
            help="Only entries about this event, such as locked.",
            autocompletion=completion.offer(completion.events),
        ),
    ] = "",
    account: Annotated[
        str, typer.Option(help="Only entries about this account: a username, user ID, email address or phone number.")
    ] = "",
) -> None:
    """Print the audit log as lines of JSON, oldest first: all entries, then failed logins and limits by minute."""
    from threepid.domain.operators.trail import Which  # noqa: PLC0415 - see serving.py

    times = {name: _moment(name, text) for name, text in (("since", since), ("until", until)) if text}
    if len(times) > 1 and times["until"] <= times["since"]:
        refuse("--until must be later than --since.")
    if event and event not in completion.events():
        refuse(f"--event must be one of {', '.join(completion.events())}.")

    async def write(server: Any, operator: Any) -> None:
        user_id = await server.services.account_in_log(account, operator)
        async for line in server.services.trail.export(Which(event, user_id, **times)):
            sys.stdout.write(line.decode("utf-8") + "\n")

    operate(config_file, write)


def _moment(name: str, text: str) -> int:
    """The time in `text`, in milliseconds. Ends the program with status 2 if it is none."""
    from datetime import UTC, datetime  # noqa: PLC0415 - only here

    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0, int(moment.timestamp() * 1000))
    except (ValueError, OverflowError):
        refuse(f"--{name} must be a date such as 2027-12-31.")


@tokens.command("create")
def create(
    name: Annotated[str, typer.Argument(help="A name for the audit log.")],
    config_file: ConfigFile = None,
    *,
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope",
            help="A scope, such as accounts:read; may be repeated.",
            autocompletion=completion.offer(completion.scopes),
        ),
    ] = [],  # noqa: B006 - typer copies it
    expires: Annotated[str, typer.Option(help="Lifetime (12h, 30d) or end (2027-12-31, in UTC) of the token.")] = "90d",
) -> None:
    """Create an operator token and print it. The server stores only a hash, so the token cannot be printed again."""

    async def make(server: Any, operator: Any) -> str:
        end = end_of(expires, server.context.clock.now())
        made: str = await server.services.operator_tokens.create(name, scope, expires_at=end, operator=operator)
        if not server.context.config.admin.networks:
            complain("Warning: [admin] networks is empty, so there is no admin API and no console to use the token at.")
        return made

    out.print(operate(config_file, make), markup=False)


@tokens.command("list")
def list_tokens(config_file: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """List the operator tokens with their scopes, times and latest use."""

    async def collect(server: Any, _operator: Any) -> list[Any]:
        return list(await server.services.operator_tokens.all_tokens())

    found = operate(config_file, collect)
    if as_json:
        print_json({**msgspec.to_builtins(one), "scopes": one.scopes.split()} for one in found)
        return
    rows = [
        (one.name, one.scopes, format_time(one.created_at), format_time(one.expires_at), time_or(one.used_at, "never"))
        for one in found
    ]
    print_list(("name", "scopes", "created", "expires", "last used"), rows, whole="name")


@tokens.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="The name from `operator-token list`.")], config_file: ConfigFile = None
) -> None:
    """Revoke an operator token, and print its name."""

    async def end(server: Any, operator: Any) -> None:
        await server.services.operator_tokens.revoke(name, operator)

    operate(config_file, end)
    out.print(f"revoked {name}", markup=False)
