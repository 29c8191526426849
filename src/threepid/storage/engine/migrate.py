"""Brings the schema up to date: applies `migrations/NNNN_name.sql` in order, each in one transaction with its version."""

import os
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import apsw
from msgspec import Struct

from threepid.clock import Clock
from threepid.storage.engine.connect import sqlite_path
from threepid.storage.engine.database import Busy, SchemaError, StorageError
from threepid.storage.engine.reach import cause, in_one_line
from threepid.storage.engine.sqlite import connect

_WAIT_MS: Final = 60_000
_ADVISORY_LOCK: Final = 0x3F1D
_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_WORDS: Final = {
    "sqlite": {
        "BYTES": "BLOB",
        "CLUSTERED": "WITHOUT ROWID",
        "BIGKEY": "INTEGER NOT NULL PRIMARY KEY",
        "ON_POSTGRESQL": "--",
    },
    "postgresql": {
        "BYTES": "BYTEA",
        "CLUSTERED": "",
        "BIGKEY": "BIGINT NOT NULL PRIMARY KEY",
        "ON_POSTGRESQL": "",
    },
}
"""The words that differ between the engines: binary strings, tables in key order, 64-bit keys, lines for one engine alone."""
_WORD: Final = re.compile(rf"--[^\n]*|\b(?:{'|'.join(_WORDS['sqlite'])})\b")
"""One of these words, or a whole comment, in which the words stay as they are."""
_VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at BIGINT NOT NULL
)
"""
_RECORD: Final = "INSERT INTO schema_migrations (version, name, applied_at) VALUES (?, ?, ?)"


class Migration(Struct, frozen=True):
    """One migration of the schema."""

    version: int
    name: str
    text: str

    def script(self, engine: str) -> str:
        """The migration's SQL for `engine`. Both drivers run a whole script, so nothing splits it into statements."""
        words = _WORDS[engine]
        return _WORD.sub(lambda found: words.get(found[0], found[0]), self.text)


@cache
def known_migrations() -> tuple[Migration, ...]:
    """All migrations that this version knows, in order."""
    found = [
        Migration(int(match[1]), file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in resources.files("threepid.storage").joinpath("migrations").iterdir()
        if (match := _NAME.fullmatch(file.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.version))


def migrate(url: str, *, password: str | None, clock: Clock) -> list[str]:
    """Apply the missing migrations and return their names.

    Safe to kill at any point and to run twice at once: each migration and its version are one transaction, behind a lock.
    Raises SchemaError if the database is newer than this version, Busy or StorageError if it cannot be used.
    """
    if url.startswith("sqlite:"):
        return _migrate_sqlite(sqlite_path(url), clock)
    return _migrate_postgresql(url, password, clock)


def _missing(versions: set[int]) -> list[Migration]:
    known = known_migrations()
    newest = max((migration.version for migration in known), default=0)
    if versions and max(versions) > newest:
        raise SchemaError(
            f"The database has schema {max(versions)}, but this version of threepid knows {newest} at most: "
            "a newer version used it. Run that version."
        )
    return [migration for migration in known if migration.version not in versions]


def _migrate_sqlite(path: Path, clock: Clock) -> list[str]:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    except OSError as error:
        raise StorageError(f"The database {path} cannot be created: {error.strerror}.") from error
    connection = connect(path, wait_ms=_WAIT_MS)
    applied = []
    try:
        while step := _next_sqlite_step(connection, clock):
            applied.append(step)
    except apsw.BusyError as error:
        raise Busy("Another process holds the database, so the schema could not be migrated.") from error
    except apsw.Error as error:
        raise StorageError(f"The schema could not be migrated: {error}") from error
    finally:
        connection.close()
    return applied


def _next_sqlite_step(connection: apsw.Connection, clock: Clock) -> str | None:
    """Apply the next missing migration, if any, and return its name. The applied versions are read behind the lock."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_VERSIONS)
        missing = _missing({int(row[0]) for row in connection.execute("SELECT version FROM schema_migrations")})
        if missing:
            connection.execute(missing[0].script("sqlite"))
            connection.execute(_RECORD, (missing[0].version, missing[0].name, clock.now()))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return missing[0].name if missing else None


def _migrate_postgresql(url: str, password: str | None, clock: Clock) -> list[str]:
    import psycopg  # noqa: PLC0415 - its driver is 20 MB that SQLite does without

    applied: list[str] = []
    try:
        with psycopg.connect(url, password=password, autocommit=True) as connection:
            while step := _next_postgresql_step(connection, clock):
                applied.append(step)
    except psycopg.OperationalError as error:
        raise Busy(f"PostgreSQL is unavailable: {in_one_line(error)}") from error
    except psycopg.Error as error:
        raise StorageError(f"The schema could not be migrated: {cause(error)}") from error
    return applied


def _next_postgresql_step(connection: Any, clock: Clock) -> str | None:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
        connection.execute(_VERSIONS)
        missing = _missing({int(row[0]) for row in connection.execute("SELECT version FROM schema_migrations")})
        if not missing:
            return None
        connection.execute(missing[0].script("postgresql"))
        connection.execute(_RECORD.replace("?", "%s"), (missing[0].version, missing[0].name, clock.now()))
        return missing[0].name
