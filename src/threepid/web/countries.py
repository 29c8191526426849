"""The countries with phone numbers, for the selection on a page."""

import unicodedata
from collections.abc import Iterable

import phonenumbers
from msgspec import Struct

from threepid.i18n.catalogues import locale


class Country(Struct, frozen=True):
    """A country to choose: ISO code, name and calling code, such as `+49`."""

    code: str
    name: str
    prefix: str


def choices(codes: Iterable[str], language: str) -> list[Country]:
    """The countries of the ISO `codes` with their names in `language`, sorted by name. Unknown codes are ignored."""
    names = locale(language).territories
    found = [
        Country(code, names.get(code, code), f"+{phonenumbers.country_code_for_region(code)}")
        for code in codes
        if code in phonenumbers.SUPPORTED_REGIONS
    ]
    return sorted(found, key=lambda country: _sorting(country.name))


def _sorting(name: str) -> str:
    """`name` without case and accents: `Österreich` stands at O."""
    return "".join(
        letter for letter in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(letter)
    )
