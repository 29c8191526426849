"""`threepid pepper …`."""

import asyncio
from typing import Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from threepid.cli.common import ConfigFile, die, err, load, out
from threepid.cli.operators import operator_here

app = typer.Typer(help="Manage the lookup pepper.", no_args_is_help=True)

SHOWN_AGAIN_SECONDS: Final = 0.5
"""Interval of the progress bar while a server does the work."""


@app.callback()
def peppers() -> None:
    """Manage the lookup pepper."""


@app.command("rotate")
def rotate(config_file: ConfigFile = None) -> None:
    """Rotate the lookup pepper, or complete an interrupted rotation. Prints the progress.

    Lookups work meanwhile. The previous pepper stays valid for `pepper_overlap_hours`; then the server deletes its hashes.
    """
    from threepid.cli.server import Server, identity_of, with_server  # noqa: PLC0415 - see serving.py
    from threepid.domain.identity.peppers import Work  # noqa: PLC0415 - see serving.py

    settings = load(config_file)
    if settings.identity is None:
        die("There is no identity server here: the configuration has no [identity]. Add it first.")

    async def rotate(server: Server) -> bool:
        """Rotate the pepper; False if this completed an earlier rotation."""
        peppers = identity_of(server).lookup.peppers
        await peppers.start()
        begun = await server.services.operations.begin_pepper_rotation(peppers, operator_here(server.context.clock))
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=err) as progress:
            bar = progress.add_task("hashing addresses", total=await peppers.count_associations())
            while (pepper := await peppers.filling()) is not None:
                progress.update(bar, completed=pepper.hashed)
                if await peppers.work_and_rest() is Work.ELSEWHERE:
                    await asyncio.sleep(SHOWN_AGAIN_SECONDS)
            progress.update(bar, completed=progress.tasks[0].total)
        return begun

    if not with_server(settings, rotate):
        out.print("The interrupted rotation is complete.")
        return
    out.print("The new pepper is in use.")
