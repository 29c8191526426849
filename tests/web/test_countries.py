"""Countries to choose."""

import phonenumbers

from threepid.web.countries import NAMES, Country, choices


def test_every_country_with_phone_numbers_has_a_name() -> None:
    assert NAMES.keys() == set(phonenumbers.SUPPORTED_REGIONS)
    assert len(set(NAMES.values())) == len(NAMES)


def test_choices_are_sorted_by_name_and_unknown_codes_are_left_out() -> None:
    assert choices(["GB", "XX", "DE"]) == [Country("DE", "Germany", "+49"), Country("GB", "United Kingdom", "+44")]
