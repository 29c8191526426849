"""The tables of this version's schema, as its migrations make them."""

from graphlib import TopologicalSorter
from typing import Final

import apsw
from msgspec import Struct

from threepid.storage.engine.migrate import known_migrations


class Table(Struct, frozen=True):
    """A table, with its columns in order and their types: TEXT, BIGINT or BYTES."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]

    @property
    def names(self) -> str:
        """The columns, for a statement."""
        return ", ".join(self.columns)

    @property
    def select(self) -> str:
        """The query for all rows."""
        return f"SELECT {self.names} FROM {self.name}"  # noqa: S608 - names of our own migrations


_TYPES: Final = {"TEXT": "TEXT", "BIGINT": "BIGINT", "INTEGER": "BIGINT", "BLOB": "BYTES"}


def all_tables() -> list[Table]:
    """All tables, each behind those that its foreign keys refer to."""
    connection = apsw.Connection(":memory:")
    for migration in known_migrations():
        connection.execute(migration.script("sqlite"))
    try:
        return tables_of(connection)
    finally:
        connection.close()


def tables_of(connection: apsw.Connection) -> list[Table]:
    """The tables of a SQLite database that our migrations made, each behind those that its foreign keys refer to."""
    names = [str(row[0]) for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    tables = {name: _table(connection, name) for name in names}
    refers_to = {
        name: {str(row[0]) for row in connection.execute('SELECT "table" FROM pragma_foreign_key_list(?)', (name,))}
        for name in sorted(names)
    }
    return [tables[name] for name in TopologicalSorter(refers_to).static_order()]


def newest_version() -> int:
    """The number of the schema's newest migration."""
    return known_migrations()[-1].version


def _table(connection: apsw.Connection, name: str) -> Table:
    columns = list(connection.execute("SELECT name, type FROM pragma_table_info(?) ORDER BY cid", (name,)))
    return Table(name, tuple(str(row[0]) for row in columns), tuple(_TYPES[str(row[1])] for row in columns))
