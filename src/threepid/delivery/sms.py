"""SMS: sent through the first gateway that serves the number's country.

An SMS costs money, and a second one confuses. So an SMS is sent again, by any gateway, only if it was certainly not sent before.
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
from threepid.delivery import errors
from threepid.delivery.errors import DeliveryError
from threepid.delivery.outcome import Cause, Failure, Receipt
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


class InDoubt(errors.InDoubt):
    """The SMS may have been sent: it is neither retried nor sent through another gateway."""

    def __init__(self, cause: str, *, rest: int | None = None) -> None:
        """`cause` and `rest` are those of DeliveryError."""
        super().__init__(
            f"{cause}: it may have been sent, so it is not tried again", retry=False, rest=rest, cause=Cause.DOUBT
        )


class Gateway(Protocol):
    """One way to send SMS."""

    name: str
    """Its name in logs and metrics."""
    countries: tuple[str, ...]
    """ISO codes of the countries whose numbers it serves; empty = all."""

    async def send(self, to: str, text: str) -> None:
        """Send the SMS to the number `to`. Raises InDoubt if it may have been sent, any other DeliveryError if not."""
        ...


class Texter:
    """Sends each SMS through the first gateway that accepts it."""

    def __init__(self, settings: Sms, clock: Clock | None = None) -> None:
        """Use the gateways of the configuration in their order. Raises ConfigError for an unusable secret.

        With `clock`, an unreachable gateway is skipped for a while: its SMS go to the next gateway at once.
        """
        self._rests = Rests(clock) if clock else None
        self._countries = settings.countries
        self._gateways: Sequence[Gateway] = [_gateway(via) for via in settings.via]

    async def deliver(self, order: Order, text: str) -> Receipt:
        """Send one SMS; returns which gateway took it. Raises DeliveryError with the cause at each gateway tried.

        The country is checked again: the setting may have changed while the SMS waited in the outbox.
        """
        try:
            phone = parse_phone(order.recipient)
        except InvalidAddress:
            raise DeliveryError("the recipient is not a phone number", retry=False, cause=Cause.REJECTED) from None
        if phone.address != order.recipient or phone.region not in self._countries:
            raise DeliveryError(
                f"numbers of {phone.region or 'no country'} get no SMS", retry=False, cause=Cause.REJECTED
            )
        failures: list[Failure] = []
        cause = Cause.INTERNAL
        retry = False
        after = 0
        for gateway in self._gateways:
            if gateway.countries and phone.region not in gateway.countries:
                continue
            try:
                await self._ask(gateway, phone.address, text)
            except DeliveryError as failure:
                failures.append(Failure(gateway.name, failure.cause, str(failure)))
                cause = failure.cause
                if isinstance(failure, InDoubt):
                    retry = False
                    break
                if failure.retry:
                    # The job is retried as soon as any gateway may be tried again.
                    after = min(after, failure.after) if retry else failure.after
                    retry = True
            else:
                return Receipt(gateway.name, tuple(failures))
        text = "; ".join(map(str, failures)) or f"no gateway takes numbers of {phone.region}"
        raise DeliveryError(text, retry=retry, after=after, cause=cause, failures=failures)

    async def _ask(self, gateway: Gateway, to: str, text: str) -> None:
        if self._rests is None:
            await gateway.send(to, text)
            return
        if left := self._rests.left(gateway.name):
            raise DeliveryError("could not be reached just now", retry=True, after=left, cause=Cause.RESTING)
        try:
            await gateway.send(to, text)
        except DeliveryError as failure:
            if failure.rest is not None:
                self._rests.begin(gateway.name, failure.rest)
            raise
        self._rests.end(gateway.name)


class Console:
    """Writes each SMS to standard error. For development only."""

    name = "console"
    countries: tuple[str, ...] = ()

    async def send(self, to: str, text: str) -> None:
        """Write one SMS."""
        sys.stderr.write(f"\n--- A text to {to}. Development only: nothing was sent. ---\n{text}\n---\n")
        sys.stderr.flush()


class HttpGateway:
    """One gateway with an HTTP interface."""

    def __init__(self, settings: HttpTransport) -> None:
        """Read the secret now, to find a missing file at the start. Raises ConfigError."""
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
        """Send over a new connection within `timeout` seconds; only the status and `Retry-After` of the answer are read.

        An error before the connection is established means that nothing was sent. After that, only an answer is certain.
        """
        values = {"to": to, "text": text, "secret": self._secret.reveal()}
        attempt = _Attempt()
        try:
            async with asyncio.timeout(self._settings.timeout):
                status, retry_after = await self._ask(attempt, values)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            if attempt.connected:
                raise InDoubt(_name(error), rest=0) from None
            raise DeliveryError(_name(error), retry=True, rest=0, cause=_cause(error)) from None
        except asyncio.CancelledError:
            # The server stops, or the whole attempt took too long. The gateway may have got the request all the same.
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
            response.close()  # the body is ignored, however long it is
            return response.status, response.headers.get("Retry-After", "")


class _Attempt:
    """One request over one connection. `connected` is whether the gateway may have got it."""

    def __init__(self) -> None:
        self.connected = False

    def session(self, headers: Mapping[str, str]) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._note)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # the caller's timeout covers everything
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
            # aiohttp would retry a GET or PUT without an answer by itself.
            if self.connected:
                raise InDoubt(_name(error), rest=0) from None
            raise


def _judge(status: int, retry_after: str) -> None:
    if status in _SUCCESS:
        return
    cause = f"answered {status}"
    if status == _TOO_MANY or (status == _UNAVAILABLE and retry_after):
        after = int(retry_after) * SECOND if _SECONDS.fullmatch(retry_after) else 0
        raise DeliveryError(cause, retry=True, after=after, rest=after, cause=Cause.DEFERRED)
    if status in _SERVER_ERRORS:  # a proxy may have lost only the gateway's answer
        raise InDoubt(cause)
    raise DeliveryError(cause, retry=False, cause=Cause.REJECTED)


def _fill(template: str, values: Mapping[str, str], escape: Callable[[str], str]) -> str:
    """`template` with its placeholders replaced in one pass: placeholders in values are not replaced."""
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
    """The name of the error without its text, which repeats the URL; for a rejected certificate, also the reason."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        inner = error.certificate_error
        if isinstance(inner, ssl.SSLCertVerificationError):
            return f"{type(inner).__name__}: {inner.verify_message}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return type(error.os_error).__name__
    return type(error).__name__


def _cause(error: Exception) -> Cause:
    if isinstance(error, TimeoutError):
        return Cause.TIMEOUT
    return Cause.TLS if isinstance(error, aiohttp.ClientSSLError) else Cause.UNREACHABLE


def _gateway(via: SmsTransport) -> Gateway:
    if isinstance(via, ConsoleTransport):
        return Console()
    if isinstance(via, HttpTransport):
        return HttpGateway(via)
    raise TypeError(via)
