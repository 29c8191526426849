"""Who connects where: listeners that nobody may reach, and a record of every connection that this process begins."""

import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import Any

_begun: list[tuple[str, int]] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _begun is not None and event == "socket.connect" and arguments[0].type == socket.SOCK_STREAM:
        address = arguments[1]
        if isinstance(address, tuple):
            _begun.append((str(address[0]), int(address[1])))


sys.addaudithook(_note)


@contextlib.contextmanager
def connections() -> Iterator[list[tuple[str, int]]]:
    """The addresses and ports to which TCP connections are begun meanwhile, whether there is an answer or not."""
    global _begun  # noqa: PLW0603 - a hook cannot be taken back
    _begun = []
    try:
        yield _begun
    finally:
        _begun = None


class Canaries:
    """Listeners on loopback, on the ports that are asked by default and on two others."""

    def __init__(self) -> None:
        self._listeners: list[socket.socket] = []
        self.port = self._listen("127.0.0.1", 0)
        for address in ("::1", "127.9.9.9"):
            self._try(address, self.port)
        for port in (443, 8448, 80, 1023):
            for address in ("127.0.0.1", "::1"):
                self._try(address, port)

    def hits(self) -> int:
        """How many connections there were."""
        found = 0
        for listener in self._listeners:
            listener.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    listener.accept()[0].close()
                    found += 1
        return found

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _listen(self, address: str, port: int) -> int:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(100)
        except OSError:
            listener.close()
            raise
        self._listeners.append(listener)
        return int(listener.getsockname()[1])

    def _try(self, address: str, port: int) -> None:
        with contextlib.suppress(OSError):  # taken, not permitted, or no IPv6 here: the record of connections is left
            self._listen(address, port)


@contextlib.contextmanager
def canaries() -> Iterator[Canaries]:
    made = Canaries()
    try:
        yield made
    finally:
        made.close()
