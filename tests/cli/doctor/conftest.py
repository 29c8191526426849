"""Every check is asked of fakes that have one fault."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from examined import Examined, examined


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Examined]:
    with examined(tmp_path) as made:
        yield made
