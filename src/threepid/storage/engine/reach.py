"""Asks whether a database can be used now, without changing it."""

from pathlib import Path
from typing import Final

from threepid.storage.engine.connect import sqlite_path

_MAGIC: Final = b"SQLite format 3\x00"
"""The first bytes of a database. https://www.sqlite.org/fileformat2.html#magic_header_string"""


def why_unusable(url: str, *, password: str | None, seconds: int) -> str | None:
    """Why the database of `url` cannot be used now; None if it can. PostgreSQL has `seconds` to answer.

    A SQLite file that does not exist is made at the first start. One that exists is not opened as a database: a command that root
    runs would leave files beside it that the server's user cannot write.
    """
    return _of_sqlite(sqlite_path(url)) if url.startswith("sqlite:") else _of_postgresql(url, password, seconds)


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
        # The driver's message quotes a URL that it cannot parse, and the URL may contain a password.
        return f"PostgreSQL cannot be used: {type(error).__name__}"
    return None


def in_one_line(error: Exception) -> str:
    """The message of the driver, which has its advice in lines of their own."""
    return ". ".join(line.strip() for line in str(error).splitlines() if line.strip())
