"""The command line: one module for each group of commands."""

import errno
import sys
from typing import Annotated, NoReturn

import typer

from threepid import __version__
from threepid.cli import (
    administration,
    bounces,
    completion,
    configuration,
    databases,
    doctor,
    homeserver,
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
from threepid.cli.common import complain, err, out, printable, sentence, status_of
from threepid.output import finish_output, is_of_output, open_output
from threepid.spec.errors import MatrixError

app = typer.Typer(
    help="Manage contacts of Matrix accounts, and run an identity server.", no_args_is_help=True, add_completion=False
)
app.command()(init.init)
app.command()(serving.serve)
app.command()(serving.migrate)
app.command()(doctor.doctor)
app.command()(bounces.bounce)
app.command("completion")(completion.print_script)
app.add_typer(configuration.app, name="config")
app.command()(administration.resend)
app.add_typer(support.app, name="account")
app.add_typer(homeserver.app, name="homeserver")
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
    """Run the command line. Exit status: 2 for wrong arguments, 1 for everything else that fails."""
    open_output()
    try:
        _run()
    except SystemExit as end:
        if lost := finish_output():
            _end_without_output(lost, end.code)
        raise
    except OSError:
        if lost := finish_output():
            _end_without_output(lost, None)
        raise


def _end_without_output(lost: OSError, status: object) -> NoReturn:
    """End a command whose output is not complete. If nobody reads it, that is nothing to say."""
    if lost.errno != errno.EPIPE:
        err.print(f"Standard output cannot be written: {lost.strerror}.", markup=False)
    sys.exit(status if isinstance(status, int) and status else 1)


def _run() -> None:
    """Run the command line, and end with its exit status."""
    completion.prepare()
    try:
        # Commands return nothing: what comes is the exit status of one that ended before its end.
        status = app(standalone_mode=False, prog_name=completion.PROGRAM)
    except typer.TyperException as error:
        if usage := error.format_message():  # without arguments, the help was printed
            err.print(_of_usage(usage, getattr(error, "ctx", None)), markup=False)
        sys.exit(error.exit_code)
    except typer.Abort:
        err.print("Aborted.")
        sys.exit(1)
    except Exception as error:
        if is_of_output(error) or (message := sentence(error)) is None:
            raise
        complain(message)
        sys.exit(status_of(error) if isinstance(error, MatrixError) else 1)
    sys.exit(status or 0)


def _of_usage(message: str, context: typer.Context | None) -> str:
    """One sentence about arguments that do not fit, in one line."""
    line = printable(" ".join(message.split())).rstrip(".").replace(": Value error, ", ": ", 1)
    if context is None:
        return f"{line}."
    return (
        f"{line} See `{context.command_path} --help`."
        if line.endswith("?")
        else f"{line}: see `{context.command_path} --help`."
    )


@app.callback(invoke_without_command=True)
def version(*, show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Manage contacts of Matrix accounts, and run an identity server."""
    if show:
        out.print(f"threepid {__version__}")
        raise typer.Exit
