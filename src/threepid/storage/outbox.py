"""Messages that wait for delivery. The state of a row is in its timestamps."""

from msgspec import Struct

from threepid.storage.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.queries import Queries

_sql = Queries("outbox")


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

    def __repr__(self) -> str:
        """Without the recipient and the contents: they must not get into a log."""
        return f"Order({self.id!r})"


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
) -> None:
    """Put a message into the outbox."""
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
    )


def has_due(tx: Tx, now: int) -> bool:
    """Is there anything to do at `now`: to deliver or to drop?"""
    return tx.value(_sql.has_due, now=now) is not None


def claim(tx: Tx, *, now: int, lease: int, count: int) -> list[Order]:
    """Take up to `count` messages that are due and not expired, for `lease` milliseconds, in any order.

    The lease moves `due_at`: the messages of a worker that died come back by themselves.
    """
    return tx.rows(_sql.claim, Order, now=now, leased_until=now + lease, count=count)


def sent(tx: Tx, order_id: str, now: int) -> bool:
    """It was delivered; False if that was known."""
    return tx.run(_sql.sent, AT_MOST_ONE, order_id=order_id, now=now) == 1


def retry_later(tx: Tx, order: Order, *, due_at: int, last_error: str) -> bool:
    """It is to be tried again at `due_at`; False if its lease ran out and it is another worker's now.

    A message that would come too late is due when it expires, to be dropped then. `last_error` is kept for operators: it
    must hold no secret and no address.
    """
    due_at = min(due_at, order.expires_at)
    return (
        tx.run(
            _sql.retry_later,
            AT_MOST_ONE,
            order_id=order.id,
            attempts=order.attempts,
            due_at=due_at,
            last_error=last_error,
        )
        == 1
    )


def failed(tx: Tx, order: Order, *, now: int, last_error: str) -> bool:
    """It will never be delivered; False if its lease ran out and it is another worker's now."""
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
