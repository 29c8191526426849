"""What happens before a server runs: secrets, migrations and the checks of the database."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct

from threepid import config, tracing
from threepid.clock import Clock, Entropy
from threepid.config import Config, ConfigError, Problem
from threepid.delivery import trial
from threepid.domain.context import Context
from threepid.domain.secrets.fingerprint import recognise
from threepid.domain.secrets.keys import Keyring, ensure_keyring, ensure_secret
from threepid.domain.secrets.vault import Vault
from threepid.storage import accounts
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Database
from threepid.storage.engine.migrate import migrate
from threepid.storage.engine.reach import why_unusable


class Secrets(Struct, frozen=True):
    """The secrets that are kept in files: the vault's secret and the signing keys."""

    vault: bytes
    keyring: Keyring


def load_secrets(settings: Config, entropy: Entropy) -> Secrets:
    """Load the server's secrets, or make them at the first start."""
    keys = Path(settings.server.data_dir) / "keys"
    return Secrets(ensure_secret(keys / "vault.secret", entropy), ensure_keyring(keys, entropy))


def connect(settings: Config) -> Database:
    """Open the database of the configuration."""
    return open_database(
        config.database_url(settings),
        pool_size=settings.database.pool_size,
        password=database_password(settings),
    )


def database_password(settings: Config) -> str | None:
    """The password of PostgreSQL from its file; None without a file."""
    password_file = settings.database.password_file
    return config.read_secret(Path(password_file)).reveal() if password_file else None


def database_trouble(settings: Config, seconds: int) -> Problem | None:
    """Why the database cannot be used now; None if it can. PostgreSQL has `seconds` to answer."""
    try:
        why = why_unusable(config.database_url(settings), password=database_password(settings), seconds=seconds)
    except ConfigError as error:
        return Problem("[database] password_file", str(error))
    return None if why is None else Problem("[database] url", why)


def delivery_troubles(settings: Config, seconds: float) -> list[Problem]:
    """The relays and gateways that cannot be reached within `seconds`."""
    return asyncio.run(trial.unreachable(settings, seconds))


def run_migrations(settings: Config) -> list[str]:
    """Bring the database to this version's schema; returns the names of the applied migrations."""
    return migrate(config.database_url(settings), password=database_password(settings), clock=Clock())


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


async def in_context(settings: Config, entropy: Entropy, work: Callable[[Context], Awaitable[None]]) -> None:
    """Run `work` on the database without services, and so without a signing key. Raises KeyFileError and StorageError."""
    secret = ensure_secret(Path(settings.server.data_dir) / "keys" / "vault.secret", entropy)
    context = Context(settings, Clock(), entropy, connect(settings), Vault(secret, entropy))
    try:
        await recognise(context.database, context.vault, context.clock, settings.server.data_dir)
        await work(context)
    finally:
        await context.database.close()


async def account_of_another_name(settings: Config) -> str | None:
    """The user ID of an active account that has another server name than `server.name`, or None."""
    database = connect(settings)
    try:
        return await database.read_aside(lambda tx: accounts.of_another_name(tx, settings.server.name))
    finally:
        await database.close()


def trace(settings: Config) -> None:
    """Send traces, if the settings say where to. Otherwise OpenTelemetry is not imported."""
    telemetry = settings.telemetry
    if telemetry.traces_url:
        from threepid.otlp import OtlpTracer  # noqa: PLC0415 - an optional dependency

        server = settings.server.name
        tracing.use(OtlpTracer(telemetry.traces_url, server_name=server, share=telemetry.traces_share))
