"""The development mailbox: mails and SMS that the server would have sent."""

from typing import Final

from msgspec import Struct

from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("mailbox")
KEPT: Final = 200


class Mail(Struct, frozen=True):
    """A mail as bytes, or the UTF-8 text of an SMS; `received_at` is in milliseconds."""

    id: str
    recipient: str
    received_at: int
    message: bytes

    @property
    def is_sms(self) -> bool:
        """Is the recipient a phone number?"""
        return "@" not in self.recipient


def store(tx: Tx, mail: Mail) -> None:
    """Store a mail, and keep the newest `KEPT` mails. A mail with a known ID is ignored."""
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
    """The mail with this ID."""
    return tx.row(_sql.get, Mail, mail_id=mail_id)
