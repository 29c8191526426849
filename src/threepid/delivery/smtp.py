"""Sends mails to a relay over SMTP, with TLS and a verified certificate.

https://www.rfc-editor.org/rfc/rfc5321, https://www.rfc-editor.org/rfc/rfc3207
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Final, NoReturn, cast

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from threepid.clock import MINUTE
from threepid.config import SmtpTransport, read_secret
from threepid.delivery.attempt import handed_over
from threepid.delivery.connect import connect
from threepid.delivery.errors import DeliveryError, InDoubt, RelayDown, SenderRefused
from threepid.delivery.outcome import Cause
from threepid.delivery.tokens import Tokens
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
        """Send as `envelope_sender` of a job's ID; if that is '', as `envelope_from` of the settings, or else as `sender`.

        Reads the password now, to find a missing file at the start. Raises ConfigError.
        """
        self.name = f"{settings.host}:{settings.port}"
        self._settings = settings
        self._sender = settings.envelope_from or sender
        self._envelope_sender = envelope_sender
        # The default needs no DNS lookup, which could hang, and reveals nothing about this machine.
        self._helo_name = settings.helo_name or sender.rpartition("@")[2]
        self._password = read_secret(Path(settings.password_file)) if settings.password_file else None
        self._tokens = Tokens(settings.token_command) if settings.token_command else None
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
        talk = _Talk()
        try:
            async with asyncio.timeout(self._settings.timeout):
                client = await self._begin(talk)
                await self._envelope(client, order, talk)
                talk.after = _DOUBT
                await _start_content(client)
            async with handed_over(self._settings.answer_timeout):
                talk.handed_over = True
                await _content(client, message.as_bytes())
            talk.taken = True
            await _good_bye(client)
        except TimeoutError:
            raise talk.error("timeout", Cause.TIMEOUT, rest=talk.rest) from None
        except asyncio.CancelledError:
            # The server stops. If the relay has the whole mail, it may still accept it.
            if talk.taken:
                return
            if talk.handed_over:
                raise talk.error("broken off", Cause.DOUBT) from None
            raise
        except aiosmtplib.SMTPResponseException as error:
            raise talk.error(f"{type(error).__name__} {_answer(error)}", _cause(error)) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise talk.error(_name(error), _cause(error)) from None
        finally:
            talk.hang_up()

    async def try_out(self, seconds: float) -> str:
        """Connect, begin TLS and log in, in at most `seconds`; send nothing. Returns why this is not possible, '' if it is."""
        talk = _Talk()
        try:
            async with asyncio.timeout(seconds):
                client = await self._begin(talk)
            await _good_bye(client)
        except TimeoutError:
            return "timeout"
        except DeliveryError as error:
            return str(error)
        except aiosmtplib.SMTPResponseException as error:
            return f"{type(error).__name__} {_answer(error)}"
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return _name(error)
        finally:
            talk.hang_up()
        return ""

    async def _begin(self, talk: "_Talk") -> aiosmtplib.SMTP:
        settings = self._settings
        connection = await connect(settings.host, settings.port, encrypted=settings.tls != "plain")
        talk.client = client = aiosmtplib.SMTP(
            sock=connection,
            hostname=settings.tls_name
            or settings.host,  # with a socket, this is the certificate's name and nothing else
            local_hostname=self._helo_name,
            timeout=None,  # one limit for everything, in `send`: limits for each command could add up without end
            use_tls=settings.tls == "tls",
            start_tls=False,
            tls_context=self._tls,
        )
        await client.connect()
        if settings.tls == "starttls":
            talk.step = Cause.TLS
            # Raises if the relay rejects or does not offer STARTTLS: there is no fallback to plain text.
            await client.starttls()
        talk.step = Cause.LOGIN
        if self._password is not None:
            await client.login(settings.username, self._password.reveal())
        if self._tokens is not None:
            await self._login_with_token(client, self._tokens)
        talk.step = None
        return client

    async def _login_with_token(self, client: aiosmtplib.SMTP, tokens: Tokens) -> None:
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
        if "xoauth2" not in client.server_auth_methods:
            raise aiosmtplib.SMTPException("XOAUTH2 is not offered")
        token = await tokens.get()
        try:
            await client.auth_xoauth2(self._settings.username, token.reveal())
        except aiosmtplib.SMTPAuthenticationError:
            tokens.forget(token)
            raise

    async def _envelope(self, client: aiosmtplib.SMTP, order: Order, talk: "_Talk") -> None:
        try:
            await client.mail(self._envelope_sender(order.id) or self._sender)
        except aiosmtplib.SMTPSenderRefused as error:
            text = f"the sender was refused: {_answer(error)}"
            if error.code in _PERMANENT:
                raise SenderRefused(text, retry=False, cause=Cause.REJECTED) from None
            raise RelayDown(text, retry=True, cause=Cause.DEFERRED) from None
        talk.rest = 0  # from here on, a timeout is blamed on the recipient's domain
        try:
            await client.rcpt(order.recipient)
        except aiosmtplib.SMTPRecipientRefused as error:
            raise _refused("the recipient", error) from None


class _Talk:
    """The progress of a delivery."""

    def __init__(self) -> None:
        self.client: aiosmtplib.SMTP | None = None
        self.step: Cause | None = None
        """What an error is about, if it is about TLS or the login."""
        self.after = 0
        """Minimum pause, in milliseconds, before this mail is retried if the delivery fails."""
        self.rest: int | None = None
        """`rest` of the DeliveryError after a timeout; None until the relay has accepted the sender, and is to blame itself."""
        self.handed_over = False
        self.taken = False

    def error(self, text: str, cause: Cause, *, rest: int | None = None) -> DeliveryError:
        """The error at this point of the delivery."""
        if self.handed_over:
            return InDoubt(text, retry=True, after=self.after, rest=rest, cause=Cause.DOUBT)
        if self.rest is None:
            return RelayDown(text, retry=True, cause=self.step or cause)
        return DeliveryError(text, retry=True, after=self.after, rest=rest, cause=cause)

    def hang_up(self) -> None:
        """Abort the connection at once: an orderly close would still send the rest of the buffer."""
        if self.client is None:
            return
        if self.client.transport is not None:
            # Not isinstance: the transports of uvloop do not count as asyncio's.
            cast("asyncio.WriteTransport", self.client.transport).abort()
        self.client.close()


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


def _refused(what: str, error: aiosmtplib.SMTPResponseException) -> DeliveryError:
    retry = error.code not in _PERMANENT
    rest = 0 if retry and error.message.startswith(_OUT_OF_REACH) else None
    cause = Cause.DEFERRED if retry else Cause.REJECTED
    return DeliveryError(f"{what} was refused: {_answer(error)}", retry=retry, rest=rest, cause=cause)


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


def _cause(error: Exception) -> Cause:
    if isinstance(error.__cause__ or error, ssl.SSLError):
        return Cause.TLS
    if isinstance(error, aiosmtplib.SMTPResponseException) and error.code in _REFUSALS:
        return Cause.REJECTED if error.code in _PERMANENT else Cause.DEFERRED
    return Cause.UNREACHABLE
