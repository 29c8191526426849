"""Tries out whether relays and gateways can be reached, without sending anything."""

import asyncio
import contextlib
from collections.abc import Awaitable, Iterable
from urllib.parse import urlsplit

from threepid.config import Config, ConfigError, HttpTransport, Problem, SmtpTransport
from threepid.delivery.mail.smtp import SmtpRelay


async def unreachable(settings: Config, seconds: float) -> list[Problem]:
    """The relays that do not accept a connection and login within `seconds`, and the gateways whose names do not resolve."""
    of_mail, of_sms = await asyncio.gather(relays(settings, seconds), gateways(settings, seconds, connect=False))
    return [*of_mail, *of_sms]


async def relays(settings: Config, seconds: float) -> list[Problem]:
    """The relays that do not accept a connection and login within `seconds`."""
    if settings.email is None:
        return []
    sender = settings.email.sender
    return await _found(
        _relay(f"[email] via[{index}]", via, sender, seconds)
        for index, via in enumerate(settings.email.via)
        if isinstance(via, SmtpTransport)
    )


async def gateways(settings: Config, seconds: float, *, connect: bool) -> list[Problem]:
    """The gateways whose names do not resolve within `seconds` or, with `connect`, that do not accept connections."""
    if settings.sms is None:
        return []
    return await _found(
        _gateway(f"[sms] via[{index}].url", via.url, seconds, connect=connect)
        for index, via in enumerate(settings.sms.via)
        if isinstance(via, HttpTransport)
    )


async def _found(questions: Iterable[Awaitable[Problem | None]]) -> list[Problem]:
    return [found for found in await asyncio.gather(*questions) if found is not None]


async def _gateway(place: str, url: str, seconds: float, *, connect: bool) -> Problem | None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if (trouble := await _name(place, host, seconds)) is not None or not connect:
        return trouble
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:  # TimeoutError is an OSError
        return Problem(
            place, f"{host}:{port} accepts no connection: check host and port, and whether a firewall is between"
        )
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return None


async def _relay(place: str, via: SmtpTransport, sender: str, seconds: float) -> Problem | None:
    if (trouble := await _name(f"{place}.host", via.host, seconds)) is not None:
        return trouble
    try:
        why = await SmtpRelay(via, sender.rpartition("<")[2].removesuffix(">")).try_out(seconds)
    except ConfigError as error:
        return Problem(f"{place}.password_file", str(error))
    if not why:
        return None
    return Problem(
        place,
        f"the relay {via.host}:{via.port} does not take our mails now ({why}): check host, port, tls, username and password",
    )


async def _name(place: str, host: str, seconds: float) -> Problem | None:
    """A problem if `host` does not resolve."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError):  # TimeoutError is an OSError
        return Problem(place, f"{host} does not resolve: check its spelling and this machine's DNS")
    return None
