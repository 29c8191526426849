"""An empty Synapse for each test, on SQLite and with `--postgres` on PostgreSQL."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from synapse_database import SynapseDatabase

_NUMBERS = itertools.count()


@pytest.fixture(params=["from sqlite", "from postgresql"])
def synapse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SynapseDatabase]:
    """An empty database of a Synapse."""
    if request.param == "from sqlite":
        url = f"sqlite:{tmp_path}/homeserver.db"
    elif request.config.getoption("postgres"):
        url = request.getfixturevalue("postgres_server").create_database(f"synapse_{next(_NUMBERS)}")
    else:
        pytest.skip("reads PostgreSQL with --postgres")
    made = SynapseDatabase(url)
    yield made
    made.close()
