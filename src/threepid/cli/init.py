"""`threepid init`."""

import os
import re
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from threepid import config
from threepid.cli.common import err, out, refuse
from threepid.cli.completion import offer
from threepid.config import ConfigError
from threepid.config.problem import is_server_name

_PLAIN: Final = re.compile(r"[\w/.+-]+", re.ASCII)
"""Paths in which no character means anything to systemd. https://www.freedesktop.org/software/systemd/man/systemd.syntax.html"""
_ROLES: Final = {"both": ("accounts", "identity"), "accounts": ("accounts",), "identity": ("identity",)}


def init(
    folder: Annotated[Path, typer.Argument(help="The folder of the configuration file and the unit.")] = Path(
        "/etc/threepid"
    ),
    name: Annotated[str | None, typer.Option(help="Matrix server name, such as example.org.")] = None,
    url: Annotated[
        str | None, typer.Option(help="URL at which people reach the server; default: https://NAME.")
    ] = None,
    roles: Annotated[
        str | None,
        typer.Option(
            help="`accounts` (homeserver), `identity`, or `both` (default).", autocompletion=offer(_ROLES.keys)
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(help="`sqlite` (default), or a URL such as postgresql:///threepid?host=/run/postgresql."),
    ] = None,
    relay: Annotated[
        str | None, typer.Option(help="Mail relay, as host or host:port; empty (default) = no mails.")
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="Folder of the keys and the SQLite database.")] = Path(
        "/var/lib/threepid"
    ),
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing: take the default of every flag that is missing.")
    ] = False,
) -> None:
    """Write a commented configuration, keys and a systemd unit for a new server. Overwrites nothing."""
    from threepid.cli.installing import Answers, CannotWrite, configuration, install  # noqa: PLC0415 - see serving.py

    def answer(given: str | None, question: str, default: str | None) -> str:
        if given is not None:
            return given.strip()
        if yes:
            return default if default is not None else refuse("Give --name: the Matrix server name has no default.")
        return str(typer.prompt(question, default=default, show_default=bool(default), err=True)).strip()

    for path in (folder.absolute(), data_dir.absolute()):
        if not _PLAIN.fullmatch(str(path)):
            refuse(f"{str(path)!r} cannot stand in a unit: use a path of letters, digits and the characters /._+-")
    config_file = folder.absolute() / "threepid.toml"
    if config_file.exists():
        refuse(f"{config_file} exists already: nothing was changed. Edit it, or move it away.")
    server_name = answer(name, "Matrix server name, such as example.org", None)
    if not is_server_name(server_name):
        refuse(f"[server] name: {server_name!r} is not the name of a server")
    answers = Answers(
        name=server_name,
        url=answer(url, "URL at which people reach the server", f"https://{server_name}"),
        roles=_ROLES.get(chosen := answer(roles, "Roles: accounts, identity or both", "both"), ())
        or refuse(f"{chosen!r} is none of accounts, identity, both."),
        database=answer(database, "Database: sqlite, or a postgresql:// URL", "sqlite"),
        relay=answer(relay, "Mail relay, as host or host:port; empty for none", ""),
        data_dir=data_dir.absolute(),
    )
    _refuse_unprintable(answers.url, answers.database, answers.relay)
    text = configuration(answers)
    _refuse_problems(text)
    try:
        install(answers, config_file, folder.absolute() / "threepid.service", text)
    except CannotWrite as error:
        refuse(str(error))
    out.print(f"wrote {config_file}", f"wrote {folder.absolute() / 'threepid.service'}", sep="\n", markup=False)
    out.print(f"keys are in {answers.data_dir / 'keys'}: back them up", markup=False)
    err.print(f"Next: threepid config check --config {config_file}", markup=False)


def _refuse_unprintable(*given: str) -> None:
    for text in given:
        if not text.isprintable():
            refuse(f"{text!r} has a line end or another character that cannot be printed.")


def _refuse_problems(text: str) -> None:
    """End the program if the answers make no configuration that a server would start with."""
    with tempfile.TemporaryDirectory(prefix="threepid-init-") as folder:
        file = Path(folder) / "threepid.toml"
        file.write_text(text, encoding="utf-8")
        try:
            settings = config.load(file, {name: value for name, value in os.environ.items() if "__" not in name})
        except ConfigError as error:
            refuse(*str(error).replace(f"{file}: ", "").splitlines())
    if problems := config.check(settings):
        refuse(*map(str, problems))
