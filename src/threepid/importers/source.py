"""The database of another server, read on one consistent snapshot: a SQLite file or PostgreSQL. Nothing is ever written to it."""

import errno
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import apsw

from threepid.storage.engine.reach import cause

Row = tuple[Any, ...]
WAIT_MS: Final = 10_000
"""Maximum time in milliseconds to wait for a lock on a SQLite file."""
_FETCH: Final = 2_000
"""Number of rows that PostgreSQL sends at once."""
_HEADER_BYTES: Final = 20
_MAGIC: Final = b"SQLite format 3\0"
_WAL: Final = b"\x02\x02"
"""What stands at byte 18 of a SQLite file in WAL mode. https://www.sqlite.org/fileformat.html#the_database_header"""


_SPLIT: Final = re.compile(r"[a-z]+://[^/@:?]*:[^/@?]*[/@][^?]*@")
"""The beginning of a URL whose password has a sign that ends it: libpq takes the rest for the host, and quotes that in errors."""


class SourceError(Exception):
    """The other server's database or configuration cannot be used; the message says why, and what to do."""


class NoSuchSource(SourceError):
    """The operator named something that is no database which could be used: a wrong argument."""


class Source(ABC):
    """A read-only snapshot of a database."""

    engine: str
    undecodable: int = 0
    """Number of rows that were passed over because they hold text that is not UTF-8."""

    @abstractmethod
    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table; none if there is no such table."""

    @abstractmethod
    def rows(self, query: str) -> Iterator[Row]:
        """The rows of a query, as they are needed. Several queries may be read at the same time. Raises SourceError."""

    @abstractmethod
    def close(self) -> None:
        """End the snapshot. Raises SourceError if the database was changed under it."""

    def count(self, table: str) -> int:
        """Number of rows of a table."""
        (row,) = self.rows(f"SELECT COUNT(*) FROM {table}")  # noqa: S608 - the importers' own names
        return int(row[0])

    def __enter__(self) -> Self:
        """Use the snapshot in a `with` statement."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the snapshot, and report a change only if nothing else went wrong."""
        try:
            self.close()
        except SourceError:
            if kind is None:
                raise


class SqliteSource(Source):
    """A SQLite file."""

    engine = "sqlite"

    def __init__(self, path: Path, wait_ms: int = WAIT_MS) -> None:
        """Open `path`, and wait `wait_ms` for a lock. Raises SourceError."""
        self._path = path
        in_wal_mode = _check_header(path)
        # A connection to a file in WAL mode would leave two files beside it. Without a `-wal` file, nobody has it open.
        self._immutable = in_wal_mode and not path.with_name(f"{path.name}-wal").exists()
        self._stat = self._state()
        mode = "immutable=1" if self._immutable else "mode=ro"
        try:
            self._connection = apsw.Connection(
                f"file:{quote(str(path.absolute()))}?{mode}",
                flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
            )
            # A hostile schema must not run functions of its own. https://www.sqlite.org/security.html
            self._connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
            self._connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
            self._connection.set_busy_timeout(wait_ms)
            self._connection.execute("PRAGMA query_only = 1")
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchall()
        except apsw.Error as error:
            raise _of_sqlite(path, error) from error

    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table; none if there is no such table, or if that is a view or a virtual table."""
        # A view could be made to have rows without end, and so could a virtual table that reads a view.
        query = (
            "SELECT c.name FROM pragma_table_list t, pragma_table_info(t.name) c "  # noqa: S608 - the importers' own names
            f"WHERE t.schema = 'main' AND t.type = 'table' AND t.name = '{table}'"
        )
        return frozenset(str(row[0]) for row in self.rows(query))

    def rows(self, query: str) -> Iterator[Row]:
        """The rows of a query. Raises SourceError."""
        try:
            cursor = self._connection.execute(query)
            while True:
                try:
                    yield next(cursor)
                except UnicodeDecodeError:
                    self.undecodable += 1
                except StopIteration:
                    return
        except apsw.Error as error:
            raise _of_sqlite(self._path, error) from error

    def close(self) -> None:
        """End the snapshot. Raises SourceError if another program has begun to use the file."""
        self._connection.close(force=True)
        if self._immutable and self._state() != self._stat:
            raise SourceError(
                f"{self._path} was changed during the import: the other server was started. Run the import again."
            )

    def _state(self) -> tuple[int, int, bool]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, self._path.with_name(f"{self._path.name}-wal").exists()


class PostgresqlSource(Source):
    """A database of a PostgreSQL server."""

    engine = "postgresql"

    def __init__(self, url: str, **arguments: str) -> None:
        """Connect to `url`, or with libpq's `arguments`. Raises SourceError."""
        if _SPLIT.match(url):
            raise SourceError(
                "In a URL of PostgreSQL, `@` and `/` of a password must be percent-encoded: `%40` and `%2F`."
            )
        import psycopg  # noqa: PLC0415 - its driver is 20 MB that SQLite does without

        self._psycopg = psycopg
        self._numbers = iter(range(1_000_000_000))
        try:
            self._connection = psycopg.connect(url, **arguments)  # type: ignore[arg-type] # libpq's own arguments
            self._connection.execute("SET default_transaction_read_only = on")
            self._connection.execute("SET statement_timeout = 0")
            self._connection.commit()
            self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            self._connection.read_only = True
            self._connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            # Of several lines, the first says what is wrong. A password is in none of them, but a URL that cannot be parsed is.
            raise SourceError(f"The source's PostgreSQL cannot be reached: {_first_line(error)}") from None
        except psycopg.Error as error:
            raise SourceError(f"The source's PostgreSQL cannot be used: {cause(error)}.") from None

    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table on the search path; none if there is no such table, or if that is a view."""
        query = (
            "SELECT attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "  # noqa: S608 - as above
            f"WHERE attrelid = to_regclass('{table}') AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped"
        )
        return frozenset(str(row[0]) for row in self.rows(query))

    def rows(self, query: str) -> Iterator[Row]:
        """The rows of a query. Raises SourceError."""
        try:
            with self._connection.cursor(name=f"import_{next(self._numbers)}") as cursor:
                cursor.itersize = _FETCH
                yield from cursor.execute(query.encode())
        except self._psycopg.Error as error:
            raise SourceError(f"The source's PostgreSQL failed: {cause(error)}.") from error

    def close(self) -> None:
        """End the snapshot."""
        self._connection.close()


def open_source(url: str, arguments: Mapping[str, str] | None = None, *, wait_ms: int = WAIT_MS) -> Source:
    """Open the database of `sqlite:path` or `postgresql://user@host/name`. Raises SourceError.

    `arguments` are libpq's; `wait_ms` is for a lock on a SQLite file.
    """
    if url.startswith("sqlite:"):
        path = url.removeprefix("sqlite:")
        if not path:
            raise NoSuchSource("The URL of the database has no file name after `sqlite:`.")
        return SqliteSource(Path(path), wait_ms)
    if url.startswith(("postgresql:", "postgres:")):
        return PostgresqlSource(url, **(arguments or {}))
    raise NoSuchSource("The URL of a database begins with `sqlite:` or `postgresql://`.")


def _check_header(path: Path) -> bool:
    """Is the SQLite file in WAL mode? Raises SourceError if it is no SQLite file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise NoSuchSource(f"{path} is not a file.")  # a pipe would let the import wait for ever
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as error:
        hint = " Name it with `--database`." if error.errno == errno.ENOENT else ""
        raise NoSuchSource(f"{path} cannot be read: {error.strerror}.{hint}") from None
    if not header.startswith(_MAGIC):
        raise SourceError(f"{path} is not a SQLite database.")
    return header[18:20] == _WAL


def _of_sqlite(path: Path, error: apsw.Error) -> SourceError:
    if isinstance(error, apsw.BusyError):
        return SourceError(f"{path} is locked by another program. Stop the other server, or try again.")
    if isinstance(error, apsw.ReadOnlyError):
        return SourceError(
            f"{path} was not closed properly: the other server was killed while it wrote. Start it once, and stop it again."
        )
    if isinstance(error, apsw.CorruptError | apsw.NotADBError | apsw.IOError):
        return SourceError(f"{path} is damaged: {error}. Restore it from a backup, or repair it first.")
    return SourceError(f"{path} cannot be read: {error}.")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
