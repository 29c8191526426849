"""The fingerprint of the server's secret. A database works only with the secret that made its hashes.

The database stores a keyed hash of the secret. All servers and commands that use both compare it first.
"""

from collections.abc import Callable
from pathlib import Path

from threepid.clock import Clock
from threepid.domain.secrets.files import KeyFileError
from threepid.domain.secrets.vault import Vault, same
from threepid.storage import fingerprints
from threepid.storage.engine.database import Database, Tx


async def recognise(database: Database, vault: Vault, clock: Clock, data_dir: str) -> None:
    """Record the secret's fingerprint in a database without one. Raises KeyFileError if the database has another one."""
    if await differs(database, vault, clock):
        raise KeyFileError(
            f"{Path(data_dir) / 'keys' / 'vault.secret'} is not the secret that this database was used with. "
            "Restore the folder `keys` from your backup, or correct `server.data_dir` or `database.url`. If the secret is "
            "lost, run `threepid keys accept-new-secret`: it says what is lost with it before it changes anything."
        )


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
