"""`threepid pepper …`."""

import asyncio
from typing import Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from threepid.cli.common import ConfigFile, die, err, load, out

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
    from threepid.cli.server import Server, identity_of, with_server  # noqa: PLC0415 - see serving.py
    from threepid.domain.identity.peppers import Work  # noqa: PLC0415 - see serving.py

    settings = load(config_file)
    if settings.identity is None:
        die("There is no identity server here: the configuration has no [identity].")

    async def rotate(server: Server) -> bool:
        """Rotate; False if this completed a rotation that had begun before."""
        peppers = identity_of(server).lookup.peppers
        await peppers.start()
        begun = await peppers.begin()
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
        out.print("A rotation was under way: it is complete.")
        return
    out.print("The new pepper is in use.")
