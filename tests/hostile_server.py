"""TLS servers on loopback addresses of their own that do to a connection what the test wants."""

import contextlib
import fcntl
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import trustme

Talk = Callable[[ssl.SSLSocket, "Head"], None]


class Head:
    """The head of a request."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        first, *lines = raw.decode("latin-1").split("\r\n")
        self.method, self.uri, _ = first.split(" ", 2)
        pairs = [line.partition(":") for line in lines if line]
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}

    @property
    def path(self) -> str:
        return self.uri.partition("?")[0]

    @property
    def host(self) -> str:
        return self.headers["host"]


class Authority:
    """Certificates that the server under test trusts."""

    def __init__(self, directory: Path) -> None:
        self.ca = trustme.CA()
        self.file = str(directory / "ca.pem")
        self.ca.cert_pem.write_to_path(self.file)

    def tls(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        return context


def _turn_for(address: str, port: int) -> IO[bytes]:
    """A lock that is held until it is closed: tests in several processes want the same port."""
    turn = (Path(tempfile.gettempdir()) / f"threepid-test-{address}-{port}.lock").open("wb")
    fcntl.flock(turn, fcntl.LOCK_EX)
    return turn


class HostileServer:
    """Serves each connection in a thread: TLS if there is a context for it, the head of the request, and then `talk`."""

    def __init__(self, address: str, port: int, tls: ssl.SSLContext | None, talk: Talk) -> None:
        self._tls = tls
        self._talk = talk
        self._turn = _turn_for(address, port) if port else None
        self._listener = socket.create_server((address, port))
        self.address = address
        self.port = int(self._listener.getsockname()[1])
        self.name = f"{address}:{self.port}"
        self.asked: list[Head] = []
        self.connections = 0
        self.over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._turn is not None:
            self._turn.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(plain.close)
            if self._tls is None:
                self._talk(plain, Head(b"- - -"))  # type: ignore[arg-type]
                return
            connection = stack.enter_context(self._tls.wrap_socket(plain, server_side=True))
            raw = b""
            while b"\r\n\r\n" not in raw:
                got = connection.recv(16_384)
                if not got:
                    return
                raw += got
            head = Head(raw)
            self.asked.append(head)
            self._talk(connection, head)


def response(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


@contextlib.contextmanager
def hostile_server(
    talk: Talk, tls: ssl.SSLContext | None, *, address: str = "127.0.0.66", port: int = 0
) -> Iterator[HostileServer]:
    made = HostileServer(address, port, tls, talk)
    try:
        yield made
    finally:
        made.stop()
