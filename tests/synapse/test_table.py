"""The tables of `README.md` name tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from synapse.test_traps import REFUSED

TESTS = Path(__file__).parent.parent
TABLES = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`tests/([\w/]+\.py)::(\w+)`", TABLES)))


@cache
def _tests_of(path: str) -> set[str]:
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_of_the_tables_exists(path: str, name: str) -> None:
    assert name in _tests_of(path)


def test_every_row_names_a_test() -> None:
    rows = [
        line for line in TABLES.splitlines() if line.startswith("| ") and not line.startswith(("| path", "| surpr"))
    ]
    assert len(rows) > 20
    assert [row for row in rows if "::test_" not in row] == []


def test_the_guide_names_the_settings_beside_which_synapse_does_not_start() -> None:
    guide = (TESTS.parent / "docs" / "guides" / "synapse.md").read_text(encoding="utf-8")
    assert [name for name in REFUSED if name not in guide] == []
