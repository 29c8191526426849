"""The composition root: builds the ASGI application and the background work from the configuration."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import structlog

from threepid import config
from threepid.api.dispatch import FALLBACKS, Dispatcher
from threepid.api.endpoints import documented, served
from threepid.background import Background
from threepid.clock import Clock, Entropy
from threepid.config import Config
from threepid.delivery import configured
from threepid.delivery.job import JobType
from threepid.delivery.presence import Presence
from threepid.delivery.worker import Worker
from threepid.domain.context import Context
from threepid.domain.secrets.fingerprint import recognise
from threepid.domain.secrets.passwords import Hasher
from threepid.domain.secrets.vault import Vault
from threepid.domain.services import build
from threepid.http import asgi
from threepid.http.exchange import Request, by_path
from threepid.http.watch import Watch
from threepid.remote.patience import PATIENCE, Patience
from threepid.spec.description import Described
from threepid.startup import Secrets
from threepid.storage.engine.database import Database
from threepid.web import site
from threepid.web.render import Templates

_log = structlog.get_logger()


class Server:
    """One server process: the application and its background work."""

    def __init__(
        self,
        settings: Config,
        *,
        clock: Clock,
        entropy: Entropy,
        database: Database,
        secrets: Secrets,
        background: bool = True,
        strict: bool = False,
        job_types: Iterable[JobType] = (),
        hasher: Hasher | None = None,
        introspection_secret: str = "",
        patience: Patience = PATIENCE,
    ) -> None:
        """Build the services and the application; `background` runs the outbox and housekeeping.

        Tests run these by hand. They pass `job_types` in place of configured ones, a `hasher` to watch, less `patience` with
        other servers, and `strict`, which dispatch describes. A homeserver that trusts our tokens proves itself by the
        `introspection_secret`.
        """
        self.context = Context(settings, clock, entropy, database, Vault(secrets.vault, entropy))
        woken = asyncio.Event()
        self.services = build(
            self.context,
            secrets.keyring,
            wake_delivery=woken.set,
            hasher=hasher,
            introspection_secret=introspection_secret,
            patience=patience,
        )
        self.worker = Worker(
            database,
            clock,
            [*configured.job_types(self.services), *job_types],
            unseal=self.context.vault.unseal_job,
            presence=Presence(Path(settings.server.data_dir) / "workers", entropy),
            woken=woken,
        )
        dispatcher = Dispatcher(self.services, served(settings), strict=strict)
        self.watch = Watch(entropy.label, logs=settings.telemetry.access_log)
        self._background = Background(self.services, self.worker, self.watch.meters) if background else None
        templates = Templates(settings, self.context.brand)
        self.asgi = asgi.build(
            [
                *dispatcher.routes(),
                *site.routes(self.services, templates, configured.previews_of(settings), self._described),
            ],
            by_path(FALLBACKS, site.fallbacks(templates)),
            trusted_proxies=config.trusted_proxies(settings),
            startup=self.start,
            shutdown=self.stop,
            watch=self.watch,
        )

    def _described(self, request: Request) -> tuple[Described, ...]:
        return documented(self.context.config, is_near=self.services.console.is_near(request.client))

    async def recognise(self) -> None:
        """Raise KeyFileError if the database was used with another vault secret."""
        context = self.context
        await recognise(context.database, context.vault, context.clock, context.config.server.data_dir)

    async def start(self) -> None:
        """Set up a new database and begin the background work. Raises KeyFileError."""
        await self.recognise()
        if self.services.identity is not None:
            await self.services.identity.lookup.start()
        if self._background is not None:
            self._background.start()
        _log.info("started", server_name=self.context.server_name)

    def end_waiting(self) -> None:
        """Answer waiting clients and report that the server is not ready, because it is about to stop."""
        self.services.health.end()
        if self.services.homeserver is not None:
            self.services.homeserver.waiting.end()

    async def stop(self) -> None:
        """Finish the running work and close the database."""
        self.end_waiting()
        if self._background is not None:
            await self._background.stop()
        if self.services.homeserver is not None:
            self.services.homeserver.passwords.close()
        await self.context.database.close()
        _log.info("stopped", server_name=self.context.server_name)
