"""What runs in each worker process: the server as an ASGI application."""

import asyncio
import gc
import signal
from collections.abc import Callable
from typing import Any

from threepid import tracing
from threepid.app import Server
from threepid.clock import Clock, Entropy
from threepid.config import Config
from threepid.output import secure_output
from threepid.process.lifeline import Lifeline
from threepid.startup import connect, present_secrets, trace
from threepid.telemetry import configure_logging


class _Worker(Server):
    """A server that learns early that it must stop: Granian tells it only after the last answer, for which a client may wait."""

    async def stop(self) -> None:
        """Stop, and send the traces that are left."""
        await super().stop()
        tracing.use(None)

    async def start(self) -> None:
        """Start, and answer waiting clients as soon as the process receives SIGINT or SIGTERM."""
        await super().start()
        loop = asyncio.get_running_loop()
        # Granian's handlers are in the event loop, which gets signals by another way, so both handlers are called.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(self.end_waiting))


class Application:
    """Makes the ASGI application inside a worker process."""

    def __init__(self, settings: Config, lifeline: Lifeline) -> None:
        """Run with `settings`, as all workers do whenever they start; end with the supervisor that holds `lifeline`."""
        self._settings = settings
        self._lifeline = lifeline

    def __call__(self) -> Callable[..., Any]:
        """Load secrets, connect to the database, and return the application."""
        self._lifeline.hold()
        secure_output()
        settings = self._settings
        configure_logging(level=settings.telemetry.log_level)
        trace(settings)
        clock, entropy = Clock(), Entropy()
        server = _Worker(
            settings,
            clock=clock,
            entropy=entropy,
            database=connect(settings),
            secrets=present_secrets(settings),
        )
        # The objects that are loaded by now stay. Without the freeze, each full collection blocked the event loop for 50 ms.
        gc.collect()
        gc.freeze()
        return server.asgi
