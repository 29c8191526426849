"""Mails: built by the library, never by hand, and given to the first relay that takes them."""

import email.errors
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import format_datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

from threepid.config import Email, EmailTransport, FileTransport, MailboxTransport, SmtpTransport
from threepid.delivery.errors import BrokenOff, DeliveryError
from threepid.delivery.local import DevelopmentMailbox, MailFolder
from threepid.delivery.render import Rendered
from threepid.delivery.smtp import SmtpRelay
from threepid.domain.addresses import InvalidAddress, parse_email
from threepid.storage.engine.database import Database
from threepid.storage.outbox import Order


class _OneLine(UnstructuredHeader, BaseHeader):
    """A header that is not folded: the library would make encoded words of an address that is longer than a line."""

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


class _Headers(HeaderRegistry):
    """Makes the library's headers, and remembers their classes and what all mails share.

    The library makes a class for each header that it makes, and parses each `Content-Type` anew: half of the work of a mail.
    """

    _SHARED: Final = frozenset(
        {"auto-submitted", "content-transfer-encoding", "content-type", "mime-version", "x-auto-response-suppress"}
    )

    def __init__(self) -> None:
        super().__init__()
        self.map_to_type("list-unsubscribe", _OneLine)
        self._class = cache(super().__getitem__)
        self._shared = lru_cache(maxsize=32)(super().__call__)

    def __getitem__(self, name: str) -> type[BaseHeader]:
        return self._class(name.lower())

    def __call__(self, name: str, value: Any) -> BaseHeader:
        if name.lower() in self._SHARED and isinstance(value, str):
            return self._shared(name, value)
        return super().__call__(name, value)


_POLICY: Final = SMTP.clone(max_line_length=76, cte_type="7bit", header_factory=_Headers())

_LINK: Final = re.compile(r"https?://[!-;=?-~]{1,900}")
"""An address of a page that can stand in a header."""


_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_ESCAPED: Final = re.compile(r"\\(.)")


class Transport(Protocol):
    """One way for a mail to leave."""

    name: str
    """What operators know it by."""

    async def send(self, order: Order, message: EmailMessage) -> None:
        """Hand the mail over to be brought to `order.recipient`. Raises DeliveryError."""
        ...


class Mailer:
    """Builds mails and hands each to the first relay that takes it."""

    def __init__(self, settings: Email, database: Database) -> None:
        """Use the relays of the configuration in their order. Raises ConfigError for a password that cannot be read."""
        self._sender = _sender(settings.sender)
        self._from = _POLICY.header_factory("From", self._sender)
        self._transports: Sequence[Transport] = [_transport(via, self._sender, database) for via in settings.via]

    async def deliver(self, order: Order, rendered: Rendered) -> None:
        """Send one mail. Raises DeliveryError with what each relay that was tried said.

        Where it is unknown whether a relay took the mail, the next one gets it too: a second copy, known by its
        Message-ID, does less harm than none, and less than asking the doubtful relay again and again.
        """
        message = self.build(order, rendered)
        causes: list[str] = []
        after = 0
        rest = None
        for transport in self._transports:
            try:
                await transport.send(order, message)
            except DeliveryError as failure:
                causes.append(f"{transport.name}: {failure}")
                after = max(after, failure.after)
                rest = failure.rest if rest is None else rest
                if not failure.retry:
                    raise DeliveryError("; ".join(causes), retry=False) from None
                if isinstance(failure, BrokenOff):
                    break
            else:
                return
        raise DeliveryError("; ".join(causes), retry=True, after=after, rest=rest)

    def build(self, order: Order, rendered: Rendered) -> EmailMessage:
        """The mail; its headers are the same for the same order, so that a second copy can be told as one.

        Raises DeliveryError for a recipient that is no address, whatever brought it into the outbox.
        """
        message = EmailMessage(policy=_POLICY)
        try:
            # What is parsed is what is written into the header and put on the envelope.
            if parse_email(order.recipient).address != order.recipient:
                raise InvalidAddress("not in the form that is stored")
            message["From"] = self._from
            message["To"] = Address(addr_spec=order.recipient)
            message["Subject"] = _plain(rendered.subject)
        except (ValueError, email.errors.MessageError) as error:
            raise DeliveryError(f"a header cannot be built: {type(error).__name__}", retry=False) from None
        message["Date"] = format_datetime(datetime.fromtimestamp(order.created_at / 1000, UTC))
        message["Message-ID"] = f"<{order.id}@{self._sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"  # https://www.rfc-editor.org/rfc/rfc3834#section-5
        message["X-Auto-Response-Suppress"] = "All"
        if _LINK.fullmatch(rendered.stop_link):
            message["List-Unsubscribe"] = f"<{rendered.stop_link}>"
            if rendered.stop_link.startswith("https:"):  # https://www.rfc-editor.org/rfc/rfc8058#section-3.1
                message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message.set_content(rendered.text)
        # The boundary would otherwise be another one at every try.
        message.make_alternative(boundary=f"=_{order.id}")
        message.add_alternative(rendered.html, subtype="html")
        return message


def _sender(text: str) -> Address:
    """The sender of `Name <address>`: a name wholly in quotes is what they hold, in any other they belong to it.

    The library quotes and escapes the name where a header needs it. https://www.rfc-editor.org/rfc/rfc5322#section-3.2.4
    """
    name, _, rest = text.rpartition("<")
    name = name.strip()
    if _QUOTED.fullmatch(name):
        name = _ESCAPED.sub(r"\1", name[1:-1])
    return Address(_plain(name), addr_spec=rest.strip().removesuffix(">"))


def _plain(text: str) -> str:
    """`text` without encoded words: the library decodes them, and a line end in one would begin another header."""
    return text.replace("=?", "= ?")


def _transport(via: EmailTransport, sender: Address, database: Database) -> Transport:
    if isinstance(via, SmtpTransport):
        return SmtpRelay(via, sender.addr_spec)
    if isinstance(via, FileTransport):
        return MailFolder(Path(via.directory))
    if isinstance(via, MailboxTransport):
        return DevelopmentMailbox(database)
    raise TypeError(via)
