"""The database that gets a copy: everything is written in one transaction, so a copy that is broken off leaves it empty."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Final, Self

import apsw

from threepid.importers.copying.tables import Table
from threepid.importers.source import Row
from threepid.storage.engine.connect import sqlite_path
from threepid.storage.engine.database import StorageError
from threepid.storage.engine.sqlite import connect

_WAIT_MS: Final = 10_000
_FETCH: Final = 2_000
"""Number of rows that PostgreSQL sends at once."""
_PG_TYPES: Final = {"TEXT": "text", "BIGINT": "int8", "BYTES": "bytea"}


class Target(ABC):
    """A migrated database with an open transaction. Leaving the `with` statement without `commit` undoes everything."""

    @abstractmethod
    def rows(self, query: str) -> Iterator[Row]:
        """The rows of a query, as they are needed. Raises StorageError."""

    @abstractmethod
    def insert(self, table: Table, rows: Iterable[Row]) -> None:
        """Insert rows. Raises StorageError; errors of the iterable go through."""

    @abstractmethod
    def commit(self) -> None:
        """Keep everything. Raises StorageError."""

    @abstractmethod
    def close(self) -> None:
        """Close the database."""

    def __enter__(self) -> Self:
        """Use the database in a `with` statement."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the database."""
        self.close()


class SqliteTarget(Target):
    """A SQLite file."""

    def __init__(self, url: str) -> None:
        """Open the file of `sqlite:path`. Raises StorageError."""
        self._path = sqlite_path(url)
        self._connection = connect(self._path, wait_ms=_WAIT_MS)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            raise self._failed(error) from error

    def rows(self, query: str) -> Iterator[Row]:
        """The rows of a query. Raises StorageError."""
        try:
            yield from self._connection.execute(query)
        except apsw.Error as error:
            raise self._failed(error) from error

    def insert(self, table: Table, rows: Iterable[Row]) -> None:
        """Insert rows. Raises StorageError."""
        places = ", ".join("?" * len(table.columns))
        statement = f"INSERT INTO {table.name} ({table.names}) VALUES ({places})"  # noqa: S608 - names of our own migrations
        try:
            self._connection.executemany(statement, rows)
        except apsw.Error as error:
            raise self._failed(error) from error

    def commit(self) -> None:
        """Keep everything. Raises StorageError."""
        try:
            self._connection.execute("COMMIT")
        except apsw.Error as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _failed(self, error: apsw.Error) -> StorageError:
        return StorageError(f"{self._path} cannot be written: {error}.")


class PostgresqlTarget(Target):
    """A database of a PostgreSQL server."""

    def __init__(self, url: str, password: str | None) -> None:
        """Connect. Raises StorageError."""
        import psycopg  # noqa: PLC0415 - its driver is 20 MB that SQLite does without

        self._psycopg = psycopg
        try:
            self._connection = psycopg.connect(url, password=password)
            self._connection.execute("SET LOCAL statement_timeout = 0")
        except psycopg.Error as error:
            raise self._failed(error) from error

    def rows(self, query: str) -> Iterator[Row]:
        """The rows of a query. Raises StorageError."""
        try:
            with self._connection.cursor(name="copy") as cursor:
                cursor.itersize = _FETCH
                yield from cursor.execute(query.encode())
        except self._psycopg.Error as error:
            raise self._failed(error) from error

    def insert(self, table: Table, rows: Iterable[Row]) -> None:
        """Insert rows. Raises StorageError."""
        statement = f"COPY {table.name} ({table.names}) FROM STDIN (FORMAT BINARY)"
        try:
            with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
                copy.set_types([_PG_TYPES[kind] for kind in table.types])
                for row in rows:
                    copy.write_row(row)
        except self._psycopg.DataError as error:
            raise StorageError(
                f"A text in the table {table.name} has a character that PostgreSQL cannot keep (NUL). Nothing was copied."
            ) from error
        except self._psycopg.Error as error:
            raise self._failed(error) from error

    def commit(self) -> None:
        """Keep everything. Raises StorageError."""
        try:
            self._connection.commit()
        except self._psycopg.Error as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _failed(self, error: Any) -> StorageError:
        # Of several lines, the first says what is wrong; the others may quote a row.
        said = error.diag.message_primary or (str(error).splitlines() or [""])[0] or type(error).__name__
        return StorageError(f"PostgreSQL cannot be written: {said}.")


def open_target(url: str, password: str | None) -> Target:
    """Open the migrated database of `sqlite:path` or `postgresql://user@host/name`. Raises StorageError."""
    return SqliteTarget(url) if url.startswith("sqlite:") else PostgresqlTarget(url, password)
