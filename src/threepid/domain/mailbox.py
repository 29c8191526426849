"""The development mailbox: mails that are stored instead of sent."""

from threepid.domain.context import Context
from threepid.storage import mailbox
from threepid.storage.mailbox import Mail

__all__ = ["Mail", "Mailbox"]


class Mailbox:
    """The mails that the `mailbox` transport stored."""

    def __init__(self, context: Context) -> None:
        """Read the mails from the database of `context`."""
        self._database = context.database

    async def newest(self, count: int) -> list[Mail]:
        """The newest `count` mails."""
        return await self._database.read(lambda tx: mailbox.newest(tx, count))

    async def get(self, mail_id: str) -> Mail | None:
        """The mail with this ID, or None."""
        return await self._database.read(lambda tx: mailbox.get(tx, mail_id))
