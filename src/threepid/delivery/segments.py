"""Does an SMS fit into one message of the mobile network? https://www.3gpp.org/dynareport/23038.htm."""

from typing import Final

_GSM_7: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_7_TWICE: Final = frozenset("\f^{}\\[~]|€")
"""Characters that take the place of two."""
_MOST_GSM_7: Final = 160
_MOST_UTF_16: Final = 70


def fits_one(text: str) -> bool:
    """Does `text` fit into one message: 160 characters of the GSM alphabet, or 70 units of UTF-16 if another is among them?"""
    if set(text) <= _GSM_7 | _GSM_7_TWICE:
        return len(text) + sum(character in _GSM_7_TWICE for character in text) <= _MOST_GSM_7
    return len(text.encode("utf-16-le")) // 2 <= _MOST_UTF_16
