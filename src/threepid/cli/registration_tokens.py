"""`threepid registration-token …`."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from threepid.cli.common import ConfigFile, format_time, load, out, refuse
from threepid.cli.operators import operate
from threepid.cli.tables import AsJson, print_json, print_list
from threepid.clock import DAY, HOUR, MINUTE
from threepid.spec.types import MAX_INTEGER

app = typer.Typer(help="Manage registration tokens, which let people register.", no_args_is_help=True)

_DURATION: Final = re.compile(r"(\d{1,5})([mhdw])")
_UNITS: Final = {"m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}


@app.command("create")
def create(
    config_file: ConfigFile = None,
    token: Annotated[str | None, typer.Option(help="The token; default: a random token.")] = None,
    uses: Annotated[
        int | None,
        typer.Option(max=MAX_INTEGER, help="Maximum number of registrations with the token; default: no limit."),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(help="Lifetime (90m, 12h, 30d, 2w) or end (2027-12-31, in UTC) of the token; default: no end."),
    ] = None,
) -> None:
    """Create a registration token and print it. The server stores only a hash, so the token cannot be printed again."""
    from threepid.cli.server import homeserver_of  # noqa: PLC0415 - see serving.py

    async def make(server: Any, operator: Any) -> str:
        tokens = homeserver_of(server).registration_tokens
        expires_at = None if expires is None else end_of(expires, server.context.clock.now())
        made: str = await server.services.operations.create_registration_token(
            tokens, token, operator, uses_allowed=uses, expires_at=expires_at
        )
        return made

    out.print(operate(config_file, make), markup=False)


@app.command("list")
def list_tokens(config_file: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """List the registration tokens with their hint, uses, times and state."""
    from threepid.cli.server import Server, homeserver_of, with_server  # noqa: PLC0415 - see serving.py
    from threepid.storage.registration_tokens import RegistrationToken  # noqa: PLC0415 - see serving.py

    async def collect(server: Server) -> list[tuple[RegistrationToken, str]]:
        tokens = homeserver_of(server).registration_tokens
        return [(token, tokens.state(token)) for token in await tokens.all_tokens()]

    found = with_server(load(config_file), collect)
    if as_json:
        print_json(
            {
                "hint": token.hint,
                "used": token.used,
                "uses_allowed": token.uses_allowed,
                "created_at": token.created_at,
                "expires_at": token.expires_at,
                "state": state,
            }
            for token, state in found
        )
        return
    rows = [
        (
            token.hint,
            str(token.used),
            "any number" if token.uses_allowed is None else str(token.uses_allowed),
            format_time(token.created_at),
            "never" if token.expires_at is None else format_time(token.expires_at),
            state,
        )
        for token, state in found
    ]
    print_list(("hint", "used", "uses allowed", "created", "expires", "state"), rows, whole="hint")


@app.command("delete")
def delete(
    name: Annotated[str, typer.Argument(help="The hint from `registration-token list`, or the token.")],
    config_file: ConfigFile = None,
) -> None:
    """Delete a registration token, given by its hint or by the token itself, and print its hint."""
    from threepid.cli.server import homeserver_of  # noqa: PLC0415 - see serving.py

    async def end(server: Any, operator: Any) -> str:
        tokens = homeserver_of(server).registration_tokens
        hint: str = await server.services.operations.delete_registration_token(tokens, name, operator)
        return hint

    out.print(f"deleted {operate(config_file, end)}", markup=False)


def end_of(text: str, now: int) -> int:
    """The end, in milliseconds since 1970, of a token with a lifetime or an end date."""
    if match := _DURATION.fullmatch(text):
        return now + int(match[1]) * _UNITS[match[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        refuse("--expires must be a duration such as 90m, 12h, 30d or 2w, or a date such as 2027-12-31.")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
