"""`threepid doctor`: asks this server, the homeserver beside it and everything around whether all is in place."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from threepid.cli.common import ConfigFile, load, out, printable, refuse
from threepid.cli.tables import print_json
from threepid.clock import Clock, Entropy
from threepid.config import Config

_FILES = "--homeserver-config"


def doctor(
    config_file: ConfigFile = None,
    *,
    homeserver_config: Annotated[
        list[Path] | None,
        typer.Option(
            _FILES,
            help="Synapse's homeserver.yaml, to look for settings that Synapse rejects or that disagree. "
            "May be repeated, also with a folder.",
        ),
    ] = None,
    seconds: Annotated[int, typer.Option(min=1, max=120, help="Time limit of each request, in seconds.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the running server through its public URL, and everything around it, and print what to change.

    Changes nothing and sends no message. Exit status: 0 if nothing fails, 1 if something does.
    """
    from threepid.cli.doctor.check import State  # noqa: PLC0415 - see serving.py
    from threepid.cli.doctor.checks import CHECKS, OF_FILES  # noqa: PLC0415 - see serving.py
    from threepid.cli.doctor.run import examine  # noqa: PLC0415 - see serving.py
    from threepid.cli.doctor.scene import Scene  # noqa: PLC0415 - see serving.py

    settings = load(config_file)
    theirs = _theirs(settings, homeserver_config or [])
    scene = Scene(settings, clock=Clock(), entropy=Entropy(), seconds=seconds, homeserver_settings=theirs)
    findings = asyncio.run(examine(scene, CHECKS if theirs is None else (*CHECKS, *OF_FILES)))
    if as_json:
        print_json(
            {"check": one.check, "question": one.question, "state": one.state.value, "change": one.change or None}
            for one in findings
        )
    else:
        for one in findings:
            out.print(f"{one.state.value:9}  {one.question}", markup=False)
            if one.change:
                out.print(f"{'':9}  -> {printable(one.change)}", markup=False)
        failures = sum(one.state is State.FAILURE for one in findings)
        warnings = sum(one.state is State.WARNING for one in findings)
        out.print(f"\nfailures: {failures}, warnings: {warnings}")
    if any(one.state is State.FAILURE for one in findings):
        raise typer.Exit(1)


def _theirs(settings: Config, files: list[Path]) -> Mapping[str, Any] | None:
    """The settings in the homeserver's files, if there are any."""
    from threepid.importers.source import SourceError  # noqa: PLC0415 - see serving.py
    from threepid.importers.synapse import configuration  # noqa: PLC0415 - see serving.py

    if not files:
        return None
    if settings.homeserver is None:
        refuse(f"`{_FILES}` is for a configuration with [homeserver].")
    try:
        return configuration.load(files, option=_FILES)
    except SourceError as error:
        refuse(str(error))
