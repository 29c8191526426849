"""`threepid keys …`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from threepid.cli.common import (
    ConfigFile,
    die,
    err,
    format_time,
    load,
    out,
    read_text,
    uninterrupted,
    with_key_errors,
)
from threepid.cli.operators import note, operator_here
from threepid.cli.tables import AsJson, print_json, print_list
from threepid.clock import Clock, Entropy
from threepid.config import Config, database_url
from threepid.domain.secrets import keys
from threepid.domain.secrets.keys import Keyring

app = typer.Typer(help="Manage the server's signing keys and the secret of its database.", no_args_is_help=True)

_LOST = """\
This database was used with another vault.secret. Without the old secret, you lose:

  - codes and links that were sent but not used yet, and their validation sessions
  - registrations and other requests with unfinished authentication
  - messages in the outbox, and calls in the outbox: identity servers that could not be reached are not asked again to
    unbind addresses, and homeservers are not told about invitations that waited for their users
  - registration tokens: create new ones
  - the list of people who want no more invitations, and the links in invitations that were sent
  - the counts of all limits and lookup budgets, which start again at zero

Accounts, passwords, logins, contacts and bound addresses stay. If you find the old vault.secret later, put it back
and run this command again.
"""

_RESTART = "Restart the server to use the new keys."
_INVITATIONS = (
    "Invitations that were sent before can no longer be accepted by binding the address, because their rooms name the "
    "old key; the links in their mails still work."
)


@app.command("generate")
def generate(config_file: ConfigFile = None) -> None:
    """Create the first signing key if there is none, and print all keys."""
    _print_keys(with_key_errors(lambda: keys.ensure_keyring(_keys_directory(load(config_file)), Entropy())))


@app.command("rotate")
def rotate(config_file: ConfigFile = None) -> None:
    """Create a new signing key, retire the current key, and print all keys. Restart the server afterwards.

    Invitations that were sent before can then no longer be accepted by binding the address; the links in their mails still work.
    After a rotation that was killed, complete it instead. The audit log notes the command first, so it needs the database.
    """
    from threepid.domain.audit import Event  # noqa: PLC0415 - see serving.py

    settings = load(config_file)
    directory = _keys_directory(settings)
    change = with_key_errors(lambda: keys.rotation(directory))
    note(settings, Event.SIGNING_KEY_ROTATED, **change.details)
    with uninterrupted():
        keyring = with_key_errors(lambda: keys.rotate_keyring(directory, Entropy(), Clock()))
    _print_keys(keyring)
    if not change.added:
        err.print("The interrupted rotation is complete.")
    err.print(_RESTART)
    err.print(_INVITATIONS)


@app.command("import")
def import_keys(
    file: Annotated[Path, typer.Argument(help="The configuration file of Sydent, or the `signing.key` of Synapse.")],
    *,
    retired: Annotated[
        bool,
        typer.Option("--retired", help="Import the keys as retired: they verify old signatures, and sign nothing new."),
    ] = False,
    config_file: ConfigFile = None,
) -> None:
    """Import the keys of another server, and print all keys. The first imported key signs from now on; all others are retired.

    Restart the server afterwards. The audit log notes the command first, so it needs the database.
    """
    from threepid.domain.audit import Event  # noqa: PLC0415 - see serving.py

    text = read_text(file)
    settings = load(config_file)
    directory = _keys_directory(settings)
    with_key_errors(lambda: keys.check_files(directory))
    change = with_key_errors(lambda: keys.importing(directory, text, retired=retired), of_argument=True)
    note(settings, Event.SIGNING_KEYS_IMPORTED, **change.details)
    with uninterrupted():
        keyring = with_key_errors(lambda: keys.import_keys(directory, text, Clock(), retired=retired), of_argument=True)
    _print_keys(keyring)
    err.print(_RESTART)


@app.command("list")
def list_keys(config_file: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """List the signing keys with their public keys and state."""
    keyring = with_key_errors(lambda: keys.load_keyring(_keys_directory(load(config_file))))
    if not as_json:
        _print_keys(keyring)
        return
    print_json(
        {"key_id": key.key_id, "public_key": key.public_key, "retired_at": key.retired_at} for key in keyring.keys
    )


@app.command("accept-new-secret")
def accept_new_secret(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    config_file: ConfigFile = None,
) -> None:
    """Accept a new `vault.secret` for the database after the old one was lost. Prints what you lose, then asks for confirmation.

    Stop all servers that use the database first.
    """
    from threepid.cli.server import Server, migrate_database, with_server  # noqa: PLC0415 - see serving.py
    from threepid.domain.secrets import fingerprint  # noqa: PLC0415 - see serving.py
    from threepid.startup import has_lost_secret  # noqa: PLC0415 - see serving.py
    from threepid.storage.engine.lock import only_server  # noqa: PLC0415 - see serving.py

    settings = load(config_file)

    async def differs(server: Server) -> bool:
        context = server.context
        return await fingerprint.differs(context.database, context.vault, context.clock)

    async def take(server: Server) -> None:
        await server.services.operations.accept_secret(operator_here(server.context.clock))

    def accept() -> None:
        with only_server(database_url(settings)):
            migrate_database(settings)
            # A new secret is made after the confirmation only.
            if not asyncio.run(has_lost_secret(settings)) and not with_server(settings, differs, any_secret=True):
                out.print("The database already uses this secret. There is nothing to do.")
                return
            err.print(_LOST)
            if not yes and not _confirmed():
                die("Nothing was changed. To continue, answer `y` or use `--yes`.")
            with_server(settings, take, any_secret=True)
            out.print("The new secret is accepted.")

    with_key_errors(accept)


def _confirmed() -> bool:
    try:
        return typer.confirm("Continue with the new secret?", err=True)
    except typer.Abort as abort:
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise
        # Standard input is closed.
        err.print("")
        return False


def _keys_directory(settings: Config) -> Path:
    return Path(settings.server.data_dir) / "keys"


def _print_keys(keyring: Keyring) -> None:
    rows = [
        (
            key.key_id,
            key.public_key,
            "in force" if key.retired_at is None else f"retired {format_time(key.retired_at)}",
        )
        for key in keyring.keys
    ]
    print_list(("key", "public key", "state"), rows, whole="public key")
