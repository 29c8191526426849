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
from threepid.domain.secrets import fingerprint
from threepid.domain.secrets.files import KeyFileError
from threepid.domain.secrets.keys import Keyring, ensure_keyring, ensure_secret, load_keyring, load_secret, secret_file
from threepid.domain.secrets.vault import Vault
from threepid.storage import accounts, fingerprints
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Database
from threepid.storage.engine.migrate import migrate
from threepid.storage.engine.reach import why_unusable


class Secrets(Struct, frozen=True):
    """The secrets that are kept in files: the vault's secret and the signing keys."""

    vault: bytes
    keyring: Keyring


def load_secrets(settings: Config, entropy: Entropy) -> Secrets:
    """Load the server's secrets, or make them. A database must know no secret yet, or this one: see `known_secrets`."""
    file = secret_file(settings.server.data_dir)
    return Secrets(ensure_secret(file, entropy), ensure_keyring(file.parent, entropy))


async def known_secrets(settings: Config, database: Database, entropy: Entropy) -> Secrets:
    """Load the server's secrets, or make them at the first start.

    Raises KeyFileError if the database was used before with a secret whose file is missing.
    """
    await fingerprint.require_file(database, settings.server.data_dir)
    return load_secrets(settings, entropy)


def present_secrets(settings: Config) -> Secrets:
    """Load the server's secrets, which a start has made. Raises KeyFileError."""
    file = secret_file(settings.server.data_dir)
    return Secrets(load_secret(file), load_keyring(file.parent))


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


def secret_trouble(settings: Config, seconds: int) -> list[str]:
    """Why the database does not work with the secret in `server.data_dir`; empty if it does, or knows no secret yet."""
    recorded = fingerprints.look_up(
        config.database_url(settings), password=database_password(settings), seconds=seconds
    )
    try:
        if recorded is not None:
            fingerprint.compare(recorded, settings.server.data_dir)
    except KeyFileError as error:
        return [str(error)]
    return []


def delivery_troubles(settings: Config, seconds: float) -> list[Problem]:
    """The relays and gateways that cannot be reached within `seconds`."""
    return asyncio.run(trial.unreachable(settings, seconds))


def run_migrations(settings: Config) -> list[str]:
    """Bring the database to this version's schema; returns the names of the applied migrations."""
    return migrate(config.database_url(settings), password=database_password(settings), clock=Clock())


def verify_secret(settings: Config) -> None:
    """Make the secrets at the first start.

    Raises KeyFileError if the database was used with another vault secret or with a missing one, and StorageError if it cannot
    be used.
    """
    clock, entropy = Clock(), Entropy()

    async def verify() -> None:
        database = connect(settings)
        try:
            secrets = await known_secrets(settings, database, entropy)
            await fingerprint.recognise(database, Vault(secrets.vault, entropy), clock, settings.server.data_dir)
        finally:
            await database.close()

    asyncio.run(verify())


async def in_context(settings: Config, entropy: Entropy, work: Callable[[Context], Awaitable[None]]) -> None:
    """Run `work` on the database without services, and so without a signing key. Raises KeyFileError and StorageError."""
    database, data_dir = connect(settings), settings.server.data_dir
    try:
        await fingerprint.require_file(database, data_dir)
        vault = Vault(ensure_secret(secret_file(data_dir), entropy), entropy)
        context = Context(settings, Clock(), entropy, database, vault)
        await fingerprint.recognise(database, vault, context.clock, data_dir)
        await work(context)
    finally:
        await database.close()


async def has_lost_secret(settings: Config) -> bool:
    """Was the database used with a vault secret, of which there is no file now?"""
    database = connect(settings)
    try:
        return await fingerprint.is_lost(database, settings.server.data_dir)
    finally:
        await database.close()


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
