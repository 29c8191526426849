"""Asks whether a database can be used now, and what is in it, without changing it."""

from contextlib import closing
from pathlib import Path
from typing import Any, Final

import apsw

from threepid.storage.engine.connect import sqlite_path
from threepid.storage.engine.queries import Query

_MAGIC: Final = b"SQLite format 3\x00"
"""The first bytes of a database. https://www.sqlite.org/fileformat2.html#magic_header_string"""


def why_unusable(url: str, *, password: str | None, seconds: int) -> str | None:
    """Why the database of `url` cannot be used now; None if it can. PostgreSQL has `seconds` to answer.

    A SQLite file that does not exist is made at the first start. One that exists is not opened as a database: a command that root
    runs would leave files beside it that the server's user cannot write.
    """
    return _of_sqlite(sqlite_path(url)) if url.startswith("sqlite:") else _of_postgresql(url, password, seconds)


def value_without_opening(url: str, query: Query, *, password: str | None, seconds: int) -> Any:
    """The value that a query without parameters finds. None if there is none, no such table, or the database cannot be read.

    Leaves no file beside one of SQLite: see `why_unusable`.
    """
    return (
        _in_sqlite(sqlite_path(url), query)
        if url.startswith("sqlite:")
        else _in_postgresql(url, query, password, seconds)
    )


def _in_sqlite(path: Path, query: Query) -> Any:
    """The value in a SQLite file. None also after a crash that only a server repairs."""
    log, index = (path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm"))
    try:
        if not log.exists() or log.stat().st_size == 0:
            mode = "immutable=1"  # everything is in the file itself, and no lock is needed
        elif index.exists():
            mode = "mode=ro"  # uses both files of the server that is running, and makes none
        else:
            return None
        url = f"{path.absolute().as_uri()}?{mode}"
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        with closing(apsw.Connection(url, flags=flags)) as connection:
            return connection.execute(query.sqlite).get
    except (OSError, apsw.Error):
        return None


def _in_postgresql(url: str, query: Query, password: str | None, seconds: int) -> Any:
    import psycopg  # noqa: PLC0415 - its driver is 20 MB that SQLite does without

    try:
        with psycopg.connect(url, password=password, autocommit=True, connect_timeout=seconds) as connection:
            found = connection.execute(query.postgresql.encode()).fetchone()
    except psycopg.Error:
        return None
    return found and found[0]


def _of_sqlite(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return None if start in {b"", _MAGIC} else f"{path} is not a SQLite database"


def _of_postgresql(url: str, password: str | None, seconds: int) -> str | None:
    import psycopg  # noqa: PLC0415 - its driver is 20 MB that SQLite does without

    try:
        with psycopg.connect(url, password=password, autocommit=True, connect_timeout=seconds) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        return f"PostgreSQL cannot be used: {in_one_line(error)}"
    except psycopg.Error as error:
        return f"PostgreSQL cannot be used: {cause(error)}"
    return None


def cause(error: Any) -> str:
    """Why PostgreSQL or its driver rejects something (a psycopg.Error), without what may be secret.

    The driver quotes a URL that it cannot read, which may have a password, and PostgreSQL quotes values of rows. About names of
    tables and rights (https://www.postgresql.org/docs/current/errcodes-appendix.html, class 42) it quotes the names.
    """
    if error.sqlstate is None and type(error).__name__ == "ProgrammingError":
        return "libpq cannot read the URL: check its options and percent signs"
    if (error.sqlstate or "").startswith("42") and error.diag.message_primary:
        return str(error.diag.message_primary)
    return type(error).__name__


def in_one_line(error: Exception) -> str:
    """The message of the driver, which has its advice in lines of their own."""
    return ". ".join(line.strip() for line in str(error).splitlines() if line.strip())
