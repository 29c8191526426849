"""What the checks share: the configuration, the clock, and questions over HTTP that end in bounded time."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from msgspec import Struct
from yarl import URL

from threepid import __version__
from threepid.clock import Clock, Entropy
from threepid.config import Config
from threepid.http.exchange import ANSWERED_BY
from threepid.remote.tls import checked_tls
from threepid.spec.errors import MatrixError
from threepid.spec.strict_json import parse_object

_MAX_BODY: Final = 1_000_000


class NoAnswer(Exception):
    """There was no answer. The text is the end of the sentence `URL does not answer: …`."""


class Reply(Struct, frozen=True):
    """An answer to a question: status, headers (lower-case names) and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_ours(self) -> bool:
        """Did a threepid answer?"""
        return self.headers.get(ANSWERED_BY[0]) == ANSWERED_BY[1]

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object of the body, empty if there is none."""
        try:
            return parse_object(self.body)
        except MatrixError:
            return {}

    def text(self, name: str, *names: str) -> str:
        """A text in the JSON of the body, by its path; empty if there is none."""
        value: Any = self.json.get(name)
        for inner in names:
            value = value.get(inner) if isinstance(value, dict) else None
        return value if isinstance(value, str) else ""

    @property
    def errcode(self) -> str:
        """The errcode of an error."""
        return self.text("errcode")

    @property
    def date(self) -> int | None:
        """The sender's time in milliseconds since 1970. https://www.rfc-editor.org/rfc/rfc9110#field.date."""
        try:
            return int(parsedate_to_datetime(self.headers.get("date", "")).timestamp() * 1000)
        except (ValueError, TypeError, OverflowError):
            return None


class Scene:
    """What is examined."""

    def __init__(
        self,
        settings: Config,
        *,
        clock: Clock,
        entropy: Entropy,
        seconds: float,
        homeserver_settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Give each request `seconds`. `homeserver_settings` are those of the homeserver's own files."""
        self.settings = settings
        self.clock = clock
        self.entropy = entropy
        self.seconds = seconds
        self.homeserver_settings = homeserver_settings
        self._kept: dict[str, asyncio.Task[Reply]] = {}

    @property
    def base(self) -> str:
        """The public URL, without a final slash."""
        return self.settings.server.public_base_url.rstrip("/")

    @property
    def homeserver(self) -> str:
        """Where the homeserver beside this server is reached, without a final slash."""
        return "" if self.settings.homeserver is None else self.settings.homeserver.url.rstrip("/")

    async def get(self, url: str) -> Reply:
        """The answer to a GET without headers of its own, asked once for all checks. Raises NoAnswer."""
        if url not in self._kept:
            self._kept[url] = asyncio.ensure_future(self.ask("GET", url))
        return await asyncio.shield(self._kept[url])

    async def ask(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Reply:
        """The answer to one request; redirects are answers, too. Raises NoAnswer."""
        try:
            async with (
                asyncio.timeout(self.seconds),
                self._session() as session,
                session.request(
                    method,
                    URL(url, encoded=True),
                    headers=headers,
                    data=body or None,
                    allow_redirects=False,
                    ssl=self._tls(),
                ) as response,
            ):
                content = await response.content.read(_MAX_BODY)
                while len(content) < _MAX_BODY and (more := await response.content.read(_MAX_BODY - len(content))):
                    content += more
                fields = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, fields, content)
        except TimeoutError:
            raise NoAnswer(f"it takes more than {self.seconds:g} seconds") from None
        except aiohttp.ClientConnectorDNSError:
            raise NoAnswer("its name does not resolve") from None
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError, ssl.SSLError):
            raise NoAnswer("its certificate is not accepted here; outbound.ca_file names further authorities") from None
        except aiohttp.ClientConnectorError as error:
            raise NoAnswer(f"no connection ({error.os_error.strerror or type(error).__name__})") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoAnswer(f"the connection broke off ({type(error).__name__})") from None

    def _tls(self) -> ssl.SSLContext:
        try:
            return checked_tls(self.settings.outbound.ca_file)()
        except OSError:
            raise NoAnswer("outbound.ca_file cannot be read") from None

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """A session for one request: a kept connection could be one that the other side is just closing."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": f"threepid/{__version__} (doctor)"},
        ) as session:
            yield session


def quoted(text: str) -> str:
    """A text of another server for an operator to read: one line, short, without control characters."""
    return json.dumps(text[:200], ensure_ascii=True)
