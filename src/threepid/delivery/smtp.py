"""A mail relay, spoken to over SMTP with TLS and a verified certificate.

https://www.rfc-editor.org/rfc/rfc5321, https://www.rfc-editor.org/rfc/rfc3207
"""

import asyncio
import re
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Final

import aiosmtplib

from threepid.clock import MINUTE
from threepid.config import SmtpTransport, read_secret
from threepid.delivery.errors import DeliveryError
from threepid.storage.outbox import Order

_REFUSALS: Final = range(400, 600)
_PERMANENT: Final = range(500, 600)
_GOOD_BYE_SECONDS: Final = 2.0
_DOUBT: Final = 2 * MINUTE
"""Pause after a connection that broke once the mail was on its way: the relay may have it, and another copy is no help."""
_ENHANCED: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\d)")


class SmtpRelay:
    """One relay."""

    def __init__(self, settings: SmtpTransport, sender: str) -> None:
        """Send as `sender`. Reads the password now, so that a missing file is found at the start: raises ConfigError."""
        self.name = f"{settings.host}:{settings.port}"
        self._settings = settings
        self._sender = sender
        self._password = read_secret(Path(settings.password_file)) if settings.password_file else None
        self._tls = ssl.create_default_context()
        if settings.ca_file:
            self._tls.load_verify_locations(settings.ca_file)

    async def send(self, order: Order, message: EmailMessage) -> None:
        """Deliver over one connection within `timeout` seconds.

        A 5xx about the mail itself (its sender, recipient or content) is final. Whatever else a relay refuses (its
        greeting, TLS, the login) is a fault between it and us that an operator can mend: it is retried.
        """
        client = aiosmtplib.SMTP(
            hostname=self._settings.host,
            port=self._settings.port,
            # A name that needs no look-up, which could hang, and that tells nothing of this machine.
            local_hostname=self._sender.rpartition("@")[2],
            timeout=None,  # one limit for all, below: a limit for each command could be stretched without end
            use_tls=self._settings.tls == "tls",
            start_tls=False,
            tls_context=self._tls,
        )
        after = 0
        try:
            async with asyncio.timeout(self._settings.timeout):
                await self._begin(client)
                await self._envelope(client, order.recipient)
                after = _DOUBT
                await _content(client, message.as_bytes())
            await _good_bye(client)
        except TimeoutError:
            raise DeliveryError("timeout", retry=True, after=after) from None
        except aiosmtplib.SMTPResponseException as error:
            raise DeliveryError(f"{type(error).__name__} {_answer(error)}", retry=True, after=after) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise DeliveryError(_name(error), retry=True, after=after) from None
        finally:
            _hang_up(client)

    async def _begin(self, client: aiosmtplib.SMTP) -> None:
        await client.connect()
        if self._settings.tls == "starttls":
            # Refused or not offered, it raises: nothing is ever sent in the clear instead.
            await client.starttls()
        if self._password is not None:
            await client.login(self._settings.username, self._password.reveal())

    async def _envelope(self, client: aiosmtplib.SMTP, recipient: str) -> None:
        try:
            await client.mail(self._sender)
            await client.rcpt(recipient)
        except aiosmtplib.SMTPSenderRefused as error:
            raise _refused("the sender", error) from None
        except aiosmtplib.SMTPRecipientRefused as error:
            raise _refused("the recipient", error) from None


async def _content(client: aiosmtplib.SMTP, content: bytes) -> None:
    try:
        await client.data(content)
    except aiosmtplib.SMTPDataError as error:
        if error.code in _REFUSALS:
            raise _refused("the mail", error) from None
        raise  # neither yes nor no


async def _good_bye(client: aiosmtplib.SMTP) -> None:
    try:
        async with asyncio.timeout(_GOOD_BYE_SECONDS):
            await client.quit()
    except (aiosmtplib.SMTPException, OSError):  # TimeoutError is an OSError
        return  # the mail was accepted: what happens at the good-bye does not matter


def _hang_up(client: aiosmtplib.SMTP) -> None:
    """Let go of the connection at once: closing it politely would still send what waits in its buffer."""
    if isinstance(client.transport, asyncio.WriteTransport):
        client.transport.abort()
    client.close()


def _refused(what: str, error: aiosmtplib.SMTPResponseException) -> DeliveryError:
    return DeliveryError(f"{what} was refused: {_answer(error)}", retry=error.code not in _PERMANENT)


def _answer(error: aiosmtplib.SMTPResponseException) -> str:
    """The codes of an answer, without its text: relays repeat addresses there."""
    enhanced = _ENHANCED.match(error.message)
    return f"{error.code} {enhanced[0]}" if enhanced else str(error.code)


def _name(error: Exception) -> str:
    """What kind of error it is; what a relay does not offer; why a certificate was not taken."""
    if type(error) is aiosmtplib.SMTPException:
        return error.message  # one of the library's own sentences: nothing that a relay said
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{type(cause).__name__}: {cause.verify_message}"
    return type(cause).__name__
