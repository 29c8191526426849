"""The named queries of `sql/*.sql`, one text for both engines.

A query is a name, a sentence and a statement in aiosql's syntax with declared parameters. Where PostgreSQL really needs
another text, a second query named `<name>_on_postgresql` replaces it there, and says why.
https://nackjicholson.github.io/aiosql/defining-sql-queries.html
"""

from collections.abc import Iterator
from importlib import resources
from typing import Final

import aiosql
from msgspec import Struct

_POSTGRESQL_SUFFIX: Final = "_on_postgresql"


class Query(Struct, frozen=True):
    """One statement: its name for messages, its text for each engine."""

    name: str
    sqlite: str
    postgresql: str


class Queries:
    """The queries of one file, as attributes."""

    def __init__(self, noun: str) -> None:
        """Load `sql/<noun>.sql`.

        Refused are a query without a sentence, one whose parameters are not declared or not used, and a name given twice.
        """
        text = resources.files("threepid.storage").joinpath("sql", f"{noun}.sql").read_text(encoding="utf-8")
        sqlite = _statements(noun, text, "apsw")
        postgresql = _statements(noun, text, "psycopg")
        self._queries = {
            name: Query(f"{noun}.{name}", statement, postgresql.get(name + _POSTGRESQL_SUFFIX, postgresql[name]))
            for name, statement in sqlite.items()
            if not name.endswith(_POSTGRESQL_SUFFIX)
        }

    def __getattr__(self, name: str) -> Query:
        """The query called `name`."""
        try:
            return self._queries[name]
        except KeyError:
            raise AttributeError(name) from None

    def __iter__(self) -> Iterator[Query]:
        """All queries of the file."""
        return iter(self._queries.values())


def _statements(noun: str, text: str, driver: str) -> dict[str, str]:
    if driver == "psycopg":
        text = text.replace("%", "%%")  # psycopg marks parameters with it
    loaded = aiosql.from_str(text, driver, mandatory_parameters=True)
    statements = {}
    for name in loaded.available_queries:
        if name.endswith("_cursor"):  # aiosql offers each SELECT a second time under such a name
            continue
        function = getattr(loaded, name)
        if not function.__doc__:
            msg = f"{noun}.sql: {name} has no sentence that says what it does"
            raise ValueError(msg)
        statements[name] = function.sql.strip().removesuffix(";")
    return statements
