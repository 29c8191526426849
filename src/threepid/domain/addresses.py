"""Email addresses and phone numbers, each with a strict grammar and one canonical form.

The parsed address is stored, and used in the envelope and the header of mails, byte for byte.
https://spec.matrix.org/latest/appendices/#3pid-types
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import ClassVar, Final, Literal

import idna
import phonenumbers
from msgspec import Struct

from threepid.i18n import Text

_ATEXT: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_ENCODED_WORD: Final = re.compile(r"=\?[^?]*\?[bq]\?", re.IGNORECASE)
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_LOCAL: Final = 64
_MAX_ADDRESS: Final = 254
_MIN_MASKED: Final = 10
_PHONE: Final = re.compile(r"\+?\(?[0-9][0-9 ().\-/~]*")
"""Some countries write the pause for a second dialling tone as a tilde: `8~10`."""
_NOT_A_DIGIT: Final = re.compile(r"[^0-9]+")
_MAX_PHONE: Final = 40
_MAX_UNTRIMMED: Final = 1000
_FICTIONAL: Final = re.compile(r"\+447700900[0-9]{3}")
"""Numbers that Ofcom reserves for drama. The specification's examples use them, and people test servers with them.

https://www.ofcom.org.uk/phones-and-broadband/phone-numbers/numbers-for-drama
"""
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_PREFIX_DIGITS: Final = 7
_INTERNATIONAL_PREFIX: Final = "00"
_MOBILE: Final = frozenset(
    {phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE},
)
_BLANK: Final = "".join(
    map(
        chr,
        (
            *b" \t",
            0x00A0,  # no-break space
            0x1680,  # spaces of other scripts and of typesetting
            *range(0x2000, 0x200B),
            0x202F,
            0x205F,
            0x3000,
            *range(0x200B, 0x2010),  # zero-width characters and direction marks
            *range(0x202A, 0x202F),  # directional embeddings and overrides
            *range(0x2066, 0x206A),  # directional isolates
            0xFEFF,  # byte order mark
        ),
    )
)
"""Spaces and invisible characters that people paste along with an address. Line ends and other controls are not included."""
_TEXTED: Final = frozenset(
    {
        phonenumbers.PhoneNumberType.MOBILE,
        phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,
        phonenumbers.PhoneNumberType.FIXED_LINE,
        phonenumbers.PhoneNumberType.VOIP,
    }
)
"""Types of personal numbers at which an SMS costs the normal price."""


class InvalidAddress(ValueError):
    """The text is not a valid address, or not one that this server accepts."""


class AmbiguousNumber(InvalidAddress):
    """The digits could be two mobile numbers: a national one, or one that begins with the country's calling code."""

    text: Final = Text("This number can be read in two ways. Enter it with a plus sign and the country code in front.")

    def __init__(self) -> None:
        super().__init__(self.text)


class Email(Struct, frozen=True):
    """An email address."""

    medium: ClassVar[str] = "email"
    channel: ClassVar[Literal["email", "sms"]] = "email"

    address: str
    """The address as given, but with the domain in A-labels. Mails are sent to it."""
    canonical: str
    """The case-folded address, for comparison."""
    domain: str
    """The domain as lower-case A-labels."""


class Phone(Struct, frozen=True):
    """A phone number."""

    medium: ClassVar[str] = "msisdn"
    channel: ClassVar[Literal["email", "sms"]] = "sms"

    address: str
    """The number in E.164 with the plus, e.g. `+447700900123`. SMS are sent to it."""
    canonical: str
    """The same without the plus, as Matrix writes numbers."""
    region: str
    """The ISO code of the number's country, whatever country the caller named; '' for none, e.g. satellite phones."""
    texted: bool
    """May the number get an SMS? Premium-rate, shared-cost and personal numbers may not."""

    @property
    def prefix(self) -> str:
        """The first seven digits: SMS pumping uses blocks of neighbouring numbers."""
        return self.canonical[:_PREFIX_DIGITS]


Address = Email | Phone


def parse_address(medium: str, text: str, country: str | None = None) -> Address:
    """The address of `medium` in `text`. `country` is the country of a national phone number. Raises InvalidAddress."""
    if medium == Email.medium:
        return parse_email(text)
    if medium == Phone.medium:
        return parse_phone(text, country)
    raise InvalidAddress("not a medium")


def canonical_form(medium: str, text: str) -> str:
    """The canonical form of the address in `text`: half the work of `parse_address` for a number as Matrix writes it.

    Raises InvalidAddress.
    """
    if medium == Phone.medium and text.isascii() and text.isdecimal() and len(text) <= _MAX_PHONE:
        number = _read("+" + text.removeprefix(_INTERNATIONAL_PREFIX), None)
        if number is None:
            raise InvalidAddress("not a phone number")
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
    return parse_address(medium, text).canonical


def trim(text: str) -> str:
    """`text` without spaces and invisible characters at its ends."""
    return text.strip(_BLANK)


def parse_phone(text: str, country: str | None = None) -> Phone:
    """The number in `text`: international, or as dialled in `country` (ISO code). Raises InvalidAddress or AmbiguousNumber.

    Without a country, a number without a plus is international, as Matrix writes numbers. Digits of all scripts are accepted.
    Letters, extensions and parameters are rejected.
    """
    trimmed = "" if len(text) > _MAX_UNTRIMMED else trim(text)
    if len(trimmed) > _MAX_PHONE or (country is not None and not _COUNTRY.fullmatch(country)):
        raise InvalidAddress("not a phone number")
    plain = "".join(map(_plain, trimmed))
    if not _PHONE.fullmatch(plain):
        raise InvalidAddress("not a phone number")
    digits = _NOT_A_DIGIT.sub("", plain)
    if plain.startswith("+"):
        number = _read("+" + digits, country)
    elif country is None:
        number = _read("+" + digits.removeprefix(_INTERNATIONAL_PREFIX), None)
    else:
        number = _as_dialled(digits, country)
    if number is None:
        raise InvalidAddress("not a phone number")
    address = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if _FICTIONAL.fullmatch(address):
        return Phone(address, address.removeprefix("+"), "GB", texted=True)
    region = phonenumbers.region_code_for_number(number) or ""
    texted = phonenumbers.number_type(number) in _TEXTED
    return Phone(address, address.removeprefix("+"), region if len(region) == 2 and region.isalpha() else "", texted)  # noqa: PLR2004 - an ISO code has two letters; "001" is no country


def _as_dialled(digits: str, country: str) -> phonenumbers.PhoneNumber | None:
    """The number that `digits` reach when dialled in `country`, or the international number, if they begin with its calling code.

    Matrix writes numbers with the calling code and without a plus, so people copy them in that form. If both readings are
    numbers, the mobile one is meant, because contacts get SMS.
    """
    calling_code = phonenumbers.country_code_for_region(country)
    if not calling_code:
        # For an unknown country, assume the most common international prefix, two zeros.
        abroad = digits.startswith(_INTERNATIONAL_PREFIX)
        return _read("+" + digits.removeprefix(_INTERNATIONAL_PREFIX), None) if abroad else None
    # In some countries a carrier's digit may follow the prefix and looks like a calling code, so try the plain prefix first.
    prefix = _usual_international_prefix(country)
    national = _read("+" + digits.removeprefix(prefix), None) if prefix and digits.startswith(prefix) else None
    national = national or _read(digits, country)
    if not digits.startswith(str(calling_code)):
        return national
    return _meant(national, _read("+" + digits, None))


def _meant(
    national: phonenumbers.PhoneNumber | None, international: phonenumbers.PhoneNumber | None
) -> phonenumbers.PhoneNumber | None:
    """The more likely one of two readings of the same digits. Raises AmbiguousNumber if both are mobile numbers."""
    if national is None or international is None or national == international:
        return national or international
    if not _is_mobile(international):
        return national
    if _is_mobile(national):
        raise AmbiguousNumber
    return international


def _read(text: str, country: str | None) -> phonenumbers.PhoneNumber | None:
    """The number in `text`, or None if it is not valid."""
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) or _is_fictional(number) else None


def _is_fictional(number: phonenumbers.PhoneNumber) -> bool:
    return bool(_FICTIONAL.fullmatch(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)))


def _is_mobile(number: phonenumbers.PhoneNumber) -> bool:
    return phonenumbers.number_type(number) in _MOBILE or _is_fictional(number)


def _usual_international_prefix(country: str) -> str:
    """The digits that are usually dialled in `country` before a calling code; '' if none are usual or known."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(country, None)
    if metadata is None:
        return ""
    if metadata.preferred_international_prefix:
        return _NOT_A_DIGIT.sub("", metadata.preferred_international_prefix)
    # In countries where a carrier's digit may follow 00, 00 alone works as well (Bolivia).
    is_dialled = re.fullmatch(metadata.international_prefix or "", _INTERNATIONAL_PREFIX)
    return _INTERNATIONAL_PREFIX if is_dialled else ""


def _plain(character: str) -> str:
    """The ASCII form of a digit, full-width plus, space or dash of any script. Other characters stay unchanged."""
    if character.isascii():
        return character
    if character == "\N{FULLWIDTH PLUS SIGN}":
        return "+"
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.digit(character))
    return {"Zs": " ", "Pd": "-"}.get(category, character)


def parse_email(text: str) -> Email:
    """The email address in `text`. Raises InvalidAddress."""
    if len(text) > _MAX_ADDRESS * 4:
        raise InvalidAddress("too long")
    local, at, domain = trim(text).rpartition("@")
    if not at:
        raise InvalidAddress("not an email address")
    # Mail programs decode `=?…?=` even where it is not allowed, so the header would show another mailbox.
    if len(local) > _MAX_LOCAL or not _LOCAL.fullmatch(local) or _ENCODED_WORD.search(local):
        raise InvalidAddress("not a local part that we take")
    ascii_domain = _ascii_domain(domain)
    address = f"{local}@{ascii_domain}"
    if len(address) > _MAX_ADDRESS:
        raise InvalidAddress("too long")
    return Email(address, f"{local.casefold()}@{ascii_domain}", ascii_domain)


@lru_cache(4096)
def _ascii_domain(domain: str) -> str:
    """The domain in A-labels, in lower case. Most addresses are of a few domains."""
    try:
        encoded = domain.lower() if domain.isascii() else _a_labels(domain)
    except (idna.IDNAError, UnicodeError):
        raise InvalidAddress("not a domain") from None
    labels = encoded.split(".")
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004
        raise InvalidAddress("not a domain")
    # Some resolvers read a name that ends in a number, even a hexadecimal one, as an IPv4 address.
    if _NUMBER.fullmatch(labels[-1]):
        raise InvalidAddress("not a domain")
    return encoded


def _a_labels(domain: str) -> str:
    # The UTS #46 mapping silently drops invisible characters. Nobody types these, so such a domain is a deception.
    if not all(idna.uts46_remap(character) for character in domain):
        raise InvalidAddress("not a domain")
    return idna.encode(domain, uts46=True).decode("ascii")


def mask(address: str) -> str:
    """An address, masked for logs and notices: `a***@example.org`, `+4917***21`. A short number is hidden completely."""
    local, at, domain = address.rpartition("@")
    if at:
        return f"{local[:1]}***@{domain}"
    return f"{address[:5]}***{address[-2:]}" if len(address) >= _MIN_MASKED else "***"


def domain_matches(domain: str, patterns: Iterable[str]) -> bool:
    """Does `domain` equal one of `patterns` or, for a pattern like `*.example.org`, lie below it?"""
    for pattern in patterns:
        lowered = pattern.lower()
        if domain == lowered or (lowered.startswith("*.") and domain.endswith(lowered[1:])):
            return True
    return False
