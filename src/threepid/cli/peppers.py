"""`threepid pepper …`."""

import asyncio
from typing import Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from threepid.cli.common import ConfigFile, die, err, load, out, with_server

app = typer.Typer(help="The pepper of lookups.", no_args_is_help=True)

SHOWN_AGAIN_SECONDS: Final = 0.5
"""How often the bar moves while a server does the work."""


@app.callback()
def peppers() -> None:
    """The pepper of lookups."""


@app.command("rotate")
def rotate(config_file: ConfigFile = None) -> None:
    """Replace the pepper of lookups; a rotation that was interrupted is continued.

    Lookups go on meanwhile. The pepper before answers for `pepper_overlap_hours` more, then the server forgets its hashes.
    """
    settings = load(config_file)
    if settings.identity is None:
        die("There is no identity server here: the configuration has no [identity].")
    if not with_server(settings, _rotate):
        out.print("A rotation was under way: it is complete.")
        return
    out.print("The new pepper is in use.")


async def _rotate(server: Any) -> bool:
    """Rotate; False if this was the rest of a rotation that had begun before."""
    from threepid.domain.identity.peppers import Work  # noqa: PLC0415 - see serving.py

    peppers = server.services.identity.lookup.peppers
    await peppers.start()
    begun: bool = await peppers.begin()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as progress:
        bar = progress.add_task("hashing addresses", total=await peppers.count_associations())
        while (pepper := await peppers.filling()) is not None:
            progress.update(bar, completed=pepper.hashed)
            if await peppers.work_and_rest() is Work.ELSEWHERE:
                await asyncio.sleep(SHOWN_AGAIN_SECONDS)
        progress.update(bar, completed=progress.tasks[0].total)
    return begun
