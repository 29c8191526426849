"""Sends mails to a relay over SMTP, with TLS and a verified certificate.

https://www.rfc-editor.org/rfc/rfc5321, https://www.rfc-editor.org/rfc/rfc3207
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiosmtplib

from threepid.clock import MINUTE
from threepid.config import SmtpTransport, read_secret
from threepid.delivery.attempt import handed_over
from threepid.delivery.errors import DeliveryError, InDoubt, RelayDown, SenderRefused
from threepid.delivery.mail.commands import (
    PERMANENT,
    TAKEN,
    abort,
    cause_of,
    codes,
    data,
    good_bye,
    greet,
    mail_from,
    name_of,
    rcpt_to,
    transfer,
)
from threepid.delivery.mail.connect import connect
from threepid.delivery.mail.kept import Kept, Line
from threepid.delivery.mail.tokens import Tokens
from threepid.delivery.outcome import Cause
from threepid.remote.tls import checked_tls
from threepid.storage.outbox import ClaimedJob

_DOUBT: Final = 2 * MINUTE
"""Pause in milliseconds after a connection that broke during or after the transfer: the relay may have the mail already."""


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
        self._kept = Kept(settings.mails_per_connection, good_bye)
        self._tls = checked_tls(settings.ca_file)

    async def send(self, job: ClaimedJob, content: bytes) -> None:
        """Deliver over a connection that was kept, or over a new one. Raises DeliveryError.

        The transfer of the whole mail may take `timeout` seconds, and the answer `answer_timeout` seconds after that. Shorter
        limits cause duplicates: https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.2.6.

        A 5xx about the mail itself (its sender, recipient or content) is final. Any other rejection (greeting, TLS, login) is
        a fault that an operator can fix, and is retried.
        """
        talk = _Talk()
        try:
            async with asyncio.timeout(self._settings.timeout):
                line = await self._begin_mail(job, talk)
                talk.rest = 0  # from here on, a timeout is blamed on the recipient's domain
                await rcpt_to(line.client, job.recipient)
                talk.after = _DOUBT
                await data(line.client)
            async with handed_over(self._settings.answer_timeout):
                talk.handed_over = True
                await transfer(line.client, content)
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
            raise talk.error(f"{type(error).__name__} {codes(error)}", cause_of(error)) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise talk.error(name_of(error), cause_of(error)) from None
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
            await good_bye(client)
        except TimeoutError:
            return "timeout"
        except DeliveryError as error:
            return str(error)
        except aiosmtplib.SMTPResponseException as error:
            return f"{type(error).__name__} {codes(error)}"
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return name_of(error)
        finally:
            talk.hang_up()
        return ""

    async def _begin_mail(self, job: ClaimedJob, talk: "_Talk") -> Line:
        """A connection on which the relay has accepted the mail's sender.

        A connection that was kept may have been closed by the relay meanwhile, or have no more mails. Until the relay accepts
        the sender it has nothing of the mail, so whatever goes wrong before that is tried again at once on another connection.
        """
        sender = self._envelope_sender(job.id) or self._sender
        while (line := self._kept.take()) is not None:
            talk.client = line.client
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                if (await mail_from(line.client, sender)).code == TAKEN:
                    return line
            talk.hang_up()
        line = Line(await self._begin(talk))
        response = await mail_from(line.client, sender)
        if response.code in PERMANENT:
            raise SenderRefused(f"the sender was refused: {codes(response)}", retry=False, cause=Cause.REJECTED)
        if response.code != TAKEN:
            raise RelayDown(f"the sender was refused: {codes(response)}", retry=True, cause=Cause.DEFERRED)
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
            tls_context=self._tls(),
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
            await greet(client)
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
            abort(self.client)
            self.client = None
