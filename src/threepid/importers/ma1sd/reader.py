"""The rows of a ma1sd, from one snapshot of its database. Its columns have capital letters, and so are quoted.

https://github.com/ma1uta/ma1sd/tree/master/src/main/java/io/kamax/mxisd/storage/ormlite/dao
"""

from collections.abc import Iterator
from typing import Final

from threepid.importers.source import Row, Source, SourceError

_REQUIRED: Final = {
    "invite_3pid": ("token", "sender", "medium", "address", "roomId", "properties"),
    "session_3pid": ("id",),
}
_OPTIONAL: Final = {
    "account": ("userId", "token", "createdAt"),
    "accepted": ("userId", "url", "acceptedAt"),
    "hashes": ("mxid", "medium", "address"),
    "invite_3pid_history": ("id",),
}
"""Tables that mxisd does not have."""
COUNTED: Final = ("account", "invite_3pid", "accepted", "hashes")
_ORDER: Final = {
    "account": '"createdAt", "token"',
    "invite_3pid": '"token"',
    "accepted": '"userId", "url"',
    "hashes": "1, 2, 3",
}


class Reader:
    """Reads a ma1sd's tables."""

    def __init__(self, source: Source) -> None:
        """Check that `source` is a ma1sd's database. Raises SourceError."""
        self._source = source
        self._columns = {table: source.columns(table) for table in (*_REQUIRED, *_OPTIONAL)}
        missing = [table for table, columns in _REQUIRED.items() if not self._columns[table].issuperset(columns)]
        if missing:
            raise SourceError(f"This is not the database of a ma1sd: it has no {', '.join(missing)}.")

    def count(self, table: str) -> int:
        """Number of rows of a table; 0 if this ma1sd does not have it."""
        return self._source.count(table) if self._has(table) else 0

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of a table of `COUNTED`, with the columns that stand above."""
        if not self._has(table):
            return iter(())
        columns = ", ".join(f'"{column}"' for column in (_REQUIRED | _OPTIONAL)[table])
        return self._source.rows(f"SELECT {columns} FROM {table} ORDER BY {_ORDER[table]}")  # noqa: S608 - our own names

    def _has(self, table: str) -> bool:
        return self._columns[table].issuperset((_REQUIRED | _OPTIONAL)[table])
