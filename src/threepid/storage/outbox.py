"""Messages that wait for delivery.

A message is in the line (`turn`), waits for `due_at`, is in the hands of a `worker`, or is done with (`sent_at`, `failed_at`).
"""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from threepid.clock import MINUTE, SECOND
from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("outbox")

STEP: Final = SECOND
"""Distance of two places in the line that one caller's messages have: as if it had sent one a second, however fast it was."""
SKEW: Final = MINUTE
"""How much the clocks of two servers may differ. What was planned later than that from now was planned by a wrong clock."""
_LINED_UP: Final = 1_000
"""Messages that get a place in the line at once."""


class Order(Struct, frozen=True):
    """A message that a worker took to deliver; times in milliseconds, `attempts` counts this one."""

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

    def __repr__(self) -> str:
        """Without the recipient and the contents: they must not get into a log."""
        return f"Order({self.id!r})"


class Waiting(Struct, frozen=True):
    """A message in the line."""

    id: str
    destination: str
    caller: str


class Pending(Struct, frozen=True):
    """What there is to do: are there messages in the line, some that belong into it, and some that have expired?"""

    in_line: bool = False
    due: bool = False
    expired: bool = False

    def __bool__(self) -> bool:
        """Is there anything?"""
        return bool(self.in_line or self.due or self.expired)


class Holder(Struct, frozen=True):
    """A worker that has messages in hand, and when it last said that it lives."""

    worker: str
    renewed_at: int


class _Id(Struct, frozen=True):
    id: str


def insert(
    tx: Tx,
    *,
    order_id: str,
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
) -> None:
    """Put a message into the outbox.

    `destination` is what can be slow or out of reach as a whole, `caller` (a hash) whose messages stand one behind the other;
    the smaller `urgency`, the sooner.
    """
    tx.run(
        _sql.insert,
        order_id=order_id,
        channel=channel,
        recipient=recipient,
        language=language,
        template=template,
        params=params,
        created_at=created_at,
        due_at=due_at,
        expires_at=expires_at,
        destination=destination,
        caller=caller,
        urgency=urgency,
        step=STEP,
    )


def pending(tx: Tx, now: int) -> Pending:
    """What there is to do at `now`."""
    return tx.row(_sql.pending, Pending, now=now) or Pending()


def line_up(tx: Tx, now: int) -> int:
    """Give messages whose pause is over a place in the line; returns how many."""
    return tx.run(_sql.line_up, ANY, now=now, step=STEP, count=_LINED_UP)


def in_line(
    tx: Tx, *, now: int, closed_destinations: Iterable[str] = (), closed_callers: Iterable[str] = (), count: int
) -> list[Waiting]:
    """The first `count` messages of the line that are not for these destinations or callers."""
    return tx.rows(
        _sql.in_line,
        Waiting,
        now=now,
        closed_destinations=_json(closed_destinations),
        closed_callers=_json(closed_callers),
        count=count,
    )


def claim(tx: Tx, ids: Iterable[str], *, worker: str, now: int) -> list[Order]:
    """Take those of these messages that are in the line, in any order.

    They are `worker`'s until it notes what became of them, or until somebody finds it dead and lets them go.
    """
    return tx.rows(_sql.claim, Order, ids=_json(ids), worker=worker, now=now)


def held(tx: Tx) -> list[Holder]:
    """The workers that have messages in hand."""
    return tx.rows(_sql.held, Holder)


def held_by(tx: Tx, worker: str) -> list[str]:
    """The messages that `worker` has in hand."""
    return [row.id for row in tx.rows(_sql.held_by, _Id, worker=worker)]


def renew(tx: Tx, worker: str, now: int) -> int:
    """`worker` lives; returns how many messages it has in hand."""
    return tx.run(_sql.renew, ANY, worker=worker, now=now)


def let_go(tx: Tx, worker: str, *, seen: int = 2**62, now: int) -> int:
    """`worker` is dead: its messages are in the line again, but for those renewed after `seen`. Returns how many."""
    return tx.run(_sql.let_go, ANY, worker=worker, seen=seen, now=now)


def let_one_go(tx: Tx, order_id: str, worker: str, now: int) -> bool:
    """A message that `worker` took is in the line again; False if it is not its any more."""
    return tx.run(_sql.let_one_go, AT_MOST_ONE, order_id=order_id, worker=worker, now=now) == 1


def is_planned_wrongly(tx: Tx, now: int) -> bool:
    """Was something planned by a clock that was ahead?"""
    return tx.value(_sql.planned_after, then=now + SKEW) is not None


def plan_anew(tx: Tx, now: int) -> int:
    """Let what was planned by a clock that was ahead wait from `now` on, as long as it was to wait; returns how many."""
    return tx.run(_sql.plan_anew, ANY, then=now + SKEW, now=now)


def sent(tx: Tx, order_id: str, now: int) -> bool:
    """It was delivered; False if that was known."""
    return tx.run(_sql.sent, AT_MOST_ONE, order_id=order_id, now=now) == 1


def retry_later(tx: Tx, order: Order, *, now: int, due_at: int, last_error: str) -> bool:
    """It is to be tried again at `due_at`; False if it is another worker's now.

    A message that would come too late is due when it expires, to be dropped then. `last_error` is kept for operators: it
    must hold no secret and no address.
    """
    due_at = max(now, min(due_at, order.expires_at))
    return (
        tx.run(
            _sql.retry_later,
            AT_MOST_ONE,
            order_id=order.id,
            attempts=order.attempts,
            now=now,
            due_at=due_at,
            last_error=last_error,
        )
        == 1
    )


def failed(tx: Tx, order: Order, *, now: int, last_error: str) -> bool:
    """It will never be delivered; False if it is another worker's now."""
    return (
        tx.run(_sql.failed, AT_MOST_ONE, order_id=order.id, attempts=order.attempts, now=now, last_error=last_error)
        == 1
    )


def drop_expired(tx: Tx, now: int) -> int:
    """Give up what would come too late; returns how many."""
    return tx.run(_sql.drop_expired, ANY, now=now)


def waiting_withdrawal(tx: Tx, recipient: str, params: str) -> Order | None:
    """The newest request to the identity server `recipient` with these `params` that waits already."""
    return tx.row(_sql.waiting_withdrawal, Order, recipient=recipient, params=params)


def depth(tx: Tx) -> int:
    """How many messages wait."""
    return int(tx.value(_sql.depth))


def delete_done(tx: Tx, then: int) -> int:
    """Forget what was done with before `then`."""
    return tx.run(_sql.delete_done, ANY, then=then)


def _json(texts: Iterable[str]) -> str:
    return msgspec.json.encode(list(texts)).decode("utf-8")
