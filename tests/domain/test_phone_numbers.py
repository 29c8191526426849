"""Numbers as people dial and copy them, in every country that phonenumbers knows.

`A76`: a number that is read as another one is somebody else's phone.
"""

from collections.abc import Iterator

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from threepid.domain.addresses import AmbiguousNumber, InvalidAddress, _meant, parse_phone

EXAMPLES = [
    (region, kind, number)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
    if (number := phonenumbers.example_number_for_type(region, kind)) is not None
]
MOBILE = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


def e164(number: phonenumbers.PhoneNumber) -> str:
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))


def in_all_formats(region: str, number: phonenumbers.PhoneNumber) -> Iterator[tuple[str, str | None]]:
    """The spellings of a number at home, with the country that a client would send."""
    plain = e164(number)
    international = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    yield plain, None
    yield plain, region
    yield plain, "ZZ"
    yield international, None
    yield international, region
    yield plain.removeprefix("+"), None
    yield "00" + plain.removeprefix("+"), None
    yield phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL), region
    yield phonenumbers.national_significant_number(number), region


def digits(text: str | None) -> str:
    return "".join(character for character in text or "" if character.isdigit())


def test_there_is_an_example_of_nearly_every_country() -> None:
    assert len({region for region, _, _ in EXAMPLES}) >= 240
    assert len(EXAMPLES) >= 480


def test_the_example_of_every_country_is_itself_in_all_formats() -> None:
    for region, _, number in EXAMPLES:
        for text, country in in_all_formats(region, number):
            assert parse_phone(text, country).address == e164(number), (text, country)


@pytest.mark.parametrize("home", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_a_number_is_read_as_dialled_from(home: str) -> None:
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(home, None)
    assert metadata is not None
    prefix = digits(metadata.preferred_international_prefix)
    if not prefix and (metadata.international_prefix or "").isdigit():
        prefix = str(metadata.international_prefix)
    for _, _, number in EXAMPLES[:: 1 if home in ("SG", "AU", "HK", "RU", "US") else 7]:
        if number.country_code == phonenumbers.country_code_for_region(home):
            continue
        spellings = [phonenumbers.format_out_of_country_calling_number(number, home)]
        if prefix:
            spellings.append(prefix + e164(number).removeprefix("+"))
        for text in spellings:
            assert parse_phone(text, home).address == e164(number), text


@pytest.mark.parametrize("home", ["US", "AU", "SG", "RU", "JP", "CU", "KE", "NG"])
def test_two_zeros_are_never_a_plus_where_they_are_not_dialled(home: str) -> None:
    for _, _, number in EXAMPLES:
        try:
            found = parse_phone("00" + e164(number).removeprefix("+"), home).address
        except InvalidAddress:
            continue
        # Where "00" and a digit are the prefix, another number may stand behind it. It is what would be dialled.
        dialled = phonenumbers.parse("00" + e164(number).removeprefix("+"), home)
        assert found == e164(dialled)


@pytest.mark.parametrize(
    ("country", "text", "expected"),
    [
        ("SG", "001 65 8123 4567", "+6581234567"),
        ("SG", "8123 4567", "+6581234567"),
        ("AU", "0011 61 412 345 678", "+61412345678"),
        ("AU", "0011 49 1516 6374524", "+4915166374524"),
        ("RU", "8~10 49 1516 6374524", "+4915166374524"),
        ("RU", "8 (10) 49 1516 6374524", "+4915166374524"),
        ("US", "011 49 1516 6374524", "+4915166374524"),
        ("HK", "001 49 1516 6374524", "+4915166374524"),
        ("HK", "00 49 1516 6374524", "+4915166374524"),
        ("BO", "00 1 201 555 0123", "+12015550123"),
        ("BO", "0010 49 1516 6374524", "+4915166374524"),
        ("GB", " " * 100 + "07700 900123", "+447700900123"),
        ("DE", "4915166374524", "+4915166374524"),
        ("DE", "49 1516 6374524", "+4915166374524"),
        ("DE", "015166374524", "+4915166374524"),
        ("DE", "0491 12345", "+4949112345"),
        ("IT", "393 123 4567", "+393931234567"),
        ("IT", "39 393 123 4567", "+393931234567"),
        ("GB", "44 7700 900123", "+447700900123"),
        ("GB", "07700 900123", "+447700900123"),
        ("US", "1 201 555 0123", "+12015550123"),
    ],
)
def test_what_people_type_is_the_number_that_they_mean(country: str, text: str, expected: str) -> None:
    assert parse_phone(text, country).address == expected


@pytest.mark.parametrize(
    ("country", "text"), [("US", "001 65 8123 4567"), ("JP", "0044 7400 123456"), ("SG", "0065 8123 4567")]
)
def test_a_prefix_that_is_not_dialled_there_is_rejected(country: str, text: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_phone(text, country)


def test_a_calling_code_without_a_plus_wins_only_for_a_mobile_number_that_is_no_mobile_at_home() -> None:
    kept_national = []
    for region, _, number in EXAMPLES:
        text = e164(number).removeprefix("+")
        found = parse_phone(text, region).address
        if found == e164(number):
            continue
        national = phonenumbers.parse(f"+{number.country_code}{text}")
        assert phonenumbers.is_valid_number(national)
        assert found == e164(national)
        assert phonenumbers.number_type(national) in MOBILE or phonenumbers.number_type(number) not in MOBILE
        kept_national.append(region)
    assert len(kept_national) < 10


def test_two_mobile_numbers_are_not_told_apart_by_guessing() -> None:
    """No country has such numbers today, so the rule is asked by itself."""
    one, other = phonenumbers.parse("+4915166374524"), phonenumbers.parse("+4915166374525")
    with pytest.raises(AmbiguousNumber, match="plus sign and the country code"):
        _meant(one, other)
    assert _meant(one, one) == one
    assert _meant(None, other) == other
    assert _meant(one, None) == one
    landline = phonenumbers.parse("+4930123456")
    assert _meant(one, landline) == one
    assert _meant(landline, one) == one
