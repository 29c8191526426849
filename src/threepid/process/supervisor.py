"""The supervisor: makes sure that it is alone, and keeps the workers and the metrics listener running."""

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes, SSLProtocols
from granian.http import HTTP1Settings

from threepid import config
from threepid.config import Config
from threepid.process import sockets
from threepid.process.lifeline import Lifeline
from threepid.process.metrics import listening
from threepid.process.sockets import CannotServe, Granian, patiently
from threepid.process.worker import Application
from threepid.storage.engine.lock import InUse, only_server

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
            stack.enter_context(listening(settings.server.metrics_listen, directory, lifeline))
        _granian(settings).serve(
            spawn_target=sockets.worker(config.listen_address(settings)),
            target_loader=Application(config_file, lifeline),
            wrap_loader=False,
        )


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
