"""Functions that all imports share: the file of the report, the progress bar and the printed result."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from threepid.cli.common import die, out, refuse

_INCOMPLETE: Final = 3
"""Exit status of an import that is done, but did not carry everything."""

OwnConfig = Annotated[
    Path | None,
    typer.Option(
        "--threepid-config",
        "-c",
        envvar="THREEPID_CONFIG",
        help="The configuration file of threepid (TOML), as `--config` of other commands.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and check everything, and import nothing.")]
Report = Annotated[
    Path | None,
    typer.Option(help="Write everything that is not carried into this new file, as a JSON object a line."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@contextmanager
def report_file(path: Path | None) -> Iterator[Callable[[Any], None]]:
    """A function that writes a finding into a new file, which only its owner can read: it has contacts of people.

    The file gets its name at the end. A run that fails or is killed leaves none by that name, so the same command continues it.
    """
    if path is None:
        yield lambda _: None
        return
    if os.path.lexists(path):
        refuse(f"{path} exists already.")
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        refuse(f"{path} cannot be written: {error.strerror}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:

            def note(finding: Any) -> None:
                line = {"kind": finding.kind.name.lower(), "user_id": finding.user_id, "detail": finding.detail}
                file.write(json.dumps(line) + "\n")

            yield note
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def end_with(error: Exception) -> NoReturn:
    """End the program with a SourceError: exit status 2 if an argument is at fault, otherwise 1."""
    from threepid.importers.source import NoSuchSource  # noqa: PLC0415 - see serving.py

    if isinstance(error, NoSuchSource):
        refuse(str(error))
    die(str(error))


def print_result(result: Any, report: Path | None, *, noun: str, as_json: bool) -> None:
    """Print what an import did, of which `noun`s changed at the other server, and end the program with the exit status."""
    from threepid.importers.records import Kind  # noqa: PLC0415 - see serving.py

    _print(result, report, Kind, noun=noun, as_json=as_json)
    if not result.is_complete:
        raise typer.Exit(_INCOMPLETE)


def _print(result: Any, report: Path | None, kinds: Any, *, noun: str, as_json: bool) -> None:
    if as_json:
        shown = {name: getattr(result, name) for name in result.__struct_fields__}
        shown["findings"] = {name.lower(): count for name, count in result.findings.items()}
        sys.stdout.write(json.dumps({**shown, "complete": result.is_complete}, indent=2) + "\n")
        return
    if result.dry_run:
        out.print("Dry run: nothing was imported.")
    for part, count in result.carried.items():
        out.print(f"{count:>9}  {part.replace('_', ' ')}, of which {result.inserted[part]} are new", markup=False)
    out.print(f"{result.replaced:>9}  {noun} changed since the last import", markup=False)
    for lost, title in ((True, "Look at these:"), (False, "Left behind on purpose:")):
        found = [(kinds[name], count) for name, count in result.findings.items() if kinds[name].lost is lost]
        if found:
            out.print(f"\n{title}")
        for kind, count in found:
            out.print(f"{count:>9}  {kind.text}", markup=False)
    for mismatch in result.mismatches:
        out.print(f"The counts differ: {mismatch}", markup=False)
    if result.findings and report is None:
        out.print("\nWith `--report FILE`, each of these is written into a file.")
