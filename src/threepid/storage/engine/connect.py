"""Opens the database that a URL names."""

from pathlib import Path
from urllib.parse import urlsplit

from threepid.config import sqlite_file
from threepid.storage.engine.database import Database, StorageError
from threepid.storage.engine.sqlite import Sqlite


def open_database(url: str, *, pool_size: int, password: str | None) -> Database:
    """Open the database of `sqlite:path` or `postgresql://user@host/name`. `migrate` must have made its schema."""
    if url.startswith("sqlite:"):
        return Sqlite(sqlite_path(url))
    if urlsplit(url).scheme in ("postgresql", "postgres"):
        from threepid.storage.engine.postgresql import Postgresql  # noqa: PLC0415 - its driver is 20 MB that SQLite does without

        return Postgresql(url, pool_size=pool_size, password=password)
    raise StorageError("A database URL begins with `sqlite:` or `postgresql://`.")


def sqlite_path(url: str) -> Path:
    """The file of `sqlite:path`. Raises StorageError if the URL names no file, which would keep nothing."""
    try:
        file = sqlite_file(url)
    except ValueError as error:
        raise StorageError(f"The database URL {error}.") from None
    if file is None or not file.name:
        raise StorageError("The database URL has no file name after `sqlite:`.")
    return file
