"""Tries out whether relays and gateways can be reached, without sending anything."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

from threepid.config import Config, ConfigError, HttpTransport, Problem, SmtpTransport
from threepid.delivery.smtp import SmtpRelay


async def unreachable(settings: Config, seconds: float) -> list[Problem]:
    """The relays that do not accept a connection and login within `seconds`, and the gateways whose names do not resolve."""
    return [found for found in await asyncio.gather(*_questions(settings, seconds)) if found is not None]


def _questions(settings: Config, seconds: float) -> Iterator[asyncio.Task[Problem | None]]:
    if settings.email is not None:
        for index, via in enumerate(settings.email.via):
            if isinstance(via, SmtpTransport):
                yield asyncio.ensure_future(_relay(f"[email] via[{index}]", via, settings.email.sender, seconds))
    if settings.sms is not None:
        for index, gateway in enumerate(settings.sms.via):
            if isinstance(gateway, HttpTransport):
                host = urlsplit(gateway.url).hostname or ""
                yield asyncio.ensure_future(_name(f"[sms] via[{index}].url", host, seconds))


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
