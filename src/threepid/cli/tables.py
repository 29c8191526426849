"""Print lists: as a table on a terminal, as full lines into a pipe, as JSON for programs."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from threepid.cli.common import out, printable

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, with times in milliseconds since 1970.")]


def print_list(columns: Sequence[str], rows: Iterable[Sequence[str]], *, whole: str) -> None:
    """Print rows under their columns: wrapped to fit a terminal, at full width elsewhere. Nothing is truncated.

    The column `whole` is never wrapped, because people copy from it.
    """
    lines = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    if not out.is_terminal:
        for line in [columns, *lines]:
            cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
            sys.stdout.write("  ".join(cells).rstrip() + "\n")
        return
    table = Table(box=None)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column, overflow="fold", min_width=width if column == whole else None)
    for line in lines:
        table.add_row(*map(Text, line))
    out.print(table)


def print_json(entries: Iterable[Mapping[str, Any]]) -> None:
    """Print entries as one JSON array."""
    _print(list(entries))


def print_object(value: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    _print(value)


def _print(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2)
    # JSON leaves some control characters as they are, such as those by which a terminal takes commands from strangers' texts.
    sys.stdout.write(
        "".join(sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1] for sign in text) + "\n"
    )
