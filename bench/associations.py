"""Databases of many associations, for lookups: written straight into SQLite, in large transactions."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import apsw
from rich.progress import Progress

from threepid.clock import DAY, Clock
from threepid.domain.secrets.vault import Vault
from threepid.spec.lookup_hash import lookup_hash
from threepid.storage import peppers
from threepid.storage.engine.migrate import migrate

PEPPER = "benchbenchbenchbenchbench"
USERS = 1_000
CHUNK = 1_000_000


def address(number: int) -> str:
    return f"person{number:08}@mail.example.com"


def mxid(number: int) -> str:
    return f"@person{number:08}:bench.example"


def token(number: int) -> str:
    """The identity token of a user who asks."""
    return "tpi_" + hashlib.sha256(f"bench {number}".encode()).hexdigest()


def asker(number: int) -> str:
    return f"@asker{number:04}:bench.example"


def bind_sid(number: int) -> str:
    return f"bind{number:06}"


def make(path: Path, vault: Vault, *, count: int, binds: int) -> None:
    """`count` bound addresses with their hashes, users who ask, and `binds` validated sessions that wait to be bound."""
    migrate(f"sqlite:{path}", password=None, clock=Clock())
    now = Clock().now()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = off; PRAGMA synchronous = off; PRAGMA cache_size = -2000000")
    with connection:
        connection.execute(
            "INSERT INTO peppers (number, pepper, created_at, hashed, current_at) VALUES (1, ?, ?, ?, ?)",
            (PEPPER, now, count, now),
        )
        connection.executemany(
            "INSERT INTO identity_tokens (token_hash, user_id, number, created_at, expires_at) VALUES (?, ?, 1, ?, NULL)",
            ((vault.hash_token(token(number)), asker(number), now) for number in range(USERS)),
        )
        secret = vault.hash_client_secret("bench")
        connection.executemany(
            """INSERT INTO validation_sessions (sid, purpose, owner, medium, canonical, address, secret_hash, send_attempt,
            wrong_attempts, created_at, expires_at, validated_at) VALUES (?, 'identity', ?, 'email', ?, ?, ?, 1, 0, ?, ?, ?)""",
            (
                (bind_sid(number), asker(number % USERS), new, new, secret, now, now + DAY, now)
                for number in range(binds)
                for new in [f"new{number:06}@mail.example.com"]
            ),
        )
    with Progress(transient=True) as progress:
        bar = progress.add_task(f"making {count:,} associations", total=2 * count)
        for first in range(0, count, CHUNK):
            numbers = range(first, min(first + CHUNK, count))
            with connection:
                for part in _parts(numbers):
                    connection.executemany(
                        "INSERT INTO associations VALUES ('email', ?, ?, ?, ?, ?)",
                        ((address(number), mxid(number), now, now, now + 365 * DAY) for number in part),
                    )
                    progress.advance(bar, len(part))
                hashes = [lookup_hash(address(number), "email", PEPPER) for number in numbers]
                connection.executemany(
                    "INSERT INTO association_hashes VALUES (?, 1, ?, ?, ?)",
                    (
                        (key, hash_, mxid(number), now + 365 * DAY)
                        for key, hash_, number in sorted(zip(peppers.keys(1, hashes), hashes, numbers, strict=True))
                    ),
                )
                progress.advance(bar, len(numbers))
    connection.close()
    path.chmod(0o600)


def _parts(numbers: range) -> Iterator[range]:
    for first in range(numbers.start, numbers.stop, 20_000):
        yield range(first, min(first + 20_000, numbers.stop))
