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
_PHONE: Final = re.compile(r"\+?\(?[0-9][0-9 ().\-/~]*")
"""Some countries write the wait for a second dialling tone as a tilde: `8~10`."""
_NOT_A_DIGIT: Final = re.compile(r"[^0-9]+")
_MAX_PHONE: Final = 40
_MAX_UNTRIMMED: Final = 1000
_FICTIONAL: Final = re.compile(r"\+447700900[0-9]{3}")
"""Numbers that Ofcom keeps for stories: the specification's examples are of these, and people try servers with them.

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
            0x1680,  # the blanks of other scripts and of typesetting
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
"""Blanks and invisible marks that are pasted along with an address. Line ends and other controls are not among them."""
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


class AmbiguousNumber(InvalidAddress):
    """Two mobile numbers could be meant: one in the country, one with the calling code of that country in front."""

    def __init__(self) -> None:
        super().__init__(
            "This number can be read in two ways. Enter it with a plus sign and the country code in front."
        )


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


def trim(text: str) -> str:
    """`text` without the blanks and invisible marks at its ends that people cannot see and did not mean."""
    return text.strip(_BLANK)


def parse_phone(text: str, country: str | None = None) -> Phone:
    """The number in `text`: international, or as dialled in `country` (ISO code). Raises InvalidAddress, AmbiguousNumber.

    Without a country, a number without plus is an international one, as Matrix writes them. Digits of other scripts are
    digits; letters, extensions and parameters are rejected.
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
    """The number that somebody in `country` reaches with `digits`, or that they stand for with its calling code in front.

    Matrix writes numbers with the calling code and without a plus, so people copy them like that. Where both readings are
    numbers, the mobile one is meant, because addresses are there to be texted.
    """
    calling_code = phonenumbers.country_code_for_region(country)
    if not calling_code:
        # Where nobody knows what is dialled, two zeros are the plus that they are nearly everywhere.
        abroad = digits.startswith(_INTERNATIONAL_PREFIX)
        return _read("+" + digits.removeprefix(_INTERNATIONAL_PREFIX), None) if abroad else None
    # In some countries a digit of a carrier may follow the prefix, and calling codes look like that: the plain prefix first.
    prefix = _usual_international_prefix(country)
    national = _read("+" + digits.removeprefix(prefix), None) if prefix and digits.startswith(prefix) else None
    national = national or _read(digits, country)
    if not digits.startswith(str(calling_code)):
        return national
    return _meant(national, _read("+" + digits, None))


def _meant(
    national: phonenumbers.PhoneNumber | None, international: phonenumbers.PhoneNumber | None
) -> phonenumbers.PhoneNumber | None:
    """Which of two readings of the same digits is meant. Raises AmbiguousNumber if it could be either."""
    if national is None or international is None or national == international:
        return national or international
    if not _is_mobile(international):
        return national
    if _is_mobile(national):
        raise AmbiguousNumber
    return international


def _read(text: str, country: str | None) -> phonenumbers.PhoneNumber | None:
    """The valid number in `text`, if it is one."""
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
    """The digits that are usually dialled in `country` before a calling code; '' where none is usual or known."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(country, None)
    if metadata is None:
        return ""
    if metadata.preferred_international_prefix:
        return _NOT_A_DIGIT.sub("", metadata.preferred_international_prefix)
    # Where a carrier's digit may follow 00, 00 alone is dialled as well (Bolivia).
    is_dialled = re.fullmatch(metadata.international_prefix or "", _INTERNATIONAL_PREFIX)
    return _INTERNATIONAL_PREFIX if is_dialled else ""


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
    if len(text) > _MAX_ADDRESS * 4:
        raise InvalidAddress("too long")
    local, at, domain = trim(text).rpartition("@")
    if not at:
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
        encoded = domain.lower() if domain.isascii() else _a_labels(domain)
    except (idna.IDNAError, UnicodeError):
        raise InvalidAddress("not a domain") from None
    labels = encoded.split(".")
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004
        raise InvalidAddress("not a domain")
    # Some resolvers read a name that ends in a number, also a hexadecimal one, as an IPv4 address.
    if _NUMBER.fullmatch(labels[-1]):
        raise InvalidAddress("not a domain")
    return encoded


def _a_labels(domain: str) -> str:
    # The mapping silently drops invisible characters. Nobody types them, so such a domain is not what it looks like.
    if not all(idna.uts46_remap(character) for character in domain):
        raise InvalidAddress("not a domain")
    return idna.encode(domain, uts46=True).decode("ascii")


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
