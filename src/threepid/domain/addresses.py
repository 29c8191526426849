"""E-mail addresses: one strict grammar, one canonical form.

What is parsed here is what is stored, put on the envelope and written into the header, byte for byte.
https://spec.matrix.org/latest/appendices/#e-mail-addresses
"""

import re
from collections.abc import Iterable
from typing import Final

import idna
from msgspec import Struct

_ATEXT: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_ENCODED_WORD: Final = re.compile(r"=\?[^?]*\?[bq]\?", re.IGNORECASE)
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_LOCAL: Final = 64
_MAX_ADDRESS: Final = 254
_MIN_MASKED: Final = 10


class InvalidAddress(ValueError):
    """A text that is no address that we take."""


class Email(Struct, frozen=True):
    """An e-mail address."""

    address: str
    """As it was given, with the domain as A-labels: mails go there."""
    canonical: str
    """What is compared: everything folded."""
    domain: str
    """The domain as lower-case A-labels."""


def parse_email(text: str) -> Email:
    """The address in `text`. Raises InvalidAddress."""
    local, at, domain = text.rpartition("@")
    if not at or len(text) > _MAX_ADDRESS * 4:
        raise InvalidAddress("not an e-mail address")
    # Readers of mail decode `=?…?=` even where it must not stand: the header would name another mailbox.
    if len(local) > _MAX_LOCAL or not _LOCAL.fullmatch(local) or _ENCODED_WORD.search(local):
        raise InvalidAddress("not a local part that we take")
    ascii_domain = _ascii_domain(domain)
    address = f"{local}@{ascii_domain}"
    if len(address) > _MAX_ADDRESS:
        raise InvalidAddress("too long")
    return Email(address, f"{local.casefold()}@{ascii_domain}", ascii_domain)


def _ascii_domain(domain: str) -> str:
    try:
        encoded = domain.lower() if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise InvalidAddress("not a domain") from None
    labels = encoded.split(".")
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004
        raise InvalidAddress("not a domain")
    # Some resolvers read a name that ends in a number, also a hexadecimal one, as an IPv4 address.
    if _NUMBER.fullmatch(labels[-1]):
        raise InvalidAddress("not a domain")
    return encoded


def mask(address: str) -> str:
    """An address for logs: `a***@example.org`, `+4917***21`; nothing of a number that is too short to hide in."""
    local, at, domain = address.rpartition("@")
    if at:
        return f"{local[:1]}***@{domain}"
    return f"{address[:5]}***{address[-2:]}" if len(address) >= _MIN_MASKED else "***"


def domain_matches(domain: str, patterns: Iterable[str]) -> bool:
    """Is `domain` one of `patterns`: exactly, or below it for `*.example.org`?"""
    for pattern in patterns:
        lowered = pattern.lower()
        if domain == lowered or (lowered.startswith("*.") and domain.endswith(lowered[1:])):
            return True
    return False
