"""The command line: one module for each group of commands."""

import sys
from typing import Annotated

import typer

from threepid import __version__
from threepid.cli import (
    administration,
    bounces,
    completion,
    configuration,
    databases,
    imports,
    init,
    invites,
    keys,
    messages,
    outbox,
    peppers,
    proxy,
    registration_tokens,
    serving,
    support,
    suppressions,
)
from threepid.cli.common import err, out, sentence

app = typer.Typer(
    help="Manage contacts of Matrix accounts, and run an identity server.", no_args_is_help=True, add_completion=False
)
app.command()(init.init)
app.command()(serving.serve)
app.command()(serving.migrate)
app.command()(bounces.bounce)
app.command("completion")(completion.print_script)
app.add_typer(configuration.app, name="config")
app.command()(administration.resend)
app.add_typer(support.app, name="account")
app.add_typer(imports.app, name="import")
app.add_typer(databases.app, name="database")
app.add_typer(registration_tokens.app, name="registration-token")
app.add_typer(invites.app, name="invites")
app.add_typer(outbox.app, name="outbox")
app.add_typer(suppressions.app, name="suppressions")
app.add_typer(administration.limits, name="limits")
app.add_typer(administration.audit, name="audit")
app.add_typer(administration.tokens, name="operator-token")
app.add_typer(messages.app, name="message")
app.add_typer(keys.app, name="keys")
app.add_typer(peppers.app, name="pepper")
app.add_typer(proxy.app, name="proxy")


def main() -> None:
    """Run the command line."""
    completion.prepare()
    try:
        app(prog_name=completion.PROGRAM)
    except Exception as error:
        if (message := sentence(error)) is None:
            raise
        err.print(message, markup=False)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def version(*, show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Manage contacts of Matrix accounts, and run an identity server."""
    if show:
        out.print(f"threepid {__version__}")
        raise typer.Exit
