"""The processes of a server: a supervisor, its Granian workers, and the metrics listener."""

import asyncio
import gc
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes, SSLProtocols
from granian.http import HTTP1Settings

from threepid import config
from threepid.app import Server
from threepid.clock import Clock, Entropy
from threepid.config import Config
from threepid.output import secure_output
from threepid.process import sockets
from threepid.process.lifeline import Lifeline
from threepid.process.sockets import CannotServe, Granian, patiently
from threepid.startup import connect, load_secrets
from threepid.storage.engine.lock import InUse, only_server
from threepid.telemetry import configure_logging

__all__ = ["CannotServe", "alone", "serve"]

HEADER_MS: Final = 10_000
"""Time limit for the head of a request, counted from the end of the previous request, which also closes idle connections."""
HEADER_BYTES: Final = 32_768
"""Maximum size of a head that comes in parts; a head that comes at once may be twice as long."""
CONNECTIONS: Final = 4096
"""Maximum number of connections of a worker; more wait in the kernel's queue."""
SPARE_FILES: Final = 128
"""Number of files that a worker opens besides its connections."""
STOP_SECONDS: Final = 15
"""How long workers have to finish running requests."""


@contextmanager
def alone(settings: Config) -> Iterator[None]:
    """Ensure that no other server uses the SQLite database or listens at our address. Raises CannotServe or StorageError."""
    url = config.database_url(settings)

    def enter() -> ExitStack:
        with ExitStack() as stack:
            stack.enter_context(only_server(url))
            return stack.pop_all()

    try:
        held = patiently(enter, InUse)
    except InUse as error:
        raise CannotServe(str(error)) from None
    with held:
        listen = config.listen_address(settings)
        patiently(lambda: sockets.refuse_taken(listen), CannotServe)
        yield


def serve(settings: Config, config_file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT, inside `alone`. Raises CannotServe."""
    lifeline = Lifeline()
    with ExitStack() as stack:
        if settings.server.metrics_listen:
            directory = os.environ["PROMETHEUS_MULTIPROC_DIR"]
            stack.enter_context(_metrics(settings.server.metrics_listen, directory, lifeline))
        _granian(settings).serve(
            spawn_target=sockets.worker(config.listen_address(settings)),
            target_loader=_Application(config_file, lifeline),
            wrap_loader=False,
        )


class _Worker(Server):
    """A server that learns early that it must stop: Granian tells it only after the last answer, for which a client may wait."""

    async def start(self) -> None:
        """Start, and answer waiting clients as soon as the process receives SIGINT or SIGTERM."""
        await super().start()
        loop = asyncio.get_running_loop()
        # Granian's handlers are in the event loop, which gets signals by another way, so both handlers are called.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(self.end_waiting))


class _Application:
    """Makes the ASGI application inside a worker process."""

    def __init__(self, config_file: Path | None, lifeline: Lifeline) -> None:
        self._config_file = config_file
        self._lifeline = lifeline

    def __call__(self) -> Callable[..., Any]:
        self._lifeline.hold()
        secure_output()
        configure_logging()
        settings = config.load(self._config_file, os.environ)
        clock, entropy = Clock(), Entropy()
        server = _Worker(
            settings,
            clock=clock,
            entropy=entropy,
            database=connect(settings),
            secrets=load_secrets(settings, entropy),
        )
        # The objects that are loaded by now stay. Without the freeze, each full collection blocked the event loop for 50 ms.
        gc.collect()
        gc.freeze()
        return server.asgi


def _granian(settings: Config) -> Granian:
    tls = settings.server.tls
    return Granian(
        "threepid",
        **sockets.options(config.listen_address(settings), settings.server.listen_mode),
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        workers=settings.server.workers,
        runtime_mode=RuntimeModes.st,
        # Granian has no time limit for an HTTP/2 client, nor for a client that has not yet shown which HTTP version it uses.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_MS, max_buffer_size=HEADER_BYTES),
        backpressure=_room_for_connections(),
        websockets=False,
        log_enabled=False,
        log_access=False,
        ssl_cert=Path(tls.certificate_file) if tls else None,
        ssl_key=Path(tls.key_file) if tls else None,
        ssl_protocol_min=SSLProtocols.tls12,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
    )


def _room_for_connections() -> int:
    """Raise the limit of open files if necessary, and return the number of connections that it allows a worker."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY and allowed < CONNECTIONS + SPARE_FILES:
        wanted = CONNECTIONS + SPARE_FILES
        allowed = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    return CONNECTIONS if allowed == resource.RLIM_INFINITY else max(1, min(CONNECTIONS, allowed - SPARE_FILES))


@contextmanager
def _metrics(listen: str, directory: str, lifeline: Lifeline) -> Iterator[None]:
    """Serve the metrics that all workers write to `directory`, from a process of its own."""
    where = config.tcp_address(listen)
    # A forked process holds the lifeline at once; a new interpreter would have to import all modules first.
    linux = sys.platform == "linux"
    context = multiprocessing.get_context("fork") if linux else multiprocessing.get_context("spawn")
    process = context.Process(target=_serve_metrics, args=(where.host, where.port, directory, lifeline), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _serve_metrics(host: str, port: int, directory: str, lifeline: Lifeline) -> None:
    lifeline.hold()
    secure_output()
    from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415 - reads the environment at import
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415 - likewise

    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=directory)  # type: ignore[no-untyped-call]
    _, thread = start_http_server(port, host, registry)
    thread.join()
