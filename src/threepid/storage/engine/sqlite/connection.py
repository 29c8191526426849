"""Opens a database file with the settings that the server relies on: WAL, fsync at every commit, foreign keys.

https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous
"""

from pathlib import Path
from typing import Final

import apsw

from threepid.storage.engine.database import Busy, StorageError

STATEMENTS: Final = 300
"""Number of prepared statements that a connection caches: more than there are queries."""


def connect(path: Path, *, wait_ms: int) -> apsw.Connection:
    """Open `path` with WAL, fsync at every commit and foreign keys. Raises Busy and StorageError."""
    try:
        connection = apsw.Connection(str(path), statementcachesize=STATEMENTS)
        connection.set_busy_timeout(wait_ms)
        _configure(connection)
    except apsw.BusyError as error:
        raise Busy(explained(path, error)) from error
    except apsw.Error as error:
        raise StorageError(explained(path, error)) from error
    return connection


def explained(path: Path, error: Exception) -> str:
    """The text of an error at `path`: for one of SQLite's with the path, and with what to look at."""
    if isinstance(error, apsw.CantOpenError | apsw.ReadOnlyError):
        needs = (
            "The user who runs threepid must be able to write to the file, to its `-wal` and `-shm`, and to the folder."
        )
        return f"{path}: {error}. {needs}"
    if isinstance(error, apsw.IOError):
        return f"{path}: {error}. The disk may be full or damaged: see `df` and the kernel's log."
    return f"{path}: {error}" if isinstance(error, apsw.Error) else str(error)


def _configure(connection: apsw.Connection) -> None:
    # Keeps query plans. Otherwise SQLite recompiles a statement whose new values may need another plan: for arrays, each time.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    # secure_delete overwrites deleted rows (codes, links, contacts of erased accounts), which would else stay in free pages.
    for pragma, wanted in (
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("temp_store", 2),
        ("secure_delete", 1),
    ):
        connection.execute(f"PRAGMA {pragma} = {wanted}")
        found = connection.execute(f"PRAGMA {pragma}").get
        if found != wanted:
            raise StorageError(f"SQLite did not take {pragma} = {wanted}: it is {found}")
