"""Texts to phones: given to the first gateway that takes the number's country.

A text costs money, and two of them confuse. So nothing is sent a second time, be it by another gateway, unless it is certain
that it was not sent the first time.
"""

import asyncio
import re
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote, quote_plus

import aiohttp
import msgspec
import yarl

from threepid import __version__
from threepid.clock import SECOND, Clock
from threepid.config import ConfigError, ConsoleTransport, HttpTransport, Secret, Sms, SmsTransport, read_secret
from threepid.config.sections.gateways import PLACEHOLDER, body_format, gateway_name
from threepid.delivery.errors import DeliveryError
from threepid.delivery.traffic import Rests
from threepid.domain.addresses import InvalidAddress, parse_phone
from threepid.storage.outbox import Order

_SUCCESS: Final = range(200, 300)
_SERVER_ERRORS: Final = range(500, 600)
_TOO_MANY: Final = 429
_UNAVAILABLE: Final = 503
_SECONDS: Final = re.compile(r"[0-9]{1,6}")
_HEADER_VALUE: Final = re.compile(r"[ -~]*")
_CONTENT_TYPES: Final = {"json": "application/json", "form": "application/x-www-form-urlencoded"}


class InDoubt(DeliveryError):
    """Nobody knows whether the text was sent: it is neither tried again nor given to another gateway."""

    def __init__(self, cause: str, *, rest: int | None = None) -> None:
        """In doubt because of `cause`; `rest` as in DeliveryError."""
        super().__init__(f"{cause}: it may have been sent, so it is not tried again", retry=False, rest=rest)


class Gateway(Protocol):
    """One way for a text to leave."""

    name: str
    """What operators know it by."""
    countries: tuple[str, ...]
    """ISO codes of the countries whose numbers it takes; empty = all."""

    async def send(self, to: str, text: str) -> None:
        """Hand the text over to be brought to the number `to`. Raises DeliveryError where it was not, else InDoubt."""
        ...


class Texter:
    """Hands each text to the first gateway that takes it."""

    def __init__(self, settings: Sms, clock: Clock | None = None) -> None:
        """Use the gateways of the configuration in their order. Raises ConfigError for a secret that cannot be used.

        With a clock, a gateway that cannot be reached is left alone for a while: its texts go to the next one at once.
        """
        self._rests = Rests(clock) if clock else None
        self._countries = settings.countries
        self._gateways: Sequence[Gateway] = [_gateway(via) for via in settings.via]

    async def deliver(self, order: Order, text: str) -> None:
        """Send one text. Raises DeliveryError with what each gateway that was tried said.

        The countries are looked at again: what may have waited in the outbox is sent by today's rules.
        """
        try:
            phone = parse_phone(order.recipient)
        except InvalidAddress:
            raise DeliveryError("the recipient is not a phone number", retry=False) from None
        if phone.address != order.recipient or phone.region not in self._countries:
            raise DeliveryError(f"numbers of {phone.region or 'no country'} are not texted", retry=False)
        causes: list[str] = []
        retry = False
        after = 0
        for gateway in self._gateways:
            if gateway.countries and phone.region not in gateway.countries:
                continue
            try:
                await self._ask(gateway, phone.address, text)
            except DeliveryError as failure:
                causes.append(f"{gateway.name}: {failure}")
                if isinstance(failure, InDoubt):
                    raise DeliveryError("; ".join(causes), retry=False) from None
                if failure.retry:
                    # The first that may be asked again is asked then; the others rest.
                    after = min(after, failure.after) if retry else failure.after
                    retry = True
            else:
                return
        raise DeliveryError(
            "; ".join(causes) or f"no gateway takes numbers of {phone.region}", retry=retry, after=after
        )

    async def _ask(self, gateway: Gateway, to: str, text: str) -> None:
        if self._rests is None:
            await gateway.send(to, text)
            return
        if left := self._rests.left(gateway.name):
            raise DeliveryError("could not be reached just now", retry=True, after=left)
        try:
            await gateway.send(to, text)
        except DeliveryError as failure:
            if failure.rest is not None:
                self._rests.begin(gateway.name, failure.rest)
            raise
        self._rests.end(gateway.name)


class Console:
    """Writes each text to standard error: for development."""

    name = "console"
    countries: tuple[str, ...] = ()

    async def send(self, to: str, text: str) -> None:
        """Write one text."""
        sys.stderr.write(f"\n--- A text to {to}. Development only: nothing was sent. ---\n{text}\n---\n")
        sys.stderr.flush()


class HttpGateway:
    """One gateway that is spoken to over HTTP."""

    def __init__(self, settings: HttpTransport) -> None:
        """Reads the secret now, so that a missing file is found at the start: raises ConfigError."""
        self.name = gateway_name(settings)
        self.countries = settings.countries
        self._settings = settings
        self._secret = read_secret(Path(settings.secret_file)) if settings.secret_file else Secret()
        self._kind = body_format(settings) if settings.body else None
        self._tls = ssl.create_default_context()
        in_header = any("{secret}" in value for value in settings.headers.values())
        if in_header and not _HEADER_VALUE.fullmatch(self._secret.reveal()):
            raise ConfigError(f"{settings.secret_file}: is not one line of plain ASCII, and cannot stand in a header")

    async def send(self, to: str, text: str) -> None:
        """Send over a connection of its own within `timeout` seconds; the answer's status is all that is read of it.

        What goes wrong before the connection stands has certainly sent nothing. After that, only an answer is certain.
        """
        values = {"to": to, "text": text, "secret": self._secret.reveal()}
        attempt = _Attempt()
        try:
            async with asyncio.timeout(self._settings.timeout):
                status, retry_after = await self._ask(attempt, values)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            if attempt.connected:
                raise InDoubt(_name(error), rest=0) from None
            raise DeliveryError(_name(error), retry=True, rest=0) from None
        except asyncio.CancelledError:
            # The server stops, or the whole try took too long: the gateway was asked all the same.
            if attempt.connected:
                raise InDoubt("broken off") from None
            raise
        _judge(status, retry_after)

    async def _ask(self, attempt: "_Attempt", values: Mapping[str, str]) -> tuple[int, str]:
        settings = self._settings
        defaults = {"User-Agent": f"threepid/{__version__}"}
        body = None
        if self._kind is not None:
            defaults["Content-Type"] = _CONTENT_TYPES[self._kind]
            body = _fill(settings.body, values, _ESCAPES[self._kind]).encode()
        async with (
            attempt.session(defaults) as session,
            session.request(
                settings.method,
                yarl.URL(_fill(settings.url, values, _in_url), encoded=True),
                headers={name: _fill(value, values, _in_header) for name, value in settings.headers.items()},
                data=body,
                allow_redirects=False,
                ssl=self._tls,
            ) as response,
        ):
            response.close()  # whatever else it says, and however long
            return response.status, response.headers.get("Retry-After", "")


class _Attempt:
    """One request over one connection, and whether the gateway can know of it."""

    def __init__(self) -> None:
        self.connected = False

    def session(self, headers: Mapping[str, str]) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._note)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # the caller's covers all
            trace_configs=[trace],
            middlewares=[self._once],
            trust_env=False,
        )

    async def _note(self, *_what: object) -> None:
        self.connected = True

    async def _once(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except (aiohttp.ClientError, OSError) as error:
            # The library would ask again by itself where a GET or PUT got no answer.
            if self.connected:
                raise InDoubt(_name(error), rest=0) from None
            raise


def _judge(status: int, retry_after: str) -> None:
    if status in _SUCCESS:
        return
    cause = f"answered {status}"
    if status == _TOO_MANY or (status == _UNAVAILABLE and retry_after):
        after = int(retry_after) * SECOND if _SECONDS.fullmatch(retry_after) else 0
        raise DeliveryError(cause, retry=True, after=after, rest=after)
    if status in _SERVER_ERRORS:  # something between us and what sends may have lost the answer only
        raise InDoubt(cause)
    raise DeliveryError(cause, retry=False)


def _fill(template: str, values: Mapping[str, str], escape: Callable[[str], str]) -> str:
    """`template` with its placeholders replaced, once: a value that looks like one is only a value."""
    return PLACEHOLDER.sub(lambda match: escape(values[match[1]]), template)


def _in_url(value: str) -> str:
    return quote(value, safe="")


def _in_json(value: str) -> str:
    return msgspec.json.encode(value).decode()[1:-1]


def _in_header(value: str) -> str:
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError("not for a header")
    return value


_ESCAPES: Final[Mapping[str, Callable[[str], str]]] = {"json": _in_json, "form": quote_plus}


def _name(error: Exception) -> str:
    """What kind of error it is, without its text, which repeats the URL; why a certificate was not taken."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        inner = error.certificate_error
        if isinstance(inner, ssl.SSLCertVerificationError):
            return f"{type(inner).__name__}: {inner.verify_message}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return type(error.os_error).__name__
    return type(error).__name__


def _gateway(via: SmsTransport) -> Gateway:
    if isinstance(via, ConsoleTransport):
        return Console()
    if isinstance(via, HttpTransport):
        return HttpGateway(via)
    raise TypeError(via)
