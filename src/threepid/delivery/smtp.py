"""Sends mails to a relay over SMTP, with TLS and a verified certificate.

https://www.rfc-editor.org/rfc/rfc5321, https://www.rfc-editor.org/rfc/rfc3207
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, cast

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from threepid.clock import MINUTE
from threepid.config import SmtpTransport, read_secret
from threepid.delivery.attempt import handed_over
from threepid.delivery.connect import connect
from threepid.delivery.errors import DeliveryError, InDoubt, RelayDown, SenderRefused
from threepid.delivery.kept import Kept, Line
from threepid.delivery.outcome import Cause
from threepid.delivery.tokens import Tokens
from threepid.storage.outbox import ClaimedJob

_REFUSALS: Final = range(400, 600)
_PERMANENT: Final = range(500, 600)
_START: Final = 354
_TAKEN: Final = 250
_RECIPIENT_TAKEN: Final = (250, 251)
_GOOD_BYE_SECONDS: Final = 2.0
_DOUBT: Final = 2 * MINUTE
"""Pause in milliseconds after a connection that broke during or after the transfer: the relay may have the mail already."""
_ENHANCED: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\d)")
_OUT_OF_REACH: Final = "4.4."
"""Prefix of the status codes for an unreachable recipient domain. https://www.rfc-editor.org/rfc/rfc3463"""
_Answer = aiosmtplib.SMTPResponse | aiosmtplib.SMTPResponseException
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
        self._kept = Kept(settings.mails_per_connection, _good_bye)
        self._tls = ssl.create_default_context()
        if settings.ca_file:
            self._tls.load_verify_locations(settings.ca_file)

    async def send(self, order: ClaimedJob, content: bytes) -> None:
        """Deliver over a connection that was kept, or over a new one. Raises DeliveryError.

        The transfer of the whole mail may take `timeout` seconds, and the answer `answer_timeout` seconds after that. Shorter
        limits cause duplicates: https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.2.6.

        A 5xx about the mail itself (its sender, recipient or content) is final. Any other rejection (greeting, TLS, login) is
        a fault that an operator can fix, and is retried.
        """
        talk = _Talk()
        try:
            async with asyncio.timeout(self._settings.timeout):
                line = await self._begin_mail(order, talk)
                talk.rest = 0  # from here on, a timeout is blamed on the recipient's domain
                await _recipient(line.client, order.recipient)
                talk.after = _DOUBT
                await _start_content(line.client)
            async with handed_over(self._settings.answer_timeout):
                talk.handed_over = True
                await _content(line.client, content)
            talk.client = None  # the mail is accepted: nothing must break off the connection any more
            self._kept.put(line)
        except TimeoutError:
            raise talk.error("timeout", Cause.TIMEOUT, rest=talk.rest) from None
        except asyncio.CancelledError:
            # The server stops. If the relay has the whole mail, it may still accept it.
            if talk.handed_over:
                raise talk.error("broken off", Cause.DOUBT) from None
            raise
        except aiosmtplib.SMTPResponseException as error:
            raise talk.error(f"{type(error).__name__} {_answer(error)}", _cause(error)) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise talk.error(_name(error), _cause(error)) from None
        finally:
            talk.hang_up()

    async def close(self) -> None:
        """Close the connections that were kept."""
        await self._kept.close()

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

    async def _begin_mail(self, order: ClaimedJob, talk: "_Talk") -> Line:
        """A connection on which the relay has accepted the mail's sender.

        A connection that was kept may have been closed by the relay meanwhile, or have no more mails. Until the relay accepts
        the sender it has nothing of the mail, so whatever goes wrong before that is tried again at once on another connection.
        """
        sender = self._envelope_sender(order.id) or self._sender
        while (line := self._kept.take()) is not None:
            talk.client = line.client
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                if (await _mail(line.client, sender)).code == _TAKEN:
                    return line
            talk.hang_up()
        line = Line(await self._begin(talk))
        response = await _mail(line.client, sender)
        if response.code in _PERMANENT:
            raise SenderRefused(f"the sender was refused: {_answer(response)}", retry=False, cause=Cause.REJECTED)
        if response.code != _TAKEN:
            raise RelayDown(f"the sender was refused: {_answer(response)}", retry=True, cause=Cause.DEFERRED)
        return line

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
        if client.is_ehlo_or_helo_needed:
            await _greet(client)
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

    def error(self, text: str, cause: Cause, *, rest: int | None = None) -> DeliveryError:
        """The error at this point of the delivery."""
        if self.handed_over:
            return InDoubt(text, retry=True, after=self.after, rest=rest, cause=Cause.DOUBT)
        if self.rest is None:
            return RelayDown(text, retry=True, cause=self.step or cause)
        return DeliveryError(text, retry=True, after=self.after, rest=rest, cause=cause)

    def hang_up(self) -> None:
        """Abort the connection at once: an orderly close would still send the rest of the buffer."""
        if self.client is not None:
            _abort(self.client)
            self.client = None


def _abort(client: aiosmtplib.SMTP) -> None:
    if client.transport is not None:
        # Not isinstance: the transports of uvloop do not count as asyncio's.
        cast("asyncio.WriteTransport", client.transport).abort()
    client.close()


# The library's own `mail` and `rcpt` parse the address again, which takes as long as all else that it does for a mail.
async def _mail(client: aiosmtplib.SMTP, sender: str) -> aiosmtplib.SMTPResponse:
    return await client.execute_command(b"MAIL", f"FROM:<{sender}>".encode("ascii"))


async def _greet(client: aiosmtplib.SMTP) -> None:
    """Say EHLO, or HELO to a relay that knows nothing newer."""
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        if not client.is_connected:
            raise
        await client.helo()


async def _recipient(client: aiosmtplib.SMTP, recipient: str) -> None:
    response = await client.execute_command(b"RCPT", f"TO:<{recipient}>".encode("ascii"))
    if response.code not in _RECIPIENT_TAKEN:
        raise _refused("the recipient", response)


async def _start_content(client: aiosmtplib.SMTP) -> None:
    response = await _connection(client).execute_command(b"DATA")
    if response.code != _START:
        _judge(response)


async def _content(client: aiosmtplib.SMTP, content: bytes) -> None:
    """Send the mail with its final dot, and await the answer. The library cannot limit this apart from DATA itself."""
    connection = _connection(client)
    connection.write(_on_the_wire(content))
    response = await connection.read_response()
    if response.code != _TAKEN:
        _judge(response)


def _on_the_wire(content: bytes) -> bytes:
    """`content` with network line ends, doubled dots at the start of lines, and the final dot."""
    lines = content
    if not lines.count(b"\r\n") == lines.count(b"\n") == lines.count(b"\r"):
        lines = _LINE_ENDS.sub(b"\r\n", lines)
    if b"\n." in lines or lines.startswith(b"."):
        lines = _DOTS.sub(b"..", lines)
    return lines + (b".\r\n" if lines.endswith(b"\r\n") else b"\r\n.\r\n")


def _connection(client: aiosmtplib.SMTP) -> SMTPProtocol:
    if client.protocol is None:
        raise aiosmtplib.SMTPServerDisconnected("Connection lost")
    return client.protocol


def _judge(response: aiosmtplib.SMTPResponse) -> NoReturn:
    if response.code in _REFUSALS:
        raise _refused("the mail", response)
    # The code neither accepts nor rejects.
    raise aiosmtplib.SMTPDataError(response.code, response.message)


async def _good_bye(client: aiosmtplib.SMTP) -> None:
    """Say QUIT and close the connection, in at most two seconds. All mails are accepted already, so a failure does not matter."""
    try:
        async with asyncio.timeout(_GOOD_BYE_SECONDS):
            await client.quit()
    except (aiosmtplib.SMTPException, OSError):  # TimeoutError is an OSError
        return
    finally:
        _abort(client)


def _refused(what: str, response: _Answer) -> DeliveryError:
    retry = response.code not in _PERMANENT
    rest = 0 if retry and response.message.startswith(_OUT_OF_REACH) else None
    cause = Cause.DEFERRED if retry else Cause.REJECTED
    return DeliveryError(f"{what} was refused: {_answer(response)}", retry=retry, rest=rest, cause=cause)


def _answer(response: _Answer) -> str:
    """The codes of an answer, without its text, in which relays repeat addresses."""
    enhanced = _ENHANCED.match(response.message)
    return f"{response.code} {enhanced[0]}" if enhanced else str(response.code)


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
