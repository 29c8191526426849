"""The configuration, the database, and what messages go through."""

import asyncio
from pathlib import Path
from typing import Final

from threepid import config
from threepid.cli.doctor.check import OK, Verdict, check, failure, warning
from threepid.cli.doctor.scene import Scene
from threepid.config import Config
from threepid.delivery import trial
from threepid.domain.secrets.files import KeyFileError
from threepid.domain.secrets.keys import check_files
from threepid.startup import database_trouble


@check("Is the configuration safe?")
async def configuration_is_safe(scene: Scene) -> Verdict:
    """Look at what `config check` looks at."""
    problems = [str(problem) for problem in config.check(scene.settings)]
    try:
        check_files(Path(scene.settings.server.data_dir) / "keys")
    except KeyFileError as error:
        problems.append(str(error))
    if problems:
        return failure("; ".join(problems))
    doubts = [str(doubt) for doubt in config.warnings(scene.settings)]
    return warning("; ".join(doubts)) if doubts else OK


@check("Can the database be used?", patience=3)
async def database_answers(scene: Scene) -> Verdict:
    """Connect to it."""
    trouble = await asyncio.to_thread(database_trouble, scene.settings, max(1, int(scene.seconds)))
    return OK if trouble is None else failure(f"{trouble}.")


@check("Do the mail relays accept us?", where=lambda settings: settings.email is not None)
async def relays_accept_us(scene: Scene) -> Verdict:
    """Connect, begin TLS and log in; send nothing."""
    return _all_of(await trial.relays(scene.settings, scene.seconds))


@check("Do the SMS gateways accept connections?", where=lambda settings: settings.sms is not None)
async def gateways_accept_connections(scene: Scene) -> Verdict:
    """Resolve their names and connect; send nothing."""
    return _all_of(await trial.gateways(scene.settings, scene.seconds, connect=True))


def _all_of(troubles: list[config.Problem]) -> Verdict:
    return failure("; ".join(map(str, troubles))) if troubles else OK


def _has_no_contacts(settings: Config) -> bool:
    return settings.email is None and settings.sms is None


@check("Can people be sent anything?", where=_has_no_contacts)
async def something_can_be_sent(scene: Scene) -> Verdict:  # noqa: ARG001 - the section is missing
    """Say that nothing can."""
    return warning("The configuration has neither [email] nor [sms]: nobody can prove an address.")


CHECKS: Final = (
    configuration_is_safe,
    database_answers,
    relays_accept_us,
    gateways_accept_connections,
    something_can_be_sent,
)
