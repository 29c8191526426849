"""The HTTPS servers of SMS vendors under their real names, behind a proxy on loopback, with our certificate authority."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import pytest
import trustme
from msgspec import Struct

HANG: Final = "hang"
"""Take the request and say nothing."""


class Seen(Struct, frozen=True):
    """A request that a vendor got."""

    host: str
    method: str
    target: str
    body: str


class Vendors:
    """A proxy that is every host: it takes CONNECT, shows a certificate for that host, and answers as the test says."""

    def __init__(self, status: str = "200 OK", body: str = "{}", *, trusted: bool = True) -> None:
        self.status = status
        self.body = body.encode()
        self.seen: list[Seen] = []
        self.connects: list[str] = []
        self._trusted = trusted
        self._authority = trustme.CA()
        self._talks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await self._server.wait_closed()

    @contextlib.contextmanager
    def on_the_way(self, folder: Path) -> Iterator[None]:
        """The environment of a machine that reaches the world through this proxy."""
        file = folder / "vendors.pem"
        (self._authority if self._trusted else trustme.CA()).cert_pem.write_to_path(file)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("HTTPS_PROXY", "https_proxy"):
                patch.setenv(name, f"http://127.0.0.1:{self.port}")
            for name in ("NO_PROXY", "no_proxy", "CURL_CA_BUNDLE"):
                patch.delenv(name, raising=False)
            patch.setenv("REQUESTS_CA_BUNDLE", str(file))
            yield

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._talks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, host, _ = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[0].split(" ")
        assert verb == "CONNECT"
        host = host.removesuffix(":443")
        self.connects.append(host)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(host).configure_cert(context)
        await writer.start_tls(context)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.seen.append(Seen(host, method, target, body.decode()))
        if self.status == HANG:
            await asyncio.Event().wait()
        kind = "Content-Type: application/json\r\nConnection: close"
        writer.write(
            f"HTTP/1.1 {self.status}\r\n{kind}\r\nContent-Length: {len(self.body)}\r\n\r\n".encode() + self.body
        )
        await writer.drain()
