"""Makes names that strangers choose for themselves or their rooms harmless, for use in messages.

Mail and SMS programs turn URLs, email addresses and phone numbers into links by themselves. These names must not contain any.
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
"""What programs turn into a link in plain text without a scheme, which a user ID never has."""
_JOINT: Final = "\N{ZERO WIDTH NON-JOINER}"
NOBODYS_WORD: Final = 0
"""Trust in a user ID that anybody may have written."""
ITS_HOMESERVERS_WORD: Final = 1
"""Trust in a user ID that its homeserver has confirmed."""
OURS: Final = 2
"""Trust in a user ID of our own homeserver, whose name may become a link."""
_MARKS: Final = 2
"""Maximum number of combining marks on one letter: more would cover the lines around it."""


def harmless(text: str, length: int) -> str:
    """`text` in one line of at most `length` characters, without links and changes of the text direction."""
    plain = _letters(unicodedata.normalize("NFKC", text[: length * 20]))
    plain = _NUMBER.sub("#", _DOTS.sub(r"\1 ", _BLANKS.sub(" ", plain))).strip()
    return plain if len(plain) <= length else plain[: length - 1].rstrip() + _CUT


def harmless_user_id(user_id: str, own_server: str) -> str:
    """A user ID that is safe to show: no part of it becomes a link, except the name of our own server."""
    localpart, _, server_name = user_id.removeprefix("@").partition(":")
    shown = own_server if server_name == own_server else harmless(server_name, USER_ID_LENGTH)
    return f"@{harmless(localpart, USER_ID_LENGTH)}:{shown}"


def shown_user_id(user_id: str, own_server: str) -> str:
    """A user ID, unchanged if it has the current grammar and a readable length, otherwise made harmless."""
    return user_id if _is_plain(user_id) else harmless_user_id(user_id, own_server)


def unlinked(user_id: str, trust: int = NOBODYS_WORD, *, plain: bool = False) -> str:
    """A user ID that looks unchanged but cannot become a link, because invisible zero-width non-joiners divide its parts.

    In `plain` text, programs only make links of a scheme or `www.`. There a user ID of more than `NOBODYS_WORD` trust stays
    unchanged, so that it can be copied.
    """
    if not _is_plain(user_id) or (plain and trust != NOBODYS_WORD and not _BARE_LINK.search(user_id)):
        return user_id  # `shown_user_id` has made other grammars harmless already
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
    """The part of an address that a room may see. It reveals neither the address nor its length."""
    if medium == "email":
        local, _, domain = canonical.rpartition("@")
        return f"{local[:1]}...@{domain[:1]}..."
    return f"+{canonical[:2]}..."


def _letters(text: str) -> str:
    """`text` without control, format and unassigned characters, and with few combining marks in a row."""
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
