"""E-mail addresses and phone numbers: one strict grammar, one canonical form of each.

What is parsed here is what is stored, put on the envelope and written into the header, byte for byte.
https://spec.matrix.org/latest/appendices/#3pid-types
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import ClassVar, Final, Literal

import idna
import phonenumbers
from msgspec import Struct

_ATEXT: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_ENCODED_WORD: Final = re.compile(r"=\?[^?]*\?[bq]\?", re.IGNORECASE)
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_LOCAL: Final = 64
_MAX_ADDRESS: Final = 254
_MIN_MASKED: Final = 10
_PHONE: Final = re.compile(r"\+?\(?[0-9][0-9 ().\-/]*")
_MAX_PHONE: Final = 40
_FICTIONAL: Final = re.compile(r"\+447700900[0-9]{3}")
"""Numbers that Ofcom keeps for stories: the specification's examples are of these, and people try servers with them.

https://www.ofcom.org.uk/phones-and-broadband/phone-numbers/numbers-for-drama
"""
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_PREFIX_DIGITS: Final = 7
_TEXTED: Final = frozenset(
    {
        phonenumbers.PhoneNumberType.MOBILE,
        phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,
        phonenumbers.PhoneNumberType.FIXED_LINE,
        phonenumbers.PhoneNumberType.VOIP,
    }
)
"""Kinds of numbers that are people's and cost what a text costs."""


class InvalidAddress(ValueError):
    """A text that is no address that we take."""


class Email(Struct, frozen=True):
    """An e-mail address."""

    medium: ClassVar[str] = "email"
    channel: ClassVar[Literal["email", "sms"]] = "email"

    address: str
    """As it was given, with the domain as A-labels: mails go there."""
    canonical: str
    """What is compared: everything folded."""
    domain: str
    """The domain as lower-case A-labels."""


class Phone(Struct, frozen=True):
    """A phone number."""

    medium: ClassVar[str] = "msisdn"
    channel: ClassVar[Literal["email", "sms"]] = "sms"

    address: str
    """In E.164 with the plus, e.g. `+447700900123`: texts go there."""
    canonical: str
    """The same without the plus, as Matrix wants it."""
    region: str
    """The ISO code of the country that the number belongs to, whatever was said; '' for none, e.g. satellites."""
    texted: bool
    """Is it of a kind that may be texted? Premium, shared-cost and personal numbers are not."""

    @property
    def prefix(self) -> str:
        """The first seven digits: numbers that are pumped stand side by side."""
        return self.canonical[:_PREFIX_DIGITS]


Address = Email | Phone


def parse_address(medium: str, text: str, country: str | None = None) -> Address:
    """The address of a medium in `text`; `country` is that of a national phone number. Raises InvalidAddress."""
    if medium == Email.medium:
        return parse_email(text)
    if medium == Phone.medium:
        return parse_phone(text, country)
    raise InvalidAddress("not a medium")


def parse_phone(text: str, country: str | None = None) -> Phone:
    """The number in `text`: international, or national of `country` (ISO code). Raises InvalidAddress.

    Without a country, a number without plus is taken for an international one, as Matrix writes them. Digits of other
    scripts are digits; letters, extensions and parameters are refused.
    """
    if len(text) > _MAX_PHONE or (country is not None and not _COUNTRY.fullmatch(country)):
        raise InvalidAddress("not a phone number")
    plain = "".join(map(_plain, text)).strip()
    if not _PHONE.fullmatch(plain):
        raise InvalidAddress("not a phone number")
    if plain.startswith("00"):
        plain = "+" + plain[2:]
    elif country is None:
        plain = "+" + plain.removeprefix("+")
    try:
        number = phonenumbers.parse(plain, country)
    except phonenumbers.NumberParseException:
        raise InvalidAddress("not a phone number") from None
    address = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if _FICTIONAL.fullmatch(address):
        return Phone(address, address.removeprefix("+"), "GB", texted=True)
    if not phonenumbers.is_valid_number(number):
        raise InvalidAddress("not a phone number")
    region = phonenumbers.region_code_for_number(number) or ""
    texted = phonenumbers.number_type(number) in _TEXTED
    return Phone(address, address.removeprefix("+"), region if len(region) == 2 and region.isalpha() else "", texted)  # noqa: PLR2004 - an ISO code has two letters; "001" is no country


def _plain(character: str) -> str:
    """A digit of any script as ASCII, a wide plus as plus, what looks like a blank or a dash as that."""
    if character.isascii():
        return character
    if character == "\N{FULLWIDTH PLUS SIGN}":
        return "+"
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.digit(character))
    return {"Zs": " ", "Pd": "-"}.get(category, character)


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
