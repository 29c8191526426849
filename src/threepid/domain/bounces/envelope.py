"""Envelope senders: the address to which a mail returns names the mail, and is signed.

A report counts only if it was sent to such an address. What a report says of itself can be forged, this address cannot:
docs/decisions/0066-bounces-and-complaints.md.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

from threepid.domain.context import Context
from threepid.domain.secrets.vault import same

_ID_BYTES: Final = 18
"""Length of the IDs that `Entropy.id` makes."""
_ID_LETTERS: Final = 29
_MAC_LETTERS: Final = 16
_MOST_CANDIDATES: Final = 20


class Envelope:
    """Makes and reads envelope senders. They are in base32, because some programs change the case of local parts."""

    def __init__(self, context: Context) -> None:
        """Use `email.bounce_address` of the configuration, and the server's secret."""
        settings = context.config.email
        self._vault = context.vault
        self._local, _, self._domain = (settings.bounce_address if settings else "").rpartition("@")
        # Whatever stands around it: some relays and forwarding services rewrite what comes before and the domain.
        self._pattern = re.compile(
            rf"{re.escape(self._local)}\+([a-z2-7]{{{_ID_LETTERS}}})\.([a-z2-7]{{{_MAC_LETTERS}}})(?![a-z0-9])",
            re.IGNORECASE | re.ASCII,
        )

    def sender(self, job_id: str) -> str:
        """The envelope sender of a mail; '' without `bounce_address`: then the relay has its own."""
        raw = _bytes(job_id)
        if not self._domain:
            return ""
        if raw is None:  # no job of ours, such as a test that an operator sends
            return f"{self._local}@{self._domain}"
        return f"{self._local}+{_letters(raw)}.{_letters(self._vault.mac_envelope(raw))}@{self._domain}"

    def job_of(self, texts: Iterable[str]) -> str | None:
        """The ID of the mail to whose envelope sender the first valid one in `texts` belongs; None without a valid one."""
        if not self._domain:
            return None
        candidates = (match for text in texts for match in self._pattern.finditer(text))
        for match, _ in zip(candidates, range(_MOST_CANDIDATES), strict=False):
            raw, mac = _from_letters(match[1]), _from_letters(match[2])
            if raw is not None and mac is not None and same(self._vault.mac_envelope(raw), mac):
                return base64.urlsafe_b64encode(raw).decode("ascii")
        return None


def _bytes(job_id: str) -> bytes | None:
    """The bytes of an ID, or None if it is not one that `Entropy.id` made."""
    try:
        raw = base64.urlsafe_b64decode(job_id)
    except (binascii.Error, ValueError):
        return None
    is_ours = len(raw) == _ID_BYTES and base64.urlsafe_b64encode(raw).decode("ascii") == job_id
    return raw if is_ours else None


def _letters(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()


def _from_letters(text: str) -> bytes | None:
    try:
        raw = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        return None
    return raw if _letters(raw) == text.lower() else None
