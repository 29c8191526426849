"""The fingerprint of the server's secret. A database works only with the secret that made its hashes.

The database stores a keyed hash of the secret. All servers and commands that use both compare it first.
"""

from collections.abc import Callable
from typing import Final

from threepid.clock import Clock, Entropy
from threepid.domain.secrets.files import KeyFileError
from threepid.domain.secrets.keys import load_secret, secret_file
from threepid.domain.secrets.vault import Vault, same
from threepid.storage import fingerprints
from threepid.storage.engine.database import Database, Tx

_IF_LOST: Final = (
    "If the secret is lost, run `threepid keys accept-new-secret`: it says what is lost with it before it changes "
    "anything."
)


async def recognise(database: Database, vault: Vault, clock: Clock, data_dir: str) -> None:
    """Record the secret's fingerprint in a database without one. Raises KeyFileError if the database has another one."""
    if await differs(database, vault, clock):
        raise _another(data_dir)


async def is_lost(database: Database, data_dir: str) -> bool:
    """Was the database used with a secret, of which there is no file now?"""
    return not secret_file(data_dir).exists() and await database.read(fingerprints.recorded) is not None


async def require_file(database: Database, data_dir: str) -> None:
    """Raise KeyFileError if the database was used with a secret, and its file is missing: another one would be made instead."""
    if await is_lost(database, data_dir):
        raise _missing(data_dir)


def compare(recorded: bytes, data_dir: str) -> None:
    """Raise KeyFileError if the secret's file is missing, cannot be used, or is not the one with the `recorded` fingerprint."""
    if not secret_file(data_dir).exists():
        raise _missing(data_dir)
    if not same(recorded, Vault(load_secret(secret_file(data_dir)), Entropy()).fingerprint()):
        raise _another(data_dir)


async def differs(database: Database, vault: Vault, clock: Clock) -> bool:
    """Was the database used with another secret? Records the fingerprint in a database without one."""
    fingerprint = vault.fingerprint()
    found = await database.read(fingerprints.recorded)
    if found is None:
        now = clock.now()
        # If several servers start at the same time, the first write wins.
        found = await database.write(lambda tx: fingerprints.record(tx, fingerprint, now))
    return not same(found, fingerprint)


async def accept(database: Database, vault: Vault, clock: Clock, note: Callable[[Tx], None]) -> None:
    """Use the database with this secret from now on. `note` notes that another one was replaced, in the same transaction."""
    fingerprint, now = vault.fingerprint(), clock.now()

    def step(tx: Tx) -> None:
        found = fingerprints.record(tx, fingerprint, now)
        if found != fingerprint and fingerprints.replace(tx, old=found, new=fingerprint, now=now):
            note(tx)

    await database.write(step)


def _missing(data_dir: str) -> KeyFileError:
    file = secret_file(data_dir)
    return KeyFileError(
        f"The keys of this database are missing: there is no {file.name} in {file.parent}. Restore that folder together with "
        "the database, from one backup (docs/guides/backup-and-restore.md), or correct `server.data_dir` or `database.url`. "
        f"{_IF_LOST}"
    )


def _another(data_dir: str) -> KeyFileError:
    return KeyFileError(
        f"{secret_file(data_dir)} is not the secret that this database was used with. Restore the folder `keys` from your "
        f"backup, or correct `server.data_dir` or `database.url`. {_IF_LOST}"
    )
