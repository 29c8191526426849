"""Loads the named queries of `sql/*.sql`, which both engines share.

A query has a name, a one-sentence comment and a statement in aiosql's syntax with declared parameters. Where PostgreSQL needs
different SQL, a second query named `<name>_on_postgresql` replaces it there and says why.
https://nackjicholson.github.io/aiosql/defining-sql-queries.html
"""

from collections.abc import Iterator
from functools import cached_property
from importlib import resources
from typing import Any, Final, cast

import aiosql
from aiosql.adapters.pyformat import PyFormatAdapter
from msgspec import Struct

_POSTGRESQL_SUFFIX: Final = "_on_postgresql"


class Query(Struct, frozen=True, dict=True):
    """A statement: its name for error messages and its SQL for each engine."""

    name: str
    sqlite: str
    postgresql: str

    @cached_property
    def is_plain_insert(self) -> bool:
        """Does it insert exactly one row, or fail?"""
        return self.sqlite.startswith("INSERT") and "VALUES" in self.sqlite and "ON CONFLICT" not in self.sqlite

    def require_plain_insert(self) -> None:
        """Raise ValueError if this is not an INSERT of exactly one row."""
        if not self.is_plain_insert:
            raise ValueError(f"{self.name} may insert no row or several")


class Queries:
    """The queries of one file, as attributes."""

    def __init__(self, noun: str) -> None:
        """Load `sql/<noun>.sql`. Raises what `parse` raises."""
        text = resources.files("threepid.storage").joinpath("sql", f"{noun}.sql").read_text(encoding="utf-8")
        self._queries = parse(noun, text)
        vars(self).update(self._queries)

    def __getattr__(self, name: str) -> Query:
        """Raise AttributeError: there is no query called `name`."""
        raise AttributeError(name)

    def __iter__(self) -> Iterator[Query]:
        """All queries of the file."""
        return iter(self._queries.values())


def parse(noun: str, text: str) -> dict[str, Query]:
    """The queries of a file by name.

    Raises ValueError for a query without a comment, and the errors of aiosql for undeclared or unused parameters and for a name
    that is already taken.
    """
    statements = _statements(noun, text)
    return {
        name: Query(f"{noun}.{name}", statement, _for_psycopg(statements.get(name + _POSTGRESQL_SUFFIX, statement)))
        for name, statement in statements.items()
        if not name.endswith(_POSTGRESQL_SUFFIX)
    }


def _statements(noun: str, text: str) -> dict[str, str]:
    """The statements of a file by name, with their parameters as SQLite has them: `:name`."""
    loaded = aiosql.from_str(text, "apsw", mandatory_parameters=True)
    statements = {}
    for name in loaded.available_queries:
        if name.endswith("_cursor"):  # aiosql offers each SELECT a second time as `<name>_cursor`
            continue
        function = getattr(loaded, name)
        if not function.__doc__:
            msg = f"{noun}.sql: {name} has no sentence that says what it does"
            raise ValueError(msg)
        statements[name] = function.sql.strip().removesuffix(";")
    return statements


def _for_psycopg(statement: str) -> str:
    """The same with `%(name)s`. To parse all files once more for it would take an eighth of a second of each start."""
    adapter: Any = cast("Any", PyFormatAdapter)()
    converted: str = adapter.process_sql("", None, statement.replace("%", "%%"))
    return converted
