"""Sends mails to a relay over SMTP, with TLS and a verified certificate.

https://www.rfc-editor.org/rfc/rfc5321, https://www.rfc-editor.org/rfc/rfc3207
"""

import asyncio
import re
import ssl
from collections.abc import Callable
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
"""Pause in milliseconds after a connection that broke during or after the transfer: the relay may have the mail already."""
_ENHANCED: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\d)")
_OUT_OF_REACH: Final = "4.4."
"""Prefix of the status codes for an unreachable recipient domain. https://www.rfc-editor.org/rfc/rfc3463"""
_LINE_ENDS: Final = re.compile(rb"\r\n|\r|\n")
_DOTS: Final = re.compile(rb"^\.", re.MULTILINE)


class SmtpRelay:
    """One relay."""

    def __init__(
        self, settings: SmtpTransport, sender: str, envelope_sender: Callable[[str], str] = lambda _job_id: ""
    ) -> None:
        """Send as `sender`, or as `envelope_sender` of a job's ID if that is not ''.

        Reads the password now, to find a missing file at the start. Raises ConfigError.
        """
        self.name = f"{settings.host}:{settings.port}"
        self._settings = settings
        self._sender = sender
        self._envelope_sender = envelope_sender
        self._password = read_secret(Path(settings.password_file)) if settings.password_file else None
        self._tls = ssl.create_default_context()
        if settings.ca_file:
            self._tls.load_verify_locations(settings.ca_file)

    async def send(self, order: Order, message: EmailMessage) -> None:
        """Deliver over one connection. Raises DeliveryError.

        The transfer of the whole mail may take `timeout` seconds, and the answer `answer_timeout` seconds after that. Shorter
        limits cause duplicates: https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.2.6.

        A 5xx about the mail itself (its sender, recipient or content) is final. Any other rejection (greeting, TLS, login) is
        a fault that an operator can fix, and is retried.
        """
        client = self._client()
        talk = _Talk()
        try:
            async with asyncio.timeout(self._settings.timeout):
                await self._begin(client)
                await self._envelope(client, order, talk)
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
            # The server stops. If the relay has the whole mail, it may still accept it.
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

    async def try_out(self, seconds: float) -> str:
        """Connect, begin TLS and log in, in at most `seconds`; send nothing. Returns why this is not possible, '' if it is."""
        client = self._client()
        try:
            async with asyncio.timeout(seconds):
                await self._begin(client)
            await _good_bye(client)
        except TimeoutError:
            return "timeout"
        except aiosmtplib.SMTPResponseException as error:
            return f"{type(error).__name__} {_answer(error)}"
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return _name(error)
        finally:
            _hang_up(client)
        return ""

    def _client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._settings.host,
            port=self._settings.port,
            # This name needs no DNS lookup, which could hang, and reveals nothing about this machine.
            local_hostname=self._sender.rpartition("@")[2],
            timeout=None,  # one limit for everything: limits for each command could add up without end
            use_tls=self._settings.tls == "tls",
            start_tls=False,
            tls_context=self._tls,
        )

    async def _begin(self, client: aiosmtplib.SMTP) -> None:
        await client.connect()
        if self._settings.tls == "starttls":
            # Raises if the relay rejects or does not offer STARTTLS: there is no fallback to plain text.
            await client.starttls()
        if self._password is not None:
            await client.login(self._settings.username, self._password.reveal())

    async def _envelope(self, client: aiosmtplib.SMTP, order: Order, talk: "_Talk") -> None:
        try:
            await client.mail(self._envelope_sender(order.id) or self._sender)
            talk.rest = 0  # from here on, a timeout is blamed on the recipient's domain
            await client.rcpt(order.recipient)
        except aiosmtplib.SMTPSenderRefused as error:
            raise _refused("the sender", error) from None
        except aiosmtplib.SMTPRecipientRefused as error:
            raise _refused("the recipient", error) from None


class _Talk:
    """The progress of a delivery."""

    def __init__(self) -> None:
        self.after = 0
        """Minimum pause, in milliseconds, before this mail is retried if the delivery fails."""
        self.rest: int | None = None
        """`rest` of the DeliveryError after a timeout; None as long as the recipient's domain is not to blame."""
        self.handed_over = False
        self.taken = False


async def _start_content(client: aiosmtplib.SMTP) -> None:
    response = await _connection(client).execute_command(b"DATA")
    if response.code != _START:
        _judge(response)


async def _content(client: aiosmtplib.SMTP, content: bytes) -> None:
    """Send the mail with its final dot, and await the answer. The library cannot limit this apart from DATA itself."""
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
    raise error  # the code neither accepts nor rejects


async def _good_bye(client: aiosmtplib.SMTP) -> None:
    try:
        async with asyncio.timeout(_GOOD_BYE_SECONDS):
            await client.quit()
    except (aiosmtplib.SMTPException, OSError):  # TimeoutError is an OSError
        return  # the mail is accepted already, so a failing QUIT does not matter


def _hang_up(client: aiosmtplib.SMTP) -> None:
    """Abort the connection at once: an orderly close would still send the rest of the buffer."""
    if isinstance(client.transport, asyncio.WriteTransport):
        client.transport.abort()
    client.close()


def _refused(what: str, error: aiosmtplib.SMTPResponseException) -> DeliveryError:
    retry = error.code not in _PERMANENT
    rest = 0 if retry and error.message.startswith(_OUT_OF_REACH) else None
    return DeliveryError(f"{what} was refused: {_answer(error)}", retry=retry, rest=rest)


def _answer(error: aiosmtplib.SMTPResponseException) -> str:
    """The codes of an answer, without its text, in which relays repeat addresses."""
    enhanced = _ENHANCED.match(error.message)
    return f"{error.code} {enhanced[0]}" if enhanced else str(error.code)


def _name(error: Exception) -> str:
    """The name of the error; for a missing extension, the library's sentence; for a rejected certificate, also the reason."""
    if type(error) is aiosmtplib.SMTPException:
        return error.message  # always the library's own sentence, never the relay's text
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{type(cause).__name__}: {cause.verify_message}"
    return type(cause).__name__
