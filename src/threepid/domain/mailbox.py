"""The development mailbox: what would have been mailed."""

from threepid.domain.context import Context
from threepid.storage import mailbox
from threepid.storage.mailbox import Mail

__all__ = ["Mail", "Mailbox"]


class Mailbox:
    """The mails that the `mailbox` transport kept."""

    def __init__(self, context: Context) -> None:
        """Those in the database."""
        self._database = context.database

    async def newest(self, count: int) -> list[Mail]:
        """The newest `count` mails."""
        return await self._database.read(lambda tx: mailbox.newest(tx, count))

    async def get(self, mail_id: str) -> Mail | None:
        """One mail."""
        return await self._database.read(lambda tx: mailbox.get(tx, mail_id))
