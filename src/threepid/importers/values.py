"""Values of any type from rows of another server: SQLite stores whatever somebody wrote, and a row may be forged."""

import re
from typing import Any, Final

LAST_TIME: Final = 253_402_300_799_999
"""The end of the year 9999 in milliseconds: no calendar of ours shows a later time."""
_NO_TEXT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_DETAIL: Final = 100
"""Maximum number of characters of a value in a finding."""
TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")
"""A token as it can stand in a header."""
SHORTEST_TOKEN: Final = 16
"""A shorter token could be guessed."""


def time_of(value: Any, unit: int = 1) -> int | None:
    """A time in milliseconds, or None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value * unit <= LAST_TIME:
        return None
    return value * unit


def end_of(value: Any) -> int | None:
    """The time at which something ends, which is `LAST_TIME` at most, or None if it is none."""
    return time_of(min(value, LAST_TIME) if isinstance(value, int) else value)


def shown(value: Any) -> str:
    """A value of any type, short and printable."""
    told = value if isinstance(value, str) else f"({type(value).__name__})"
    told = told if len(told) <= _DETAIL else f"{told[:_DETAIL]}…"
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode() for sign in told
    )


def text(value: Any, most: int) -> str | None:
    """A text without control characters, cut to `most` characters."""
    if not isinstance(value, str):
        return None
    if len(value) <= most and value.isprintable():  # most texts
        return value.strip() or None
    return _NO_TEXT.sub(" ", value[: most * 2]).strip()[:most] or None
