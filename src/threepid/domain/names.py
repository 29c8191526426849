"""Names that strangers gave themselves or their rooms, made harmless for a message to somebody who knows neither.

What programs that show mails and texts make a link of by themselves must not be in them: addresses of pages and mailboxes,
and numbers that can be dialled.
"""

import re
import unicodedata
from typing import Final

from threepid.spec.server_name import is_server_name

SENDER_LENGTH: Final = 20
ROOM_LENGTH: Final = 30
USER_ID_LENGTH: Final = 60
_CUT: Final = "…"
_BLANKS: Final = re.compile(r"[\s@/\\:|<>&#?%]+")
_DOTS: Final = re.compile("([.\N{IDEOGRAPHIC FULL STOP}]+)(?=[^\\s.\N{IDEOGRAPHIC FULL STOP}])")
_NUMBER: Final = re.compile(r"\d(?:[^\w]{0,3}\d){6,}")
_LOCALPART: Final = re.compile(r"[A-Za-z0-9._=/+-]{1,60}")
_DIGITS: Final = re.compile(r"\d{7,}")
_BARE_LINK: Final = re.compile(r"(?:^|[^a-z0-9])(?:www|ftp)\.", re.IGNORECASE)
"""What programs make a link of in plain text, beside what has a scheme: a user ID has none."""
_JOINT: Final = "\N{ZERO WIDTH NON-JOINER}"
NOBODYS_WORD: Final = 0
"""A user ID that anybody may have written."""
ITS_HOMESERVERS_WORD: Final = 1
"""The user ID of somebody for whom the homeserver of that name has answered."""
OURS: Final = 2
"""The user ID is of our own homeserver, whose name is no stranger's link."""
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


def shown_user_id(user_id: str, own_server: str) -> str:
    """A user ID as it is if it is of today's grammar and not too long to be read, else made harmless."""
    return user_id if _is_plain(user_id) else harmless_user_id(user_id, own_server)


def unlinked(user_id: str, trust: int = NOBODYS_WORD, *, plain: bool = False) -> str:
    """A user ID of which no program makes a link, and which looks as it is: joints that nobody sees part its names.

    In `plain` text, programs make links of what begins with a scheme or `www.` only: there a user ID for which somebody
    vouches stays as it is, and can be copied.
    """
    if not _is_plain(user_id) or (plain and trust != NOBODYS_WORD and not _BARE_LINK.search(user_id)):
        return user_id  # what is not of today's grammar was made harmless
    localpart, colon, server_name = user_id.partition(":")
    return _parted(localpart) + colon + (server_name if trust == OURS else _parted(server_name))


def _is_plain(user_id: str) -> bool:
    localpart, _, server_name = user_id.removeprefix("@").partition(":")
    return (
        user_id.startswith("@")
        and _LOCALPART.fullmatch(localpart) is not None
        and len(server_name) <= USER_ID_LENGTH
        and is_server_name(server_name)
    )


def _parted(text: str) -> str:
    return _DIGITS.sub(lambda found: _JOINT.join(re.findall(r"\d{1,3}", found[0])), text.replace(".", f"{_JOINT}."))


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
