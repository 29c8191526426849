"""An empty ma1sd for each test, on SQLite and with `--postgres` on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from foreign_database import ENGINES, foreign_url
from ma1sd_database import Ma1sdDatabase


@pytest.fixture(params=ENGINES)
def ma1sd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ma1sdDatabase]:
    """An empty database of a ma1sd."""
    made = Ma1sdDatabase(foreign_url(request, tmp_path, "ma1sd"))
    yield made
    made.close()
