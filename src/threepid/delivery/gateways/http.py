"""Gateways with an HTTP interface: a request written by the operator, and a condition on its answer."""

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

import aiohttp
import msgspec
import yarl

from threepid import __version__
from threepid.config import ConfigError, HttpTransport, Secret, read_secret
from threepid.config.sections.gateways import PLACEHOLDER, body_format, gateway_name
from threepid.delivery.errors import DeliveryError, reason
from threepid.delivery.gateways.gateway import InDoubt
from threepid.delivery.gateways.verdict import MOST_READ, judge_body, judge_status, reads_body
from threepid.delivery.outcome import Cause

_HEADER_VALUE: Final = re.compile(r"[ -~]*")
_CONTENT_TYPES: Final = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
_NOT_ENCODED: Final = frozenset({"", "identity"})


class HttpGateway:
    """One gateway with an HTTP interface."""

    def __init__(self, settings: HttpTransport) -> None:
        """Read the secret now, to find a missing file at the start. Raises ConfigError."""
        self.name = gateway_name(settings)
        self._settings = settings
        self._secret = read_secret(Path(settings.secret_file)) if settings.secret_file else Secret()
        self._kind = body_format(settings) if settings.body else None
        in_header = any("{secret}" in value for value in settings.headers.values())
        if in_header and not _HEADER_VALUE.fullmatch(self._secret.reveal()):
            raise ConfigError(f"{settings.secret_file}: is not one line of plain ASCII, and cannot stand in a header")

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made for the first SMS: to load the system's certificate authorities takes a tenth of a second."""
        return ssl.create_default_context()

    async def send(self, to: str, text: str) -> None:
        """Send over a new connection within `timeout` seconds; the answer is read as far as the settings judge it.

        An error before the connection is established means that nothing was sent. After that, only an answer is certain.
        """
        values = {"to": to, "digits": to.removeprefix("+"), "text": text, "secret": self._secret.reveal()}
        attempt = _Attempt()
        try:
            async with asyncio.timeout(self._settings.timeout):
                await self._ask(attempt, values)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            if attempt.connected:
                raise InDoubt(_name(error), rest=0) from None
            raise DeliveryError(_name(error), retry=True, rest=0, cause=_cause(error)) from None
        except asyncio.CancelledError:
            # The server stops, or the whole attempt took too long. The gateway may have got the request all the same.
            if attempt.connected:
                raise InDoubt("broken off") from None
            raise

    async def _ask(self, attempt: "_Attempt", values: Mapping[str, str]) -> None:
        settings = self._settings
        defaults = {"User-Agent": f"threepid/{__version__}", "Accept-Encoding": "identity"}
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
            try:
                judge_status(settings, response.status, response.headers.get("Retry-After", ""))
                if reads_body(settings):
                    judge_body(settings, response.status, await _body(response))
            finally:
                response.close()  # the rest of the body is ignored, however long it is


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
            auto_decompress=False,
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


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The body, cut after MOST_READ + 1 bytes."""
    if response.headers.get("Content-Encoding", "").strip().lower() not in _NOT_ENCODED:
        raise InDoubt(f"answered {response.status} in an encoding that was not asked for")
    found = bytearray()
    async for part in response.content.iter_any():
        found += part
        if len(found) > MOST_READ:
            break
    return bytes(found[: MOST_READ + 1])


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
    """The reason of the error without its text, which repeats the URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return reason(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return reason(error.os_error)
    return type(error).__name__


def _cause(error: Exception) -> Cause:
    if isinstance(error, TimeoutError):
        return Cause.TIMEOUT
    return Cause.TLS if isinstance(error, aiohttp.ClientSSLError) else Cause.UNREACHABLE
