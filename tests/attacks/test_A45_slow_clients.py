"""A45: connections that are slow on purpose end by themselves, are bounded in number, and nobody else notices."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

from rig import ServerProcess, register, wait_for

pytestmark = pytest.mark.alone

EACH = 120
"""Slow connections of each of the three kinds."""
GONE_AFTER = 30.0


@contextlib.contextmanager
def running(directory: Path, *prefix: str, **more: Any) -> Iterator[ServerProcess]:
    server = ServerProcess(directory, **more).start(*prefix)
    try:
        yield server
    finally:
        assert server.stop() == 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with running(tmp_path / "server") as made:
        yield made


def connect(server: ServerProcess, *, buffer: int | None = None) -> socket.socket:
    connection = socket.socket()
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", server.port))
    return connection


class SlowClients:
    """Heads and bodies that come a byte at a time, and answers that nobody takes."""

    def __init__(self, server: ServerProcess) -> None:
        self.heads = [connect(server) for _ in range(EACH)]
        self.bodies = [connect(server) for _ in range(EACH)]
        self.readers = [connect(server, buffer=4096) for _ in range(EACH)]
        self._end = threading.Event()
        self._drip = threading.Thread(target=self._drip_on)

    def __enter__(self) -> None:
        for head in self.heads:
            head.sendall(b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nX: ")
        for body in self.bodies:
            body.sendall(b"POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n")
        for reader in self.readers:
            reader.sendall(b"GET /static/threepid.css HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        self._drip.start()

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._drip.join()
        for connection in (*self.heads, *self.bodies, *self.readers):
            connection.close()

    def _drip_on(self) -> None:
        while not self._end.wait(0.5):
            for connection in (*self.heads, *self.bodies):
                with contextlib.suppress(OSError):
                    connection.send(b" ")


def ask(server: ServerProcess, token: str, enough: threading.Event) -> int:
    """Make usual requests, each on a connection of its own, until it is `enough`; returns how many were answered."""
    answered = 0
    while not enough.wait(0.01):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", "/_matrix/client/v3/account/whoami", headers={"Authorization": f"Bearer {token}"})
        assert connection.getresponse().status == 200
        connection.close()
        answered += 1
    return answered


def test_slow_clients_are_cut_off_and_nobody_else_notices(server: ServerProcess) -> None:
    with server.client() as client:
        token = register(client, "alice")
    before = server.sockets()
    enough = threading.Event()
    with ThreadPoolExecutor(1) as others, SlowClients(server):
        answered = others.submit(ask, server, token, enough)
        try:
            wait_for(lambda: server.sockets() >= before + 3 * EACH, what="the attack")
            wait_for(lambda: server.sockets() <= before + 1, GONE_AFTER, what="the end of every slow connection")
        finally:
            enough.set()
        # For the seconds that the attack lasted. Whoever had to wait for its end would have got a few answers.
        assert answered.result() > 30


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[ServerProcess, ssl.SSLContext]]:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    (tmp_path / "key.pem").chmod(0o600)
    files = f'certificate_file = "{tmp_path / "cert.pem"}", key_file = "{tmp_path / "key.pem"}"'
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with running(tmp_path / "server", scheme="https", server=f"tls = {{ {files} }}") as server:
        yield server, context


def test_connections_with_tls_end_as_soon(tls_server: tuple[ServerProcess, ssl.SSLContext]) -> None:
    server, context = tls_server
    no_hello = connect(server)
    half_a_hello = connect(server)
    half_a_hello.sendall(b"\x16\x03\x01\x02\x00")
    silent = context.wrap_socket(connect(server), server_hostname="localhost")
    # Neither of the limits above holds for HTTP/2 in the server beneath us, so it is not spoken.
    assert silent.selected_alpn_protocol() == "http/1.1"
    idle = context.wrap_socket(connect(server), server_hostname="localhost")
    idle.sendall(b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\n\r\n")
    assert idle.recv(1000).startswith(b"HTTP/1.1 200 ")
    for connection in (no_hello, half_a_hello, silent, idle):
        connection.settimeout(GONE_AFTER)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(1000):
                pass
        connection.close()


def test_connections_leave_files_for_everything_else(tmp_path: Path) -> None:
    with running(tmp_path / "server", "prlimit", "--nofile=256:256") as server:
        before = server.sockets()
        crowd = [connect(server) for _ in range(400)]
        wait_for(lambda: server.sockets() >= before + 100, what="the crowd")
        assert server.sockets() <= before + 128
        for process in server.workers():
            assert len(list(Path(f"/proc/{process}/fd").iterdir())) < 200
        for connection in crowd:
            connection.close()
        with server.client() as client:
            register(client, "alice")
