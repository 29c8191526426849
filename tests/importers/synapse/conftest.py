"""An empty Synapse for each test, on SQLite and with `--postgres` on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from foreign_database import ENGINES, foreign_url
from synapse_database import SynapseDatabase


@pytest.fixture(params=ENGINES)
def synapse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SynapseDatabase]:
    """An empty database of a Synapse."""
    made = SynapseDatabase(foreign_url(request, tmp_path, "homeserver"))
    yield made
    made.close()
