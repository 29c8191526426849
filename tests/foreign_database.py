"""The database of another server, on SQLite or PostgreSQL, that a test fills."""

import itertools
from pathlib import Path
from typing import Any, Final

import apsw
import psycopg
import pytest

_NUMBERS: Final = itertools.count()
ENGINES: Final = ("from sqlite", "from postgresql")
"""Parameters of a fixture that calls `foreign_url`."""


def foreign_url(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> str:
    """The URL of an empty database for the engine of the fixture's parameter; PostgreSQL needs `--postgres`."""
    if request.param == "from sqlite":
        return f"sqlite:{tmp_path}/{name}.db"
    if not request.config.getoption("postgres"):
        pytest.skip("reads PostgreSQL with --postgres")
    url: str = request.getfixturevalue("postgres_server").create_database(f"{name}_{next(_NUMBERS)}")
    return url


class ForeignDatabase:
    """A database to be filled. `url` is what `--database` gets."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._sqlite = apsw.Connection(url.removeprefix("sqlite:")) if url.startswith("sqlite:") else None
        self._postgresql = None if self._sqlite else psycopg.connect(url, autocommit=True)

    def do(self, statement: str, *values: Any) -> None:
        if self._sqlite:
            self._sqlite.execute(statement, values)
        else:
            assert self._postgresql is not None
            self._postgresql.execute(statement.replace("?", "%s").encode(), values)

    def close(self) -> None:
        """As the other server leaves it when it stops."""
        for connection in (self._sqlite, self._postgresql):
            if connection is not None:
                connection.close()
