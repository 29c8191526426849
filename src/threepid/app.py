"""The composition root: configuration -> clock, database, senders, services -> ASGI application and background work."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import structlog
from msgspec import Struct

from threepid import background, config, telemetry
from threepid.api import dispatch
from threepid.api.endpoints import served
from threepid.clock import MINUTE, Clock, Entropy
from threepid.config import Config
from threepid.delivery.jobs.callbacks import by_callback
from threepid.delivery.jobs.withdrawals import by_signed_request
from threepid.delivery.presence import Presence
from threepid.delivery.senders import senders
from threepid.delivery.worker import Worker
from threepid.domain.accounts.accounts import Accounts
from threepid.domain.accounts.devices import Devices
from threepid.domain.accounts.notices import Notices
from threepid.domain.accounts.profiles import Profiles
from threepid.domain.accounts.waiting import Waiting
from threepid.domain.authentication.registration_tokens import RegistrationTokens
from threepid.domain.authentication.stages import Stages
from threepid.domain.authentication.uia import Uia
from threepid.domain.contacts.bindings import CHANNEL, Bindings
from threepid.domain.contacts.threepids import Threepids
from threepid.domain.context import Context
from threepid.domain.health import Health
from threepid.domain.identity import invites
from threepid.domain.identity.associations import Associations
from threepid.domain.identity.invites import Invites
from threepid.domain.identity.lookup import Lookup
from threepid.domain.identity.terms import Terms
from threepid.domain.limits import closed_prefixes
from threepid.domain.secrets.fingerprint import recognise
from threepid.domain.secrets.keys import Keyring, ensure_keyring, ensure_secret
from threepid.domain.secrets.passwords import Passwords
from threepid.domain.secrets.vault import Vault
from threepid.domain.services import Services
from threepid.domain.validation.sessions import Validation
from threepid.http import asgi
from threepid.http.exchange import Answer, Fallbacks
from threepid.remote.captcha import Captcha
from threepid.remote.discovery import Discovery
from threepid.remote.federation import Federation
from threepid.remote.guard import Guard
from threepid.remote.identity import IdentityClient
from threepid.remote.names import Names
from threepid.storage import accounts, outbox
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Database, StorageError
from threepid.storage.engine.migrate import migrate
from threepid.web import site
from threepid.web.render import Pages

_log = structlog.get_logger()
HOUSEKEEPING_SECONDS = MINUTE / 1000
COUNTING_SECONDS = 1.0


class Secrets(Struct, frozen=True):
    """What is kept in files: the vault's secret and the signing keys."""

    vault: bytes
    keyring: Keyring


def load_secrets(settings: Config, entropy: Entropy) -> Secrets:
    """The server's secrets, made at the first start."""
    keys = Path(settings.server.data_dir) / "keys"
    return Secrets(ensure_secret(keys / "vault.secret", entropy), ensure_keyring(keys, entropy))


def connect(settings: Config) -> Database:
    """The database of the configuration."""
    return open_database(
        config.database_url(settings),
        pool_size=settings.database.pool_size,
        password=_database_password(settings),
    )


def _database_password(settings: Config) -> str | None:
    password_file = settings.database.password_file
    return config.read_secret(Path(password_file)).reveal() if password_file else None


def run_migrations(settings: Config) -> list[str]:
    """Bring the database to this version's schema; returns the names of what was applied."""
    return migrate(config.database_url(settings), password=_database_password(settings), clock=Clock())


def verify_secret(settings: Config, secrets: Secrets) -> None:
    """Raise KeyFileError if the database was used with another vault secret, and StorageError if it cannot be used."""
    clock = Clock()

    async def verify() -> None:
        database = connect(settings)
        try:
            await recognise(database, Vault(secrets.vault, Entropy()), clock, settings.server.data_dir)
        finally:
            await database.close()

    asyncio.run(verify())


async def account_of_another_name(settings: Config) -> str | None:
    """The user ID of an active account that is not one of `server.name`, if there is one in the database."""
    database = connect(settings)
    try:
        return await database.read_aside(lambda tx: accounts.of_another_name(tx, settings.server.name))
    finally:
        await database.close()


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
    ) -> None:
        """`background` runs the outbox and housekeeping; tests do that by hand. `strict` is for tests: see dispatch."""
        self.context = Context(settings, clock, entropy, database, Vault(secrets.vault, entropy))
        self._background = background
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._passwords = Passwords(clock, settings.policy)
        self._names = Names(settings.outbound.nameservers)
        self._guard = Guard(settings.outbound, self._names)
        self.worker = Worker(
            database,
            clock,
            senders(settings, database, clock),
            unseal=self.context.vault.unseal_job,
            presence=Presence(Path(settings.server.data_dir) / "workers", entropy),
        )
        self.services = self._services(secrets.keyring)
        self.worker.senders[CHANNEL] = by_signed_request(self.services.bindings)
        if self.services.invites is not None:
            self.worker.senders[invites.CHANNEL] = by_callback(self.services.invites, clock)
        self.asgi = self._asgi(strict=strict)

    async def recognise(self) -> None:
        """Raise KeyFileError if the database was used with another vault secret."""
        context = self.context
        await recognise(context.database, context.vault, context.clock, context.config.server.data_dir)

    async def start(self) -> None:
        """Make what a new database lacks, and begin the background work. Raises KeyFileError."""
        await self.recognise()
        if self.services.lookup is not None:
            await self.services.lookup.start()
        if self._background:
            self._tasks = [
                asyncio.create_task(self.worker.run(self._stop)),
                asyncio.create_task(self._keep_house()),
                asyncio.create_task(self._count()),
            ]
            if self.services.lookup is not None:
                self._tasks.append(asyncio.create_task(self.services.lookup.run(self._stop)))
        _log.info("started", server_name=self.context.server_name)

    def end_waiting(self) -> None:
        """Answer clients that wait for news, and be ready no more: the server is about to stop."""
        self.services.health.end()
        self.services.waiting.end()

    async def stop(self) -> None:
        """Finish what is under way and let go of everything."""
        self._stop.set()
        self.end_waiting()
        self.worker.wake()
        await asyncio.gather(*self._tasks)
        self._passwords.close()
        await self.context.database.close()
        _log.info("stopped", server_name=self.context.server_name)

    def _services(self, keyring: Keyring) -> Services:
        context = self.context
        validation = Validation(context, self.worker.wake)
        notices = Notices(context)
        devices = Devices(context)
        registration_tokens = RegistrationTokens(context)
        accounts = Accounts(context, self._passwords, devices, notices, registration_tokens)
        associations = pending = lookup = None
        if context.config.identity is not None:
            name = config.identity_name(context.config)
            discovery = Discovery(self._guard, self._names, context.clock, context.entropy)
            federation = Federation(self._guard, discovery)
            settings = context.config.identity
            lookup = Lookup(context, settings)
            pending = Invites(context, settings, name, keyring, lookup, federation, wake_delivery=self.worker.wake)
            associations = Associations(
                context,
                settings,
                name,
                keyring,
                validation,
                devices if context.config.accounts is not None else None,
                federation,
                pending,
            )
        identity = IdentityClient(self._guard)
        bindings = Bindings(context, keyring.signer(context.server_name), associations, identity)
        return Services(
            context=context,
            validation=validation,
            accounts=accounts,
            devices=devices,
            threepids=Threepids(context, validation, notices, bindings, identity),
            bindings=bindings,
            keyring=keyring,
            uia=Uia(
                context,
                Stages(context, validation, accounts.check_password_stage, registration_tokens, self._captcha()),
            ),
            registration_tokens=registration_tokens,
            terms=Terms(context),
            profiles=Profiles(context),
            waiting=Waiting(context, devices),
            health=Health(context),
            associations=associations,
            lookup=lookup,
            invites=pending,
        )

    def _captcha(self) -> Captcha | None:
        settings = self.context.config.accounts.captcha if self.context.config.accounts else None
        if settings is None:
            return None
        return Captcha(self._guard, settings, config.read_secret(Path(settings.secret_file)))

    def _asgi(self, *, strict: bool) -> asgi.Asgi:
        self._dispatcher = dispatch.Dispatcher(self.services, served(self.context.config), strict=strict)
        pages = Pages(self.context.brand)
        routes = [
            *self._dispatcher.routes(),
            *site.routes(self.services, pages),
        ]
        return asgi.build(
            routes,
            _by_path(dispatch.FALLBACKS, site.fallbacks(pages)),
            trusted_proxies=config.trusted_proxies(self.context.config),
            startup=self.start,
            shutdown=self.stop,
        )

    async def _keep_house(self) -> None:
        while not self._stop.is_set():
            try:
                await background.run_once(self.context)
                telemetry.sms_prefixes_closed.set(await closed_prefixes(self.context))
            except Exception:  # noqa: BLE001 - a failed round is repeated by the next one; the server goes on
                _log.exception("housekeeping_failed")
            await self._pause(HOUSEKEEPING_SECONDS)

    async def _count(self) -> None:
        """Carry plain counters over into the metrics, so that storage and delivery need not know these."""
        database = self.context.database
        counts = telemetry.Counts()
        while not self._stop.is_set():
            counts.carry(telemetry.database_writes, database.writes)
            counts.carry(telemetry.database_commits, database.commits)
            counts.carry(telemetry.messages_sent, self.worker.sent)
            counts.carry(telemetry.messages_failed, self.worker.failed)
            for operation, (requests, failures) in self._dispatcher.counts().items():
                counts.carry(telemetry.requests, requests, operation)
                counts.carry(telemetry.failed_requests, failures, operation)
            try:
                telemetry.messages_waiting.set(await database.read(outbox.depth))
                await self.services.devices.note_seen()
                await self.services.devices.forget_sealed_pairs()
            except StorageError as error:
                _log.warning("not_counted", cause=type(error).__name__)
            await self._pause(COUNTING_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


def _by_path(of_api: Fallbacks, of_site: Fallbacks) -> Fallbacks:
    """Programs get JSON and people get pages."""

    def choose(path: str) -> Fallbacks:
        return of_api if path.startswith(("/_", "/.well-known/")) else of_site

    def wrap(pick: Callable[[Fallbacks], Callable[[str], Answer]]) -> Callable[[str], Answer]:
        return lambda path: pick(choose(path))(path)

    return Fallbacks(
        not_found=wrap(lambda of: of.not_found),
        preflight=wrap(lambda of: of.preflight),
        wrong_method=wrap(lambda of: of.wrong_method),
        failure=wrap(lambda of: of.failure),
    )
