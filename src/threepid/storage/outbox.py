"""The outbox: messages and calls that wait to be sent.

A job has a place in the queue (`turn`), waits for `due_at`, is held by a `worker`, or is done (`sent_at`, `failed_at`).
"""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from threepid.clock import SECOND, SKEW
from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("outbox")

STEP: Final = SECOND
"""Distance between the places of one caller's jobs in the queue, as if the caller had sent one a second."""
_LINED_UP: Final = 1_000
"""Maximum number of jobs that one call puts into the queue."""


class ClaimedJob(Struct, frozen=True):
    """A job that a worker has claimed; times in milliseconds, `attempts` includes this attempt."""

    id: str
    channel: str
    recipient: str
    language: str
    template: str
    params: str
    created_at: int
    expires_at: int
    attempts: int
    destination: str = ""
    caller: str = ""
    last_error: str | None = None
    request_id: str = ""
    """The request that caused it, '' for none."""

    def __repr__(self) -> str:
        """Show only the ID: the recipient and the contents must not get into a log."""
        return f"ClaimedJob({self.id!r})"


class Waiting(Struct, frozen=True):
    """A job in the queue."""

    id: str
    channel: str
    destination: str
    caller: str


class Pending(Struct, frozen=True):
    """What there is to do: are there jobs in the queue, jobs to put into it, and expired jobs?"""

    in_line: bool = False
    due: bool = False
    expired: bool = False

    def __bool__(self) -> bool:
        """Is there anything to do?"""
        return bool(self.in_line or self.due or self.expired)


class Holder(Struct, frozen=True):
    """A worker that holds jobs, and when it last renewed its claims."""

    worker: str
    renewed_at: int


class Listed(Struct, frozen=True):
    """A job as operators see it, without its contents; times in milliseconds."""

    id: str
    channel: str
    recipient: str
    template: str
    language: str
    created_at: int
    due_at: int
    expires_at: int
    attempts: int
    worker: str | None
    turn: int | None
    failed_at: int | None
    sent_at: int | None
    last_error: str | None
    returned_at: int | None = None
    """When a report about the mail counted: it came back, or its recipient complained."""
    returned_status: str | None = None
    request_id: str = ""
    """The request that caused it, '' for none: log lines have the same ID."""


class Causes(Struct, frozen=True):
    """How many messages of a channel to a destination wait or have failed for one cause; times in milliseconds."""

    channel: str
    destination: str
    last_error: str
    count: int
    oldest_at: int
    newest_at: int


class _Id(Struct, frozen=True):
    id: str


class _Channel(Struct, frozen=True):
    channel: str


def insert(
    tx: Tx,
    *,
    job_id: str,
    channel: str,
    recipient: str,
    language: str,
    template: str,
    params: str,
    created_at: int,
    due_at: int,
    expires_at: int,
    destination: str = "",
    caller: str = "",
    urgency: int = 0,
    held_back: str = "",
) -> None:
    """Put a job into the outbox.

    `destination` is what can be slow or unreachable as a whole. Jobs of one `caller` (a hash) stand one behind the other.
    The row keeps the request that caused it. A smaller `urgency` goes first. A job that is `held_back` for a reason is never
    sent: it has failed from the start.
    """
    tx.insert(
        _sql.insert,
        job_id=job_id,
        channel=channel,
        recipient=recipient,
        language=language,
        template=template,
        params="" if held_back else params,
        created_at=created_at,
        due_at=due_at,
        expires_at=expires_at,
        destination=destination,
        caller=caller,
        urgency=urgency,
        step=STEP,
        held_back=held_back,
        request_id=tx.request_id,
    )


def pending(tx: Tx, now: int) -> Pending:
    """What there is to do at `now`."""
    return tx.row(_sql.pending, Pending, now=now) or Pending()


def line_up(tx: Tx, now: int) -> int:
    """Give due jobs a place in the queue; returns how many."""
    return tx.run(_sql.line_up, ANY, now=now, step=STEP, count=_LINED_UP)


def in_line(
    tx: Tx,
    *,
    now: int,
    closed_destinations: Iterable[str] = (),
    closed_callers: Iterable[str] = (),
    closed_channels: Iterable[str] = (),
    count: int,
) -> list[Waiting]:
    """The first `count` jobs in the queue that are not for these destinations, callers or channels."""
    return tx.rows(
        _sql.in_line,
        Waiting,
        now=now,
        closed_destinations=_json(closed_destinations),
        closed_callers=_json(closed_callers),
        closed_channels=_json(closed_channels),
        count=count,
    )


def claim(tx: Tx, ids: Iterable[str], *, worker: str, now: int) -> list[ClaimedJob]:
    """Claim those of these jobs that are in the queue; returns them in any order.

    `worker` holds them until it records their outcome, or until another worker finds it dead and releases them.
    """
    return tx.rows(_sql.claim, ClaimedJob, ids=_json(ids), worker=worker, now=now)


def held(tx: Tx) -> list[Holder]:
    """The workers that hold jobs."""
    return tx.rows(_sql.held, Holder)


def held_by(tx: Tx, worker: str) -> list[str]:
    """The IDs of the jobs that `worker` holds."""
    return [row.id for row in tx.rows(_sql.held_by, _Id, worker=worker)]


def renew(tx: Tx, worker: str, now: int) -> int:
    """Renew the claims of `worker`, which is alive; returns how many jobs it holds."""
    return tx.run(_sql.renew, ANY, worker=worker, now=now)


def let_go(tx: Tx, worker: str, *, seen: int = 2**62, now: int) -> int:
    """Put the jobs of a dead `worker` back into the queue, except those renewed after `seen`; returns how many."""
    return tx.run(_sql.let_go, ANY, worker=worker, seen=seen, now=now)


def let_one_go(tx: Tx, job_id: str, worker: str, now: int) -> bool:
    """Put a job that `worker` holds back into the queue; False if `worker` no longer holds it."""
    return tx.run(_sql.let_one_go, AT_MOST_ONE, job_id=job_id, worker=worker, now=now) == 1


def is_planned_wrongly(tx: Tx, now: int) -> bool:
    """Was a job planned by a clock that was ahead?"""
    return tx.value(_sql.planned_after, then=now + SKEW) is not None


def plan_anew(tx: Tx, now: int) -> int:
    """Let jobs that were planned by a clock that was ahead wait just as long, but from `now` on; returns how many."""
    return tx.run(_sql.plan_anew, ANY, then=now + SKEW, now=now)


def sent(tx: Tx, job_id: str, now: int) -> bool:
    """Record that a job was delivered; False if it was recorded before."""
    return tx.run(_sql.sent, AT_MOST_ONE, job_id=job_id, now=now) == 1


def retry_later(tx: Tx, job: ClaimedJob, *, now: int, due_at: int, last_error: str) -> bool:
    """Plan another attempt at `due_at`; False if another worker holds the job now.

    A job that would come too late is due when it expires, and is dropped then. `last_error` is kept for operators: it must
    contain no secret and no address.
    """
    due_at = max(now, min(due_at, job.expires_at))
    return (
        tx.run(
            _sql.retry_later,
            AT_MOST_ONE,
            job_id=job.id,
            attempts=job.attempts,
            now=now,
            due_at=due_at,
            last_error=last_error,
        )
        == 1
    )


def failed(tx: Tx, job: ClaimedJob, *, now: int, last_error: str) -> bool:
    """Record that a job has failed for good; False if another worker holds it now."""
    return tx.run(_sql.failed, AT_MOST_ONE, job_id=job.id, attempts=job.attempts, now=now, last_error=last_error) == 1


def drop_expired(tx: Tx, now: int) -> list[str]:
    """Fail the expired jobs that no worker holds; returns the channel of each."""
    return [row.channel for row in tx.rows(_sql.drop_expired, _Channel, now=now)]


def waiting_unbind(tx: Tx, recipient: str, params: str) -> ClaimedJob | None:
    """The newest waiting unbind request to the identity server `recipient` with these `params`."""
    return tx.row(_sql.waiting_unbind, ClaimedJob, recipient=recipient, params=params)


def depth(tx: Tx) -> int:
    """Number of waiting jobs."""
    return int(tx.value(_sql.depth))


def oldest(tx: Tx) -> int | None:
    """When the oldest waiting job was created, in milliseconds since the Unix epoch."""
    found = tx.value(_sql.oldest)
    return None if found is None else int(found)


def listed(tx: Tx, *, failed: bool, after: Listed | None, count: int) -> list[Listed]:
    """The next `count` unfinished jobs after `after`, or the next `failed` ones, oldest first."""
    place = {"after_at": -1, "after_id": ""} if after is None else {"after_at": after.created_at, "after_id": after.id}
    return tx.rows(_sql.listed_failed if failed else _sql.listed, Listed, **place, count=count)


def causes(tx: Tx, *, failed: bool, count: int) -> list[Causes]:
    """The `count` most frequent causes why messages wait, or have `failed`."""
    return tx.rows(_sql.causes_of_failures if failed else _sql.causes, Causes, count=count)


def get(tx: Tx, job_id: str) -> Listed | None:
    """One job, in whatever state it is."""
    return tx.row(_sql.get, Listed, job_id=job_id)


def to_recipients(tx: Tx, addresses: Iterable[str], *, since: int = 0, count: int) -> list[Listed]:
    """The newest `count` messages to these addresses that were created at `since` or later, in whatever state they are."""
    return tx.rows(_sql.to_recipients, Listed, recipients=_json(addresses), since=since, count=count)


def hurry(tx: Tx, job_id: str, now: int) -> bool:
    """Let a job be tried now; False if it does not wait for another attempt."""
    return tx.run(_sql.hurry, AT_MOST_ONE, job_id=job_id, now=now) == 1


def hurry_all(tx: Tx, now: int) -> int:
    """Let all jobs that wait for another attempt be tried now; returns how many."""
    return tx.run(_sql.hurry_all, ANY, now=now)


def drop(tx: Tx, job_id: str, now: int) -> bool:
    """Give a job up and erase its contents; False if it is done, or a worker holds it."""
    return tx.run(_sql.drop, AT_MOST_ONE, job_id=job_id, now=now) == 1


def returned(tx: Tx, job_id: str, *, status: str, now: int) -> bool:
    """Record a report about a mail; False if one was recorded before, or the job is no mail that was tried."""
    return tx.run(_sql.returned, AT_MOST_ONE, job_id=job_id, status=status, now=now) == 1


def delete(tx: Tx, job_id: str) -> bool:
    """Delete a job that others take the place of; False if it is gone or done."""
    return tx.run(_sql.delete, AT_MOST_ONE, job_id=job_id) == 1


def delete_done(tx: Tx, then: int, *, at_most: int) -> int:
    """Delete up to `at_most` finished jobs that were created before `then`; returns how many."""
    return tx.run(_sql.delete_done, ANY, then=then, at_most=at_most)


def forget_messages(tx: Tx, user_id: str, addresses: Iterable[str]) -> int:
    """Delete the finished messages to these addresses of an account, and its notices that were given up; returns how many."""
    return tx.run(_sql.forget_messages, ANY, recipients=_json([user_id, *addresses]))


def _json(texts: Iterable[str]) -> str:
    return msgspec.json.encode(list(texts)).decode("utf-8")
