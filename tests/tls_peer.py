"""A TLS server on loopback with a scripted answer, for those who call it by themselves."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import trustme

from threepid.config import Outbound
from threepid.remote.guard import Guard
from threepid.remote.names import Names

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Told(Names):
    """Names that all stand for the same addresses."""

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__()
        self._addresses = list(addresses)

    async def addresses(self, host: str) -> list[str]:
        return self._addresses


class Peer:
    """A TLS server on loopback with a scripted answer."""

    def __init__(self, directory: Path) -> None:
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(directory / "ca.pem")
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert("localhost", "peer.example", "127.0.0.1").configure_cert(self.tls)
        self.ca_file = str(directory / "ca.pem")
        self.requests: list[bytes] = []
        self.connections = 0

    @contextlib.asynccontextmanager
    async def answering(self, talk: Talk | bytes) -> AsyncIterator[int]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                if isinstance(talk, bytes):
                    writer.write(talk)
                    await writer.drain()
                else:
                    await talk(reader, writer)
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=self.tls)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    def guard(self, *addresses: str, allow: tuple[str, ...] = ("127.0.0.0/8",), **more: float) -> Guard:
        """Every name stands for `addresses`."""
        return Guard(Outbound(allow=allow, ca_file=self.ca_file), Told(addresses or ("127.0.0.1",)), **more)


def json(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
