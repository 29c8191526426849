"""The development mailbox: messages that are stored instead of sent, and previews of all messages."""

from collections.abc import Callable, Iterator

from msgspec import Struct

from threepid.domain.context import Context
from threepid.storage import mailbox
from threepid.storage.mailbox import Mail

__all__ = ["Mail", "Mailbox", "Preview", "Previews"]


class Preview(Struct, frozen=True):
    """A message in one language with example values, as a mail and as an SMS."""

    name: str
    language: str
    subject: str
    text: str
    html: str
    sms: str
    segments: int
    """Number of messages of the mobile network that the SMS takes."""


Previews = Callable[[list[str], list[str]], Iterator[Preview]]
"""Renders the messages with these names in each of these languages: the arguments are the languages, then the names."""


class Mailbox:
    """The mails that the `mailbox` transport stored, and the SMS of the console."""

    def __init__(self, context: Context) -> None:
        """Read the mails from the database of `context`."""
        self._database = context.database

    async def newest(self, count: int) -> list[Mail]:
        """The newest `count` messages."""
        return await self._database.read(lambda tx: mailbox.newest(tx, count))

    async def get(self, mail_id: str) -> Mail | None:
        """The message with this ID, or None."""
        return await self._database.read(lambda tx: mailbox.get(tx, mail_id))
