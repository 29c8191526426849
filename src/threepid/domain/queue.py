"""The outbox as operators see and change it. Contents are never shown: they are encrypted, and a code may be in them."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from threepid.domain.context import Context
from threepid.i18n import Text
from threepid.spec.errors import Forbidden, NotFound
from threepid.storage import outbox
from threepid.storage.engine.database import Tx
from threepid.storage.outbox import Causes, Listed

__all__ = ["Causes", "Listed", "Overview", "Queue", "State", "state"]

_PAGE: Final = 500
_ALL: Final = 2**62
_MOST_CAUSES: Final = 20
_UNKNOWN: Final = Text("The outbox has no such job.")
_ERASED: Final = Text("This job has failed for good, and its contents are erased. It must be asked for again.")


class Overview(Struct, frozen=True):
    """The outbox as a whole."""

    waiting: int
    oldest_at: int | None
    """When the oldest unfinished job was created, in milliseconds since the Unix epoch; None if there is none."""
    waiting_causes: list[Causes]
    failed_causes: list[Causes]


class State(StrEnum):
    """The state of a job."""

    WAITING = "waiting"
    SENDING = "sending"
    RETRYING = "retrying"
    SENT = "sent"
    FAILED = "failed"


def state(job: Listed) -> State:
    """The state of `job`: `retrying` has failed at least once and waits for another attempt."""
    if job.sent_at is not None:
        return State.SENT
    if job.failed_at is not None:
        return State.FAILED
    if job.worker is not None:
        return State.SENDING
    return State.RETRYING if job.attempts and job.last_error else State.WAITING


_TOO_LATE: Final = {
    State.SENT: Text("This job was sent already."),
    State.FAILED: _ERASED,
    **dict.fromkeys((State.WAITING, State.RETRYING, State.SENDING), Text("This job is being sent at this moment.")),
}
"""Why a job cannot be dropped."""


Note = Callable[[Tx, int], None]
"""Notes a change in its transaction, with the number of jobs that it changed. It is not called for none."""


def _noted(tx: Tx, count: int, note: Note) -> int:
    if count:
        note(tx, count)
    return count


class Queue:
    """Lists jobs of the outbox, and changes what becomes of them."""

    def __init__(self, context: Context) -> None:
        """Work on the outbox in the database of `context`."""
        self._context = context

    async def jobs(self, *, failed: bool) -> list[Listed]:
        """All unfinished jobs, or with `failed` those that have failed, oldest first."""
        # In one read, because each sorts all that wait.
        return await self._context.database.read_aside(
            lambda tx: outbox.listed(tx, failed=failed, after=None, count=_ALL)
        )

    async def waiting(self, *, recipient: str = "", message: str = "") -> list[Listed]:
        """The unfinished jobs for `recipient`, in any case, and of the kind `message`; '' = any."""
        return [
            job
            for job in await self.jobs(failed=False)
            if recipient.casefold() in {"", job.recipient.casefold()} and message in {"", job.template}
        ]

    async def overview(self) -> Overview:
        """The number of unfinished jobs, the age of the oldest, and the most frequent causes of waiting and of failures."""

        def step(tx: Tx) -> Overview:
            waiting = outbox.causes(tx, failed=False, count=_MOST_CAUSES)
            failed = outbox.causes(tx, failed=True, count=_MOST_CAUSES)
            return Overview(outbox.depth(tx), outbox.oldest(tx), waiting, failed)

        return await self._context.database.read_aside(step)

    async def page(self, *, after: str | None, failed: bool, count: int) -> list[Listed]:
        """The next `count` unfinished jobs after the one with the ID `after`, or with `failed` those that have failed.

        Raises NotFound.
        """
        place = None if after is None else await self.get(after)
        return await self._context.database.read_aside(
            lambda tx: outbox.listed(tx, failed=failed, after=place, count=count)
        )

    async def get(self, job_id: str) -> Listed:
        """One job. Raises NotFound."""
        job = await self._context.database.read(lambda tx: outbox.get(tx, job_id))
        if job is None:
            raise NotFound(_UNKNOWN)
        return job

    async def retry(self, job_id: str, note: Note) -> None:
        """Let a job that waits for another attempt be tried now. Raises NotFound, and Forbidden if it does not wait."""
        now = self._context.clock.now()
        if not await self._context.database.write(lambda tx: _noted(tx, int(outbox.hurry(tx, job_id, now)), note)):
            job = await self.get(job_id)
            if state(job) is State.FAILED:
                raise Forbidden(_ERASED)
            raise Forbidden(Text("This job does not wait: it is sent already, or about to be."))

    async def retry_all(self, note: Note) -> int:
        """Let all jobs that wait for another attempt be tried now; returns how many."""
        now = self._context.clock.now()
        return await self._context.database.write_aside(lambda tx: _noted(tx, outbox.hurry_all(tx, now), note))

    async def drop(self, job_id: str, note: Note) -> None:
        """Give a job up and erase its contents. Raises NotFound, and Forbidden if it is done or being sent."""
        now = self._context.clock.now()
        if not await self._context.database.write(lambda tx: _noted(tx, int(outbox.drop(tx, job_id, now)), note)):
            raise Forbidden(_TOO_LATE[state(await self.get(job_id))])

    async def drop_all(self, jobs: Sequence[Listed], note: Note) -> int:
        """Give these jobs up and erase their contents, except those that are done or being sent; returns how many."""
        now = self._context.clock.now()
        count = 0
        for start in range(0, len(jobs), _PAGE):
            page = jobs[start : start + _PAGE]
            count += await self._context.database.write_aside(
                lambda tx, page=page: _noted(tx, sum(outbox.drop(tx, job.id, now) for job in page), note)  # type: ignore[misc]
            )
        return count
