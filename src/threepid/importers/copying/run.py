"""One copy: refuses what would lose something, copies table by table, and compares both sides before it commits."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Final

import msgspec
from msgspec import Struct

from threepid.clock import Clock
from threepid.importers.copying.tables import Table, all_tables, newest_version
from threepid.importers.copying.target import Target, open_target
from threepid.importers.source import NoSuchSource, PostgresqlSource, Row, Source, SourceError, open_source
from threepid.storage.audit import Entry
from threepid.storage.engine.connect import sqlite_path
from threepid.storage.engine.lock import only_server
from threepid.storage.engine.migrate import migrate

_OTHERS: Final = """
SELECT COUNT(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""

Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]
"""Makes a progress bar for a number of rows: a function that advances it."""


EntryOf = Callable[[int], Entry]
"""Makes the entry of the audit log about a copy of a number of rows."""


class Place(Struct, frozen=True):
    """A database, and the password for it."""

    url: str
    password: str | None = None


class Contents(Struct):
    """The number of rows of a table, and a checksum that does not depend on their order."""

    rows: int = 0
    checksum: int = 0
    """Sum of the SHA-256 of each row."""

    def count(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pass the rows on, and count them."""
        for row in rows:
            self.rows += 1
            self.checksum += int.from_bytes(hashlib.sha256(msgspec.msgpack.encode(row)).digest())
            yield row


def copy_database(source: Place, target: Place, clock: Clock, progress: Progress, entry_of: EntryOf) -> dict[str, int]:
    """Copy everything into an empty database, and return the number of rows of each table.

    The copy is one transaction of the target, with the entry of its audit log that `entry_of` makes. Raises SourceError or
    StorageError if a server uses one of the two, if the target has contents, or if both sides differ afterwards; the target has
    no rows then.
    """
    if _same(source.url, target.url):
        raise NoSuchSource("Both URLs are the same. Name the new database with `--to`.")
    if source.url.startswith("sqlite:") and not sqlite_path(source.url).exists():
        raise SourceError(f"{sqlite_path(source.url)} does not exist, so there is nothing to copy.")
    # A server makes the folder of its database; one that nobody made for a copy is mistyped.
    if target.url.startswith("sqlite:") and not (folder := sqlite_path(target.url).absolute().parent).is_dir():
        raise NoSuchSource(
            f"There is no folder {folder} for the database of `--to`. Correct the path, or create the folder."
        )
    arguments = {} if source.password is None else {"password": source.password}
    with only_server(source.url), open_source(source.url, arguments) as reader:
        _refuse_other_version(reader)
        _refuse_use(reader)
        with only_server(target.url):
            migrate(target.url, password=target.password, clock=clock)
            with open_target(target.url, target.password) as writer:
                tables = all_tables()
                _refuse_contents(writer, tables)
                with progress(sum(reader.count(table.name) for table in tables)) as advance:
                    copied = {table.name: _copy_table(table, reader, writer, advance) for table in tables}
                _note(writer, tables, entry_of(sum(copied.values())))
                writer.commit()
    return copied


def _same(one: str, other: str) -> bool:
    """Do both URLs name the same database? Different URLs of PostgreSQL may, too; there, the copy finds rows."""
    if one.startswith("sqlite:") and other.startswith("sqlite:"):
        return sqlite_path(one).resolve() == sqlite_path(other).resolve()
    return one == other


def _copy_table(table: Table, reader: Source, writer: Target, advance: Callable[[int], None]) -> int:
    sent, arrived = Contents(), Contents()
    writer.insert(table, _advancing(sent.count(reader.rows(table.select)), advance))
    if reader.undecodable:
        raise SourceError(f"A text in the table {table.name} is not UTF-8. Nothing was copied.")
    for _ in arrived.count(writer.rows(table.select)):
        pass
    if sent != arrived:
        raise SourceError(
            f"The table {table.name} is not the same on both sides ({sent.rows} and {arrived.rows} rows). Nothing was copied."
        )
    return sent.rows


def _note(writer: Target, tables: Iterable[Table], entry: Entry) -> None:
    """Append an entry, as `audit.append` does."""
    log = next(table for table in tables if table.name == "audit_log")
    known = {**msgspec.structs.asdict(entry), "number": 1 + _newest_number(writer)}
    writer.insert(log, [tuple(known[column] for column in log.columns)])


def _newest_number(writer: Target) -> int:
    ((newest,),) = writer.rows("SELECT MAX(number) FROM audit_log WHERE user_id = ''")
    return newest or 0


def _advancing(rows: Iterable[Row], advance: Callable[[int], None]) -> Iterator[Row]:
    for row in rows:
        advance(1)
        yield row


def _refuse_other_version(reader: Source) -> None:
    found = 0
    if reader.columns("schema_migrations"):
        ((newest,),) = reader.rows("SELECT MAX(version) FROM schema_migrations")
        found = newest or 0
    if found != newest_version():
        raise SourceError(
            f"The database has schema {found}, and this version of threepid has {newest_version()}. "
            "Run `threepid migrate` of the version that you use, and copy with the same version."
        )


def _refuse_use(reader: Source) -> None:
    """What a server writes while it is copied would be lost. A SQLite file is locked instead."""
    if isinstance(reader, PostgresqlSource):
        ((others,),) = reader.rows(_OTHERS)
        if others:
            raise SourceError(
                f"The database is in use: other connections of its role: {others}. Stop every server that uses it first."
            )


def _refuse_contents(writer: Target, tables: Iterable[Table]) -> None:
    for table in tables:
        for _ in writer.rows(f"SELECT 1 FROM {table.name} LIMIT 1"):  # noqa: S608 - names of our own migrations
            raise NoSuchSource(f"The database of `--to` is not empty: it has rows in {table.name}. Name an empty one.")
