"""The transactions of one run of an import, of which a dry run undoes each."""

from collections.abc import Callable
from typing import Generic, TypeVar

from threepid.domain.context import Context
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

    def __init__(self, context: Context, source: str, *, dry_run: bool) -> None:
        """`source` names the other server."""
        self._context = context
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

    async def take(self, step: Callable[[Tx], T], *, done: int, position: int = 0) -> T:
        """The result of `step`, in a transaction that records how far the run has come.

        Raises Superseded, and the errors of the database: then nothing of the step is written.
        """

        def whole(tx: Tx) -> T:
            if self.dry_run:
                raise _UndoError(step(tx))
            if not imports.advance(tx, self._source, self._run_id, done=done, position=position):
                raise _superseded()
            return step(tx)

        try:
            return await self._context.database.write_aside(whole)
        except _UndoError as undone:
            outcome: T = undone.outcome
            return outcome

    async def finish(self) -> None:
        """End the run. Raises Superseded."""
        if self.dry_run:
            return
        now = self._context.clock.now()
        if not await self._context.database.write(lambda tx: imports.finish(tx, self._source, self._run_id, now)):
            raise _superseded()


def _superseded() -> Superseded:
    return Superseded("Another import from the same server was started, so this one has stopped. Nothing is lost.")
