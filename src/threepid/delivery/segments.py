"""How many messages of the mobile network an SMS takes.

https://www.3gpp.org/dynareport/23038.htm (the alphabets), https://www.3gpp.org/dynareport/23040.htm (parts).
"""

from typing import Final

_GSM_7: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_7_TWICE: Final = frozenset("\f^{}\\[~]|€")
"""Characters that take the place of two."""
_ALONE_GSM_7: Final = 160
_ALONE_UTF_16: Final = 70
_PART_GSM_7: Final = 153
_PART_UTF_16: Final = 67
"""A part of several is shorter, because it carries its number."""


def fits_one(text: str) -> bool:
    """Does `text` fit into one message: 160 characters of the GSM alphabet, or 70 units of UTF-16 if another is among them?"""
    return segments(text) == 1


def segments(text: str) -> int:
    """The number of messages that `text` takes. A character of two places is never split between them."""
    if set(text) <= _GSM_7 | _GSM_7_TWICE:
        return _parts([1 + (character in _GSM_7_TWICE) for character in text], _ALONE_GSM_7, _PART_GSM_7)
    return _parts([len(character.encode("utf-16-le")) // 2 for character in text], _ALONE_UTF_16, _PART_UTF_16)


def _parts(sizes: list[int], alone: int, part: int) -> int:
    if sum(sizes) <= alone:
        return 1
    count, left = 1, part
    for size in sizes:
        if size > left:
            count, left = count + 1, part
        left -= size
    return count
