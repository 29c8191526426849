"""Units of work that share a connection: what they ask goes out in one pipeline, one round trip for all.

Every unit has a greenlet. When all of them wait for a result, their statements are sent together.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from typing import Any, Never

from greenlet import getcurrent

from threepid.storage.engine.database import Busy, InDoubt, StorageError, Tx
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


class Asked:
    """A unit of work, and the future of its caller."""

    __slots__ = ("context", "error", "fn", "future", "result")

    def __init__(self, fn: Callable[[Tx], Any], future: "asyncio.Future[Any]") -> None:
        """Run in the context of the caller, who waits for `future`."""
        self.fn = fn
        self.future = future
        self.context = copy_context()
        self.result: Any = None
        self.error: Exception | None = None

    def answer(self, failed: StorageError | None) -> None:
        """Give the caller the result or the error; with `failed`, which ended all that ran together, an error like that."""
        if self.future.done():  # the caller was cancelled; the unit is done or undone all the same
            return
        if failed is not None:
            # One of its own for each caller: raising an error adds to its traceback.
            kind = next((kind for kind in (Busy, InDoubt) if isinstance(failed, kind)), StorageError)
            self.future.set_exception(kind(str(failed)))
        elif self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


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
