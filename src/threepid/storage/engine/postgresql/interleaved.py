"""Units of work that share a connection: what they ask goes out in one pipeline, one round trip for all.

Every unit has a greenlet. When all of them wait for a result, their statements are sent together.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Never

from greenlet import getcurrent

from threepid.storage.engine.postgresql.connection import Connection, Result, Statement
from threepid.storage.engine.units import Unit


class NotTogetherError(Exception):
    """A unit cannot go on together with the others."""


class Part:
    """The connection as one unit of a group sees it: what it asks goes out together with what the others ask."""

    def __init__(self, connection: Connection) -> None:
        """Belong to the running unit, whose greenlet was begun by `interleave`."""
        self._connection = connection
        self._group: Any = getcurrent().parent

    def execute(self, statement: Statement, parameters: Mapping[str, Any]) -> Result:
        """Run a statement together with those of the other units."""
        found: Result = self._group.switch((statement, parameters))
        return found

    def execute_many(self, _statement: Statement, _parameters: Sequence[Mapping[str, Any]]) -> Never:
        """Raise NotTogetherError."""
        raise NotTogetherError

    def defer(self, statement: Statement, parameters: Mapping[str, Any]) -> None:
        """Run a statement, whose result nobody needs, together with the next ones."""
        self._connection.defer(statement, parameters)


def interleave(connection: Connection, units: Iterable[Unit]) -> None:
    """Run units to their ends. Raises the first error of a unit or of a statement; then no unit runs any more."""
    begun = list(units)
    answers: list[tuple[Unit, Result | None]] = [(unit, None) for unit in begun]
    try:
        while answers:
            asked = [(unit, unit.switch(answer)) for unit, answer in answers]
            asked = [(unit, statement) for unit, statement in asked if not unit.dead]
            results = connection.execute_each([statement for _, statement in asked]) if asked else []
            answers = [(unit, result) for (unit, _), result in zip(asked, results, strict=True)]
    finally:
        for unit in begun:
            if not unit.dead:
                unit.throw()
