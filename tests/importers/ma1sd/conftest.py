"""An empty ma1sd for each test, on SQLite and with `--postgres` on PostgreSQL."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from ma1sd_database import Ma1sdDatabase

_NUMBERS = itertools.count()


@pytest.fixture(params=["from sqlite", "from postgresql"])
def ma1sd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ma1sdDatabase]:
    """An empty database of a ma1sd."""
    if request.param == "from sqlite":
        url = f"sqlite:{tmp_path}/ma1sd.db"
    elif request.config.getoption("postgres"):
        url = request.getfixturevalue("postgres_server").create_database(f"ma1sd_{next(_NUMBERS)}")
    else:
        pytest.skip("reads PostgreSQL with --postgres")
    made = Ma1sdDatabase(url)
    yield made
    made.close()
