"""The countries with phone numbers: for the selection on a page, and for numbers where no page asks."""

import unicodedata
from collections.abc import Iterable

import phonenumbers
from msgspec import Struct

from threepid.config.sections.delivery import Sms
from threepid.i18n import negotiation
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


def at_home(languages: Iterable[str], sms: Sms | None) -> str | None:
    """The country in which a person dials a number, where no page asks for it: one that is texted, if any is likely.

    Most contacts are of such a country. Browsers name no country with many languages, or that of another language: `de, en-US`.
    """
    texted = sms.countries if sms else ()
    only = texted[0] if len(texted) == 1 else None
    wishes = tuple(languages)
    return (
        negotiation.likely_country(wishes, texted)
        or only
        or negotiation.country(wishes, phonenumbers.SUPPORTED_REGIONS)
    )


def _sorting(name: str) -> str:
    """`name` without case and accents: `Österreich` stands at O."""
    return "".join(
        letter for letter in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(letter)
    )
