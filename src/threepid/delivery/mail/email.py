"""Mails: built, and sent by the first relay that accepts them."""

import email.errors
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.headerregistry import Address
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from threepid.clock import Clock
from threepid.config import (
    Email,
    EmailTransport,
    FileTransport,
    MailboxTransport,
    SendmailTransport,
    SmtpTransport,
)
from threepid.delivery.doubt import relay_in_doubt
from threepid.delivery.errors import DeliveryError, InDoubt, SenderRefused
from threepid.delivery.local import DevelopmentMailbox, MailFolder
from threepid.delivery.mail.mime import alternatives, header, recipient, sender
from threepid.delivery.mail.relays import Relays, Transport
from threepid.delivery.mail.sendmail import Sendmail
from threepid.delivery.mail.smtp import SmtpRelay
from threepid.delivery.outcome import Cause, Failure, Receipt
from threepid.delivery.render import Rendered
from threepid.domain.addresses import InvalidAddress, parse_email
from threepid.storage.engine.database import Database
from threepid.storage.outbox import ClaimedJob

_LINK: Final = re.compile(r"https?://[!-;=?-~]{1,900}")
"""A URL that can stand in a header."""
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_ESCAPED: Final = re.compile(r"\\(.)")


class Mailer:
    """Builds mails and sends each through the first relay that accepts it."""

    def __init__(
        self,
        settings: Email,
        database: Database,
        clock: Clock | None = None,
        envelope_sender: Callable[[str], str] = lambda _job_id: "",
    ) -> None:
        """Use the relays of the configuration in their order. Raises ConfigError for an unreadable password file.

        `envelope_sender` gives the address to which a job's mail returns, or '' for the relay's `envelope_from`, if it has one,
        or else that of the `From` header.
        """
        self._sender = _sender(settings.sender)
        self._from = sender(self._sender)
        transports = [_transport(via, self._sender, database, envelope_sender) for via in settings.via]
        self._smtp = [transport for transport in transports if isinstance(transport, SmtpRelay)]
        self._relays = Relays(transports, clock or Clock())

    async def deliver(self, job: ClaimedJob, rendered: Rendered) -> Receipt:
        """Send one mail; returns which relay took it. Raises DeliveryError with the cause at each relay tried.

        A mail that a relay may have taken goes to no other relay, in this attempt or a later one.
        """
        content = self.build(job, rendered)
        relays = self._relays.in_order()
        if name := relay_in_doubt(job):
            relays = self._relays.named(name)
            if not relays:
                raise DeliveryError(f"{name} may have sent it, and is gone", retry=False, cause=Cause.DOUBT)
        errors: list[DeliveryError] = []
        failures: list[Failure] = []
        for relay in relays:
            try:
                await relay.send(job, content)
            except DeliveryError as error:
                errors.append(error)
                failures.append(Failure(relay.name, error.cause, str(error)))
                if isinstance(error, InDoubt) or not (error.retry or isinstance(error, SenderRefused)):
                    break
            else:
                return Receipt(relay.name, tuple(failures))
        raise _combined(errors, failures)

    async def close(self) -> None:
        """Close the connections to relays that wait for the next mail."""
        for relay in self._smtp:
            await relay.close()

    def build(self, job: ClaimedJob, rendered: Rendered) -> bytes:
        """The mail. The same order always gives the same bytes, so that mail programs recognise a second copy.

        Raises DeliveryError for a recipient that is not a valid address.
        """
        try:
            # The parsed address must equal the stored one, which goes into the header and onto the envelope.
            if parse_email(job.recipient).address != job.recipient:
                raise InvalidAddress("not in the form that is stored")
            headers = [
                self._from,
                recipient(job.recipient),
                header("Subject", _plain(rendered.subject)),
                header("Date", format_datetime(datetime.fromtimestamp(job.created_at / 1000, UTC))),
                header("Message-ID", f"<{job.id}@{self._sender.domain}>"),
                header("Auto-Submitted", "auto-generated"),  # https://www.rfc-editor.org/rfc/rfc3834#section-5
                header("X-Auto-Response-Suppress", "All"),
            ]
        except (ValueError, email.errors.MessageError) as error:
            raise DeliveryError(f"a header cannot be built: {type(error).__name__}", retry=False) from None
        if _LINK.fullmatch(rendered.stop_link):
            # On one line: the library would turn a URL that is longer than a line into encoded words.
            headers.append(f"List-Unsubscribe: <{rendered.stop_link}>\r\n")
            if rendered.stop_link.startswith("https:"):  # https://www.rfc-editor.org/rfc/rfc8058#section-3.1
                headers.append(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
        # A fixed boundary: a random one would differ in every attempt.
        return alternatives(headers, rendered.text, rendered.html, boundary=f"=_{job.id}")


def _combined(errors: list[DeliveryError], failures: list[Failure]) -> DeliveryError:
    """The error of an attempt at several relays: the last one decides whether it is final, if it is about the recipient."""
    last = errors[-1]
    retry = last.retry or (isinstance(last, SenderRefused) and any(error.retry for error in errors))
    return DeliveryError(
        "; ".join(map(str, failures)),
        retry=retry,
        after=max(error.after for error in errors),
        rest=next((error.rest for error in errors if error.rest is not None), None),
        cause=last.cause,
        failures=failures,
    )


def _sender(text: str) -> Address:
    """The sender of `Name <address>`. Quotes around the whole name are removed; all other quotes belong to the name.

    The library quotes and escapes the name if a header requires it. https://www.rfc-editor.org/rfc/rfc5322#section-3.2.4
    """
    name, _, rest = text.rpartition("<")
    name = name.strip()
    if _QUOTED.fullmatch(name):
        name = _ESCAPED.sub(r"\1", name[1:-1])
    return Address(_plain(name), addr_spec=rest.strip().removesuffix(">"))


def _plain(text: str) -> str:
    """`text` without encoded words: the library decodes them, and a line end in one would inject a header."""
    return text.replace("=?", "= ?")


def _transport(
    via: EmailTransport, sender: Address, database: Database, envelope_sender: Callable[[str], str]
) -> Transport:
    if isinstance(via, SmtpTransport):
        return SmtpRelay(via, sender.addr_spec, envelope_sender)
    if isinstance(via, SendmailTransport):
        return Sendmail(via, sender.addr_spec, envelope_sender)
    if isinstance(via, FileTransport):
        return MailFolder(Path(via.directory))
    if isinstance(via, MailboxTransport):
        return DevelopmentMailbox(database)
    raise TypeError(via)
