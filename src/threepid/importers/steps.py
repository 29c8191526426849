"""The transactions of one run of an import, of which a dry run undoes each.

The audit log notes the first change, and at the end how much was changed. A killed run leaves the numbers to the next one.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from threepid.domain.audit import Event
from threepid.domain.context import Context
from threepid.domain.operators.operator import Operator
from threepid.storage import imports
from threepid.storage.engine.database import StorageError, Tx

T = TypeVar("T")


class Superseded(StorageError):
    """Another import from the same server was started, and took over."""


class _UndoError(Exception, Generic[T]):
    """Undoes a transaction of a dry run."""

    def __init__(self, outcome: T) -> None:
        super().__init__()
        self.outcome = outcome


class Steps:
    """The transactions of one run."""

    def __init__(self, context: Context, source: str, operator: Operator, *, dry_run: bool) -> None:
        """`source` names the other server, and `operator` who imports from it."""
        self._context = context
        self._operator = operator
        self._source = source
        self._run_id = context.entropy.id(context.clock.now())
        self.dry_run = dry_run

    async def earlier(self) -> imports.Run | None:
        """The latest run of this source, if there was one."""
        return await self._context.database.read(lambda tx: imports.get(tx, self._source))

    async def begin(self, *, settings: str, total: int) -> None:
        """Begin the run, and take over from one that is still running."""
        if self.dry_run:
            return
        now = self._context.clock.now()
        await self._context.database.write(
            lambda tx: imports.begin(tx, self._source, settings=settings, run_id=self._run_id, now=now, total=total)
        )

    async def take(
        self, step: Callable[[Tx], T], changed: Callable[[T], Mapping[str, int]], *, done: int, position: int = 0
    ) -> T:
        """The result of `step`, in a transaction that records how far the run has come, and how much of what it `changed`.

        Raises Superseded, and the errors of the database: then nothing of the step is written.
        """

        def whole(tx: Tx) -> T:
            if self.dry_run:
                raise _UndoError(step(tx))
            if not imports.advance(tx, self._source, self._run_id, done=done, position=position):
                raise _superseded()
            outcome = step(tx)
            self._count(tx, changed(outcome))
            return outcome

        try:
            return await self._context.database.write_aside(whole)
        except _UndoError as undone:
            found: T = undone.outcome
            return found

    async def finish(self) -> None:
        """End the run. Raises Superseded."""
        if self.dry_run:
            return
        now = self._context.clock.now()

        def step(tx: Tx) -> None:
            if not imports.finish(tx, self._source, self._run_id, now):
                raise _superseded()
            if numbers := imports.changes(tx, self._source):
                self.note(tx, Event.IMPORT_FINISHED, **numbers)
                imports.set_changes(tx, self._source, {})

        await self._context.database.write(step)

    def note(self, tx: Tx, event: Event, **details: int) -> None:
        """Append an entry about the import to the audit log."""
        self._operator.note(tx, self._context, event, "", source=self._source, **details)

    def _count(self, tx: Tx, changed: Mapping[str, int]) -> None:
        now = {name: number for name, number in changed.items() if number}
        if not now:
            return
        before = imports.changes(tx, self._source)
        if not before:
            self.note(tx, Event.IMPORT_BEGAN)
        imports.set_changes(tx, self._source, Counter(before) + Counter(now))


def _superseded() -> Superseded:
    return Superseded("Another import from the same server was started, so this one has stopped. Nothing is lost.")
