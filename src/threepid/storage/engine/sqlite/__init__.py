"""SQLite: reads and short writes run on the event loop, commits in a thread that waits for fsync.

| module | what is in it |
|---|---|
| `connection` | opens a file with the settings that the server relies on |
| `transaction` | statements on one connection |
| `writer` | group commit: which units of work share a commit, and whether event loop or thread runs it |
| `database` | the database: reads, and writes through the writer |
"""

from threepid.storage.engine.sqlite.connection import connect
from threepid.storage.engine.sqlite.database import Sqlite
from threepid.storage.engine.sqlite.transaction import SqliteTx

__all__ = ["Sqlite", "SqliteTx", "connect"]
