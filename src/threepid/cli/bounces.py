"""`threepid bounce`."""

import sys
from typing import Annotated, Final

import typer

from threepid.cli.common import ConfigFile, complain, die, load, sentence

_TRY_AGAIN: Final = 75
"""`EX_TEMPFAIL` of sysexits.h: a mail server keeps the mail and tries again, and sends no mail about it."""


def bounce(
    config_file: ConfigFile = None,
    recipient: Annotated[
        str, typer.Option(help="The address that the mail was sent to; default: that in its header.")
    ] = "",
) -> None:
    """Take in a mail to `email.bounce_address` from standard input, for the pipe of a mail server. Print nothing.

    Ends with 0 whatever the mail is, and with 75 if it cannot be taken in now: then the mail server tries again.
    """
    try:
        _take(config_file, recipient)
    except typer.Exit:
        raise typer.Exit(_TRY_AGAIN) from None
    except Exception as error:  # noqa: BLE001 - any other status makes the mail server write a mail about it
        complain(sentence(error) or type(error).__name__)
        raise typer.Exit(_TRY_AGAIN) from None


def _take(config_file: ConfigFile, recipient: str) -> None:
    from threepid.cli.server import Server, with_server  # noqa: PLC0415 - see serving.py
    from threepid.domain.bounces.intake import MOST_BYTES  # noqa: PLC0415 - see serving.py

    settings = load(config_file)
    if settings.email is None or not settings.email.bounce_address:
        die("[email] bounce_address is not set.")
    raw = sys.stdin.buffer.read(MOST_BYTES)
    while sys.stdin.buffer.read(MOST_BYTES):
        continue  # a mail server takes a pipe that closes early for a failure

    async def take(server: Server) -> None:
        await server.services.bounces.take(raw, sent_to=recipient)

    with_server(settings, take)
