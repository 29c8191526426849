"""The development mailbox: mails as they would have gone out."""

from typing import Final

from msgspec import Struct

from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("mailbox")
KEPT: Final = 200


class Mail(Struct, frozen=True):
    """One mail as bytes, and when it came in milliseconds."""

    id: str
    recipient: str
    received_at: int
    message: bytes


def store(tx: Tx, mail: Mail) -> None:
    """Keep a mail, and the newest `KEPT` of all. The same mail again is kept once."""
    tx.run(
        _sql.store,
        AT_MOST_ONE,
        mail_id=mail.id,
        recipient=mail.recipient,
        received_at=mail.received_at,
        message=mail.message,
    )
    tx.run(_sql.trim, ANY, kept=KEPT)


def newest(tx: Tx, count: int) -> list[Mail]:
    """The newest `count` mails."""
    return tx.rows(_sql.newest, Mail, count=count)


def get(tx: Tx, mail_id: str) -> Mail | None:
    """One mail."""
    return tx.row(_sql.get, Mail, mail_id=mail_id)
