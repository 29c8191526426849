"""SQLite: reads and short writes on the event loop, commits in a thread that waits for the disk.

| module | what is in it |
|---|---|
| `connection` | opens a file with what we rely on |
| `transaction` | statements over one connection |
| `writer` | which units of work are in which commit, and who works on it: event loop or thread |
| `database` | reads beside it, and the whole |
"""

from threepid.storage.engine.sqlite.connection import connect
from threepid.storage.engine.sqlite.database import Sqlite
from threepid.storage.engine.sqlite.transaction import SqliteTx

__all__ = ["Sqlite", "SqliteTx", "connect"]
