"""Reads the files of another server, which may be any files: an operator may have named the wrong one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from threepid.importers.source import SourceError

_MOST_BYTES: Final = 4 * 1024 * 1024


def read_data(file: Path) -> bytes:
    """The contents of a file. Raises SourceError."""
    try:
        with file.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}.") from None
    if len(data) > _MOST_BYTES:
        raise SourceError(f"{file} is too large for a configuration.")
    return data


def read_yaml(file: Path, what: str, *, option: str = "--config", may_be_empty: bool = False) -> dict[str, Any]:
    """The settings in a file; `what` it should be, and the `option` that names it, for the error. Raises SourceError."""
    import yaml  # noqa: PLC0415 - few commands need it

    try:
        tree = yaml.safe_load(read_data(file))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        # The error quotes the text around it, which may be a secret.
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        raise SourceError(
            f"{file}{place}: this is not YAML. `{option}` names {what}, and `-c` the file of threepid."
        ) from None
    if tree is None and may_be_empty:
        return {}
    if not isinstance(tree, dict):
        raise SourceError(f"{file} has no settings. `{option}` names {what}.")
    return tree


def section(tree: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A section of settings; an empty one if there is none."""
    found = tree.get(name)
    return found if isinstance(found, dict) else {}


def text_of(tree: Mapping[str, Any], name: str) -> str:
    """A text of a section; '' if there is none."""
    found = tree.get(name)
    return found if isinstance(found, str) else ""
