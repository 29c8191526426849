"""What errors tell people."""

import ast
from pathlib import Path

import pytest

from threepid.clock import DAY, HOUR, MINUTE, SECOND
from threepid.i18n import Duration, Text, Verbatim
from threepid.spec import errors
from threepid.spec.errors import LimitExceeded

SOURCE = Path(errors.__file__).parents[1]


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (0, "1 second"),
        (1, "1 second"),
        (1001, "2 seconds"),
        (59 * SECOND, "59 seconds"),
        (59 * SECOND + 1, "1 minute"),
        (MINUTE, "1 minute"),
        (MINUTE + 1, "2 minutes"),
        (59 * MINUTE, "59 minutes"),
        (59 * MINUTE + 1, "1 hour"),
        (HOUR, "1 hour"),
        (HOUR + 1, "2 hours"),
        (23 * HOUR, "23 hours"),
        (DAY, "1 day"),
        (DAY + 1, "2 days"),
        (30 * DAY, "30 days"),
    ],
)
def test_a_time_to_wait_is_told_in_words_and_never_too_short(milliseconds: int, words: str) -> None:
    assert str(Text("%(wait)s", wait=Duration(milliseconds))) == words


def test_a_limit_says_how_long() -> None:
    assert str(LimitExceeded(HOUR).text) == "Too many requests. Please wait 1 hour."
    told = LimitExceeded(15 * MINUTE, Text("Too much: please wait %(wait)s."))
    assert told.body() == {
        "errcode": "M_LIMIT_EXCEEDED",
        "error": "Too much: please wait 15 minutes.",
        "retry_after_ms": 15 * MINUTE,
    }
    assert told.headers() == {"Retry-After": "900"}
    assert str(LimitExceeded(1, Verbatim("What 100% of servers say.")).text) == "What 100% of servers say."


def test_every_error_is_one_that_the_server_gives() -> None:
    """An error that nothing raises would be translated for nobody, and reads as if callers had to expect it."""
    declared = {
        node.name for node in ast.parse(Path(errors.__file__).read_text()).body if isinstance(node, ast.ClassDef)
    }
    named: set[str] = set()
    for module in SOURCE.rglob("*.py"):
        if module == Path(errors.__file__):
            continue
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Name | ast.Attribute):
                named.add(node.id if isinstance(node, ast.Name) else node.attr)
    assert declared - named == set()
