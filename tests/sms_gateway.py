"""An SMS gateway on loopback that does what a test says, and a worker that gives it texts."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any, Final, Self

from msgspec import Struct

from mail_relay import PostOffice
from threepid.config import HttpTransport, Sms, SmsTransport
from threepid.delivery.jobs.messages import text_messages
from threepid.delivery.sms import SmsSender

HANG: Final = "hang"
"""Take the request and say nothing."""
CUT: Final = "cut"
"""Take the request and close the connection."""
DRIP: Final = "drip"
"""Take the request and begin an answer that never ends, one byte after the other."""
ENDLESS: Final = "endless"
"""Say yes, and never stop talking."""
HANG_UP: Final = "hang up"
"""Close the connection before anything was read."""


class Asked(Struct, frozen=True):
    """A request that a gateway got."""

    method: str
    target: str
    headers: dict[str, str]
    body: str


class Gateway:
    """Speaks HTTP; `answer` is a status line and further headers, or one of the faults above, and `body` follows it."""

    def __init__(self, answer: str = "200 OK", *, tls: ssl.SSLContext | None = None, body: str | bytes = b"") -> None:
        self.answer = answer
        self.body = body.encode() if isinstance(body, str) else body
        self.asked: list[Asked] = []
        self.connections = 0
        self.said = 0
        self._tls = tls
        self._talks: set[asyncio.Task[Any]] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.name = f"localhost:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, sock=self._listener, ssl=self._tls)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await self._server.wait_closed()

    def talks(self) -> int:
        """How many connections are open."""
        return len(self._talks)

    def transport(self, **changes: Any) -> HttpTransport:
        """What reaches this gateway."""
        scheme = "http" if self._tls is None else "https"
        settings: dict[str, Any] = {
            "url": f"{scheme}://{self.name}/send",
            "body": '{"to": "{to}", "text": "{text}"}',
            "timeout": 5.0,
        }
        return HttpTransport(**{**settings, **changes})

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        self.connections += 1
        try:
            if self.answer != HANG_UP:
                await self._serve(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            self._talks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.asked.append(Asked(method, target, headers, body.decode()))
        if self.answer == HANG:
            await asyncio.Event().wait()
        if self.answer == CUT:
            return
        if self.answer == DRIP:
            writer.write(b"HTTP/1.1 200 OK\r\nX: ")
            while True:
                await self._say(writer, b"x")
                await asyncio.sleep(0.02)
        if self.answer == ENDLESS:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
            while True:
                await self._say(writer, b"x" * 65_536)
        length = "" if "Content-Length" in self.answer else f"\r\nContent-Length: {len(self.body)}"
        await self._say(writer, f"HTTP/1.1 {self.answer}{length}\r\n\r\n".encode() + self.body)
        await reader.read()

    async def _say(self, writer: asyncio.StreamWriter, what: bytes) -> None:
        writer.write(what)
        await writer.drain()
        self.said += len(what)


def unreachable() -> HttpTransport:
    """A gateway that nobody listens for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return HttpTransport(url=f"http://localhost:{port}/send", body="to={to}&text={text}")


@contextlib.asynccontextmanager
async def texting(
    database_url: str, *via: SmsTransport, countries: tuple[str, ...] = ("DE", "FR", "US")
) -> AsyncIterator[PostOffice]:
    """A post office whose worker gives texts to `via`."""
    async with PostOffice(database_url) as office:
        office.deliver_by(text_messages(SmsSender(Sms(via=via, countries=countries)), office.renderer, office.clock))
        yield office
