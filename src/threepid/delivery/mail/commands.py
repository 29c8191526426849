"""The commands of SMTP that a mail needs, and what a relay's answers mean.

https://www.rfc-editor.org/rfc/rfc5321
"""

import asyncio
import re
import ssl
from typing import Final, NoReturn, cast

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from threepid.delivery.errors import DeliveryError, reason
from threepid.delivery.outcome import Cause

_REFUSALS: Final = range(400, 600)
PERMANENT: Final = range(500, 600)
"""Codes that reject for good."""
_START: Final = 354
TAKEN: Final = 250
"""The code that accepts."""
_RECIPIENT_TAKEN: Final = (250, 251)
_GOOD_BYE_SECONDS: Final = 2.0
_ENHANCED: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\d)")
_OUT_OF_REACH: Final = "4.4."
"""Prefix of the status codes for an unreachable recipient domain. https://www.rfc-editor.org/rfc/rfc3463"""
_Answer = aiosmtplib.SMTPResponse | aiosmtplib.SMTPResponseException
_LINE_ENDS: Final = re.compile(rb"\r\n|\r|\n")
_DOTS: Final = re.compile(rb"^\.", re.MULTILINE)


def abort(client: aiosmtplib.SMTP) -> None:
    """Break the connection off, with whatever its buffer still has."""
    if client.transport is not None:
        # Not isinstance: the transports of uvloop do not count as asyncio's.
        cast("asyncio.WriteTransport", client.transport).abort()
    client.close()


# The library's own `mail` and `rcpt` parse the address again, which takes as long as all else that it does for a mail.
async def mail_from(client: aiosmtplib.SMTP, sender: str) -> aiosmtplib.SMTPResponse:
    """Name the sender; returns the relay's answer."""
    return await client.execute_command(b"MAIL", f"FROM:<{sender}>".encode("ascii"))


async def greet(client: aiosmtplib.SMTP) -> None:
    """Say EHLO, or HELO to a relay that knows nothing newer."""
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        if not client.is_connected:
            raise
        await client.helo()


async def rcpt_to(client: aiosmtplib.SMTP, recipient: str) -> None:
    """Name the recipient. Raises DeliveryError if the relay rejects it."""
    response = await client.execute_command(b"RCPT", f"TO:<{recipient}>".encode("ascii"))
    if response.code not in _RECIPIENT_TAKEN:
        raise _refused("the recipient", response)


async def data(client: aiosmtplib.SMTP) -> None:
    """Announce the mail. Raises DeliveryError if the relay rejects it."""
    response = await _connection(client).execute_command(b"DATA")
    if response.code != _START:
        _judge(response)


async def transfer(client: aiosmtplib.SMTP, content: bytes) -> None:
    """Send the mail with its final dot, and await the answer. The library cannot limit this apart from DATA itself."""
    connection = _connection(client)
    connection.write(_on_the_wire(content))
    response = await connection.read_response()
    if response.code != TAKEN:
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


async def good_bye(client: aiosmtplib.SMTP) -> None:
    """Say QUIT and close the connection, in at most two seconds. All mails are accepted already, so a failure does not matter."""
    try:
        async with asyncio.timeout(_GOOD_BYE_SECONDS):
            await client.quit()
    except (aiosmtplib.SMTPException, OSError):  # TimeoutError is an OSError
        return
    finally:
        abort(client)


def _refused(what: str, response: _Answer) -> DeliveryError:
    retry = response.code not in PERMANENT
    rest = 0 if retry and response.message.startswith(_OUT_OF_REACH) else None
    cause = Cause.DEFERRED if retry else Cause.REJECTED
    return DeliveryError(f"{what} was refused: {codes(response)}", retry=retry, rest=rest, cause=cause)


def codes(response: _Answer) -> str:
    """The codes of an answer, without its text, in which relays repeat addresses."""
    enhanced = _ENHANCED.match(response.message)
    return f"{response.code} {enhanced[0]}" if enhanced else str(response.code)


def name_of(error: Exception) -> str:
    """The reason of the error; for a missing extension, the library's sentence."""
    if type(error) is aiosmtplib.SMTPException:
        return error.message.rstrip(".")  # always the library's own sentence, never the relay's text
    cause = error.__cause__
    return reason(cause if isinstance(cause, Exception) else error)


def cause_of(error: Exception) -> Cause:
    """What an error of the connection or of the relay counts as."""
    if isinstance(error.__cause__ or error, ssl.SSLError):
        return Cause.TLS
    if isinstance(error, aiosmtplib.SMTPResponseException) and error.code in _REFUSALS:
        return Cause.REJECTED if error.code in PERMANENT else Cause.DEFERRED
    return Cause.UNREACHABLE
