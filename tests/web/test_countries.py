"""Countries to choose."""

import phonenumbers
import pytest

from threepid.i18n import catalogues
from threepid.web.countries import Country, choices


@pytest.mark.parametrize("language", catalogues.languages())
def test_every_country_with_phone_numbers_has_a_name(language: str) -> None:
    found = choices(phonenumbers.SUPPORTED_REGIONS, language)
    assert {country.code for country in found} == set(phonenumbers.SUPPORTED_REGIONS)
    assert len({country.name for country in found}) == len(found)
    assert all(country.name != country.code for country in found)


def test_choices_are_sorted_by_name_and_unknown_codes_are_left_out() -> None:
    assert choices(["GB", "XX", "DE"], "en") == [
        Country("DE", "Germany", "+49"),
        Country("GB", "United Kingdom", "+44"),
    ]


def test_names_are_those_of_the_language_and_an_accent_does_not_move_them() -> None:
    assert [country.name for country in choices(["PL", "AT", "NL"], "de")] == ["Niederlande", "Österreich", "Polen"]
