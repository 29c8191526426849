"""The order of the house, as far as import-linter does not say it: docs/decisions/0001-rooms-and-order.md."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "threepid"
DOMAIN = SOURCE / "domain"
MODULES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FOUNDATION = "secrets and shared words"
MOST_ARROWS = 20
"""Between rooms proper: `services` makes each of them and each stands on the shared words, which says nothing of the order."""
MOST_LINES = 420
"""A module past about 400 lines is split by noun."""


def imports(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def room_of(parts: tuple[str, ...]) -> str:
    """The room of a module of `domain`, given by its path below that."""
    if (DOMAIN / parts[0]).is_dir() and parts[0] != "secrets":
        return parts[0]
    return "services" if parts[0] == "services" else FOUNDATION


def arrows() -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for module in DOMAIN.rglob("*.py"):
        here = room_of(module.relative_to(DOMAIN).with_suffix("").parts)
        for imported in imports(module):
            parts = tuple(imported.split("."))
            if parts[:2] == ("threepid", "domain") and len(parts) > 2 and (there := room_of(parts[2:])) != here:
                found[here, there] += 1
    return found


def test_the_rooms_of_the_domain_have_few_arrows_between_them() -> None:
    found = {arrow for arrow in arrows() if "services" not in arrow and FOUNDATION not in arrow}
    assert len(found) > 10
    assert len(found) <= MOST_ARROWS, sorted(found)


def test_no_two_rooms_of_the_domain_need_each_other() -> None:
    found = arrows()
    left = {room for arrow in found for room in arrow}
    while left:
        leaves = {room for room in left if not any(there in left for here, there in found if here == room)}
        assert leaves, f"a circle among {sorted(left)}"
        left -= leaves


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(SOURCE)))
def test_a_module_is_short_and_imports_nothing_for_types_alone(module: Path) -> None:
    text = module.read_text()
    assert text.count("\n") <= MOST_LINES
    assert "TYPE_CHECKING" not in text


def test_composition_is_wiring_only() -> None:
    """`app.py` makes things and joins them: what runs stands in `background.py`."""
    tree = ast.parse((SOURCE / "app.py").read_text())
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.While | ast.AsyncFor)]
    assert loops == []


def test_neither_server_asks_for_the_other_in_the_rooms_of_one() -> None:
    """Who needs both is in contacts or lifecycle."""
    both = {"Associations", "Homeserver", "IdentityServer", "Services"}
    for room in ("secrets", "validation", "authentication", "accounts", "identity"):
        for module in (DOMAIN / room).rglob("*.py"):
            names = {name.rpartition(".")[2] for name in imports(module) if name.startswith("threepid.domain")}
            wrong = names & (both - ({"Associations"} if room == "identity" else set()))
            assert not wrong, f"{module.relative_to(SOURCE)} imports {wrong}"


CLOCKS = {"time.monotonic", "time.perf_counter", "time.time", "loop.time"}
MEASURES = ROOT / "tests" / "test_migrations.py"
"""It kills at moments of a run whose length it has measured."""


def calls(node: ast.AST) -> set[str]:
    return {ast.unparse(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)}


@pytest.mark.parametrize("module", TESTS, ids=lambda module: str(module.relative_to(ROOT)))
def test_no_test_asserts_seconds_or_patches_our_own_code(module: Path) -> None:
    """A counter, an order or a shorter limit shows the same on every machine; what a test changes is given at construction."""
    tree = ast.parse(module.read_text())
    ours = {name.rpartition(".")[2] for name in imports(module) if name.startswith("threepid.")}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            assert not calls(node) & CLOCKS, node.lineno
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and module != MEASURES:
            assert not calls(node.left) & CLOCKS, f"line {node.lineno} measures how long something took"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("monkeypatch.setattr", "setattr") and node.args:
            assert ast.unparse(node.args[0]).partition(".")[0] not in ours, node.lineno


def test_tests_stand_in_the_rooms_that_they_are_about() -> None:
    mirrored = {"api", "delivery", "domain", "http", "remote", "spec", "storage", "web"}
    for folder in (folder for name in mirrored for folder in (ROOT / "tests" / name).rglob("*") if folder.is_dir()):
        if folder.name != "__pycache__":
            assert (SOURCE / folder.relative_to(ROOT / "tests")).is_dir(), folder
