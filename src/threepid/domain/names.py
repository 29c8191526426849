"""Names that strangers gave themselves or their rooms, made harmless for a message to somebody who knows neither.

What programs that show mails and texts make a link of by themselves must not be in them: addresses of pages and mailboxes,
and numbers that can be dialled.
"""

import re
import unicodedata
from typing import Final

SENDER_LENGTH: Final = 20
ROOM_LENGTH: Final = 30
USER_ID_LENGTH: Final = 60
_CUT: Final = "…"
_BLANKS: Final = re.compile(r"[\s@/\\:|<>&#?%]+")
_DOTS: Final = re.compile("([.\N{IDEOGRAPHIC FULL STOP}]+)(?=[^\\s.\N{IDEOGRAPHIC FULL STOP}])")
_NUMBER: Final = re.compile(r"\d(?:[^\w]{0,3}\d){6,}")
_MARKS: Final = 2
"""Marks over one letter at most: towers of them cover the lines around."""


def harmless(text: str, length: int) -> str:
    """`text` in one line of at most `length` characters, without anything that becomes a link or changes the direction."""
    plain = _letters(unicodedata.normalize("NFKC", text[: length * 20]))
    plain = _NUMBER.sub("#", _DOTS.sub(r"\1 ", _BLANKS.sub(" ", plain))).strip()
    return plain if len(plain) <= length else plain[: length - 1].rstrip() + _CUT


def harmless_user_id(user_id: str, own_server: str) -> str:
    """A user ID as people may see it; the name of a server that is not ours is no link either."""
    localpart, _, server_name = user_id.removeprefix("@").partition(":")
    shown = own_server if server_name == own_server else harmless(server_name, USER_ID_LENGTH)
    return f"@{harmless(localpart, USER_ID_LENGTH)}:{shown}"


def redact(medium: str, canonical: str) -> str:
    """What a room may see of an address: too little to tell it, or how long it is."""
    if medium == "email":
        local, _, domain = canonical.rpartition("@")
        return f"{local[:1]}...@{domain[:1]}..."
    return f"+{canonical[:2]}..."


def _letters(text: str) -> str:
    """`text` without controls, formats and what is not assigned, and with few marks in a row."""
    found: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category[0] == "C":
            found.append(" ")
            continue
        marks = marks + 1 if category[0] == "M" else 0
        if marks <= _MARKS:
            found.append(" " if category[0] == "Z" else character)
    return "".join(found)
