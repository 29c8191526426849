"""The sockets that the server listens on.

No other program may listen there. A socket file that a killed server left is removed. Each worker opens its own TCP socket,
with limits for answers that its clients do not read, and passes it to Granian (decision 26).
"""

import fcntl
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from granian._granian import SocketHolder
from granian.server.mp import MPServer

from threepid.config import Listen, UnixListen

T = TypeVar("T")

PATIENCE_SECONDS: Final = 2.0
"""How long a start waits for the lock or the address that a killed server still holds."""
_PAUSE_SECONDS: Final = 0.1
_PROBE_SECONDS: Final = 1.0
_PATH_BYTES: Final = 107
"""Maximum length of a socket file's path. https://man7.org/linux/man-pages/man7/unix.7.html."""

UNREAD_MS: Final = 20_000
"""How long a client may leave answers in the kernel's buffers."""
UNREAD_BYTES: Final = 131_072
"""Size of the kernel's buffer for answers that a client has not read: it holds the largest answers, but not megabytes."""
_BACKLOG: Final = 1024
"""Maximum number of connections in the kernel's queue of a worker."""


class CannotServe(Exception):
    """The server cannot start: another one uses its database, or it cannot listen at its address. The message says which."""


def patiently(attempt: Callable[[], T], refusal: type[Exception]) -> T:
    """Return what `attempt` returns, and repeat it while it raises `refusal`, for at most PATIENCE_SECONDS."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_SECONDS / _PAUSE_SECONDS)):
        with suppress(refusal):
            return attempt()
        pause.wait(_PAUSE_SECONDS)
    return attempt()


def refuse_taken(listen: Listen | UnixListen) -> None:
    """Raise CannotServe if another program listens there: workers share their port, so the kernel would let it share, too."""
    if isinstance(listen, UnixListen):
        with _only_one_at(listen.path.resolve()):
            return
    try:
        family = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((listen.host, listen.port))
    except OSError as error:
        raise CannotServe(f"Cannot listen on {listen.host}:{listen.port}: {error.strerror}.") from None


class Granian(MPServer):
    """Granian with careful socket files, which it removes and makes under a lock of their directory, and with a say at SIGHUP."""

    _made: tuple[int, int] | None = None
    """The device and inode of the socket file that this server made."""
    may_replace_workers: Callable[[], bool] = staticmethod(lambda: True)
    """Decides at SIGHUP whether new workers take the place of the old ones."""

    def _reload(self, spawn_target: Any, target_loader: Any) -> None:
        """Replace the workers after SIGHUP, if they may be replaced."""
        if self.may_replace_workers():
            super()._reload(spawn_target, target_loader)  # type: ignore[no-untyped-call]
            return
        self.reload_signal = False
        self.main_loop_interrupt.clear()

    def _init_shared_socket(self) -> None:
        if self.bind_uds is None:
            super()._init_shared_socket()  # type: ignore[no-untyped-call]
            return
        with _only_one_at(self.bind_uds):
            # The umask makes the mode narrow from the beginning; Granian sets it only after it has made the file.
            mask = os.umask(0o177)
            try:
                super()._init_shared_socket()  # type: ignore[no-untyped-call]
            finally:
                os.umask(mask)
            # Listen at once: a second server takes a socket without a listener for one that a killed server left.
            if self._sso is not None:
                self._sso.listen(_BACKLOG)
            self._made = _identity(self.bind_uds)

    def _unlink_pidfile(self) -> None:
        """Remove the socket file, unless another server has made its own there meanwhile."""
        if self.bind_uds is None:
            super()._unlink_pidfile()  # type: ignore[no-untyped-call]
            return
        with suppress(OSError), _alone_in(self.bind_uds.parent):
            if self._made is not None and _identity(self.bind_uds) == self._made:
                self.bind_uds.unlink()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def _only_one_at(path: Path) -> Iterator[None]:
    """Make room for a socket file at `path`, and keep other servers from doing so meanwhile. Raises CannotServe."""
    if len(os.fsencode(path)) > _PATH_BYTES:
        raise CannotServe(
            f"Cannot listen on unix:{path}: the path has more than {_PATH_BYTES} bytes. Choose a shorter one."
        )
    try:
        with _alone_in(path.parent):
            _remove_stale(path)
            yield
    except OSError as error:
        raise CannotServe(f"Cannot listen on unix:{path}: {error.strerror or error}.") from None


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_stale(path: Path) -> None:
    """Remove the socket file that a killed server left. Raises CannotServe for anything else at `path`."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise CannotServe(f"Cannot listen on unix:{path}: a file that is not a socket is there. Move it away.")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:  # no listener: the server that made it has ended
            path.unlink()
            return
        except BlockingIOError:  # a server listens, and its queue is full
            pass
    raise CannotServe(f"Cannot listen on unix:{path}: another server listens there.")


def options(listen: Listen | UnixListen, mode: str) -> dict[str, Any]:
    """Granian's options for where to listen."""
    if isinstance(listen, Listen):
        return {"address": listen.host, "port": listen.port}
    return {"uds": listen.path, "uds_permissions": int(mode, 8)}


def worker(listen: Listen | UnixListen) -> Callable[..., None] | None:
    """The function that Granian runs in each worker process; None for Granian's own, which opens or shares a socket itself.

    Only Linux has the limits that our own sockets set, and shares a port among several sockets.
    """
    has_limits = hasattr(socket, "TCP_USER_TIMEOUT")
    return partial(_work, listen) if has_limits and isinstance(listen, Listen) else None


def _work(listen: Listen, number: int, name: str | None, loader: Callable[[], Any], _socket: Any, *rest: Any) -> None:
    """Run a Granian worker on a TCP socket of its own; the kernel spreads connections over the sockets of all workers."""
    hold: Callable[..., SocketHolder] = SocketHolder  # Granian's type stub leaves the constructor out
    holder = hold(_tcp_socket(listen).detach(), False, _BACKLOG)
    MPServer._spawn_asgi_lifespan_worker(number, name, loader, ((None, holder), None), *rest)  # noqa: SLF001


def _tcp_socket(listen: Listen) -> socket.socket:
    """A bound TCP socket; Granian listens on it as soon as the application is ready.

    The connections that it accepts inherit its limits. Neither Granian nor hyper limits how many answers a client
    leaves unread, or for how long.
    """
    made = socket.socket(socket.AF_INET6 if ":" in listen.host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
    made.bind((listen.host, listen.port))
    return made
