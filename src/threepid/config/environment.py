"""Environment variables that override settings."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from threepid.config.mistakes import Mistake
from threepid.config.problem import Problem

PREFIX: Final = "THREEPID__"
"""Prefix of variables that override settings: `THREEPID__SERVER__NAME` overrides `server.name`."""
_NEAR: Final = "THREEPID_"
_OTHERS: Final = frozenset({"THREEPID_CONFIG"})
"""Variables with one underscore that the command line reads."""


class Overrides(Struct, frozen=True):
    """The variables that override settings: their names by the place that they set, and the mistakes in them."""

    places: dict[str, str]
    made_tables: dict[str, list[str]]
    """The tables around each place that the file does not have."""
    mistakes: list[Mistake]

    def origin(self, place: str) -> str | None:
        """The variable that set the value at `place`, or a table around it; None if the file set it."""
        for prefix, name in self.places.items():
            if f"{place}.".startswith(f"{prefix}.") or place in self.made_tables.get(prefix, ()):
                return f"environment: {name}"
        return None


def override(tree: dict[str, Any], environ: Mapping[str, str]) -> Overrides:
    """Write the variables of `environ` into the parsed file `tree`. A value is TOML, or text if it is not valid TOML."""
    made = Overrides({}, {}, [])
    # Sorted by name, so that a whole table comes before its members.
    for name, value in sorted(environ.items()):
        if name.startswith(PREFIX):
            place = name.removeprefix(PREFIX).lower().replace("__", ".")
            made.places[place] = name
            made.made_tables[place] = []
            if (table := _set(tree, place.split("."), value, made.made_tables[place])) is not None:
                made.mistakes.append(Mistake(place, f"`{table}` is not a table"))
    return made


def _set(tree: dict[str, Any], keys: list[str], value: str, made: list[str]) -> str | None:
    """Set a value, and add the tables that this makes to `made`. Returns the first of `keys` that names no table, or None."""
    *tables, key = keys
    node: Any = tree
    for depth, table in enumerate(tables, 1):
        # In the tree of the development server, an absent table is None.
        if node.get(table) is None:
            node[table] = {}
            made.append(".".join(keys[:depth]))
        node = node[table]
        if not isinstance(node, dict):
            return table
    try:
        node[key] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        node[key] = value
    return None


def environment_warnings(environ: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a warning if variables look like settings and are none.

    They are accepted, because Kubernetes sets variables such as `THREEPID_PORT` for a service with the name `threepid`.
    """
    found = sorted(
        name for name in environ if name.startswith(_NEAR) and not name.startswith(PREFIX) and name not in _OTHERS
    )
    if found:
        yield Problem(
            "environment",
            f"{', '.join(found)}: no effect. A variable that overrides a setting has two underscores, "
            f"as in {PREFIX}SERVER__NAME",
        )
