"""A mail relay, spoken to over SMTP with TLS and a verified certificate.

https://www.rfc-editor.org/rfc/rfc5321, https://www.rfc-editor.org/rfc/rfc3207
"""

import asyncio
import re
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Final, NoReturn

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from threepid.clock import MINUTE
from threepid.config import SmtpTransport, read_secret
from threepid.delivery.attempt import handed_over
from threepid.delivery.errors import BrokenOff, DeliveryError
from threepid.storage.outbox import Order

_REFUSALS: Final = range(400, 600)
_PERMANENT: Final = range(500, 600)
_START: Final = 354
_TAKEN: Final = 250
_GOOD_BYE_SECONDS: Final = 2.0
_DOUBT: Final = 2 * MINUTE
"""Pause after a connection that broke once the mail was on its way: the relay may have it, and another copy is no help."""
_ENHANCED: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\d)")
_OUT_OF_REACH: Final = "4.4."
"""Begin of the codes by which a relay says that it cannot reach the recipient's domain. https://www.rfc-editor.org/rfc/rfc3463"""
_LINE_ENDS: Final = re.compile(rb"\r\n|\r|\n")
_DOTS: Final = re.compile(rb"^\.", re.MULTILINE)


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
        """Deliver over one connection.

        The relay has `timeout` seconds until it has the whole mail, and then `answer_timeout` to say whether it takes it.
        Who breaks off sooner makes copies: https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.2.6.

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
        talk = _Talk()
        try:
            async with asyncio.timeout(self._settings.timeout):
                await self._begin(client)
                await self._envelope(client, order.recipient, talk)
                talk.after = _DOUBT
                await _start_content(client)
            async with handed_over(self._settings.answer_timeout):
                talk.handed_over = True
                await _content(client, message.as_bytes())
            talk.taken = True
            await _good_bye(client)
        except TimeoutError:
            raise DeliveryError("timeout", retry=True, after=talk.after, rest=talk.rest) from None
        except asyncio.CancelledError:
            # The server stops. Where the relay has the mail it may take it all the same.
            if talk.taken:
                return
            if talk.handed_over:
                raise BrokenOff("broken off", retry=True, after=talk.after) from None
            raise
        except aiosmtplib.SMTPResponseException as error:
            raise DeliveryError(f"{type(error).__name__} {_answer(error)}", retry=True, after=talk.after) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise DeliveryError(_name(error), retry=True, after=talk.after) from None
        finally:
            _hang_up(client)

    async def _begin(self, client: aiosmtplib.SMTP) -> None:
        await client.connect()
        if self._settings.tls == "starttls":
            # Refused or not offered, it raises: nothing is ever sent in the clear instead.
            await client.starttls()
        if self._password is not None:
            await client.login(self._settings.username, self._password.reveal())

    async def _envelope(self, client: aiosmtplib.SMTP, recipient: str, talk: "_Talk") -> None:
        try:
            await client.mail(self._sender)
            talk.rest = 0  # from here on, what takes too long is the recipient's domain
            await client.rcpt(recipient)
        except aiosmtplib.SMTPSenderRefused as error:
            raise _refused("the sender", error) from None
        except aiosmtplib.SMTPRecipientRefused as error:
            raise _refused("the recipient", error) from None


class _Talk:
    """How far a delivery has come."""

    def __init__(self) -> None:
        self.after = 0
        """How long the relay is to be left alone with this mail if the delivery fails."""
        self.rest: int | None = None
        """How long the recipient's domain is to be left alone if it takes too long; None as long as that is not its fault."""
        self.handed_over = False
        self.taken = False


async def _start_content(client: aiosmtplib.SMTP) -> None:
    response = await _connection(client).execute_command(b"DATA")
    if response.code != _START:
        _judge(response)


async def _content(client: aiosmtplib.SMTP, content: bytes) -> None:
    """Send the mail to its last dot, and wait for the answer. The library would have one limit for this and what was before."""
    connection = _connection(client)
    lines = _LINE_ENDS.sub(b"\r\n", content)
    end = b".\r\n" if lines.endswith(b"\r\n") else b"\r\n.\r\n"
    connection.write(_DOTS.sub(b"..", lines) + end)
    response = await connection.read_response()
    if response.code != _TAKEN:
        _judge(response)


def _connection(client: aiosmtplib.SMTP) -> SMTPProtocol:
    if client.protocol is None:
        raise aiosmtplib.SMTPServerDisconnected("Connection lost")
    return client.protocol


def _judge(response: aiosmtplib.SMTPResponse) -> NoReturn:
    error = aiosmtplib.SMTPDataError(response.code, response.message)
    if error.code in _REFUSALS:
        raise _refused("the mail", error) from None
    raise error  # neither yes nor no


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
    retry = error.code not in _PERMANENT
    rest = 0 if retry and error.message.startswith(_OUT_OF_REACH) else None
    return DeliveryError(f"{what} was refused: {_answer(error)}", retry=retry, rest=rest)


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
