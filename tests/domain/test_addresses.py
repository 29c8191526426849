"""One grammar and one canonical form; hostile texts are in tests/attacks/test_A15 and test_A16."""

import unicodedata

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.phone_spellings import CANONICAL, INTERNATIONAL, NATIONAL, REFUSED
from threepid.domain.addresses import (
    Email,
    InvalidAddress,
    Phone,
    canonical_form,
    domain_matches,
    mask,
    parse_address,
    parse_email,
    parse_phone,
)


def test_the_local_part_keeps_its_spelling_and_the_domain_becomes_lower_case_a_labels() -> None:
    assert parse_email("Alice.B+tag@BÜCHER.Example") == Email(
        address="Alice.B+tag@xn--bcher-kva.example",
        canonical="alice.b+tag@xn--bcher-kva.example",
        domain="xn--bcher-kva.example",
    )


def test_dots_and_tags_make_different_addresses() -> None:
    texts = ["ab@c.example", "a.b@c.example", "ab+x@c.example"]
    assert len({parse_email(text).canonical for text in texts}) == 3


@pytest.mark.parametrize("domain", ["b.test", "b.example", "b.invalid", "b.localhost", "a-b.c-d.internal", "x.中国"])
def test_names_of_private_networks_and_of_tests_are_domains(domain: str) -> None:
    assert parse_email(f"a@{domain}").domain.endswith(domain.replace("中国", "xn--fiqs8s"))


@pytest.mark.parametrize("domain", ["localhost", "b", "example", "中国"])
def test_a_single_label_is_no_domain(domain: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_email(f"a@{domain}")


@pytest.mark.parametrize(
    "domain",
    [
        "1.2.3.4",
        "b.1",
        "1.2.3.0x4",
        "127.0.0.0x1",
        "b.0X7F",
        "b.0x",
        "0x7f.1",
        "b.\N{FULLWIDTH DIGIT FOUR}",
        "1.2.3.\N{SUPERSCRIPT TWO}",
    ],
)
def test_what_a_resolver_could_read_as_an_ip_address_is_no_domain(domain: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_email(f"a@{domain}")


@pytest.mark.parametrize("domain", ["b.1a", "1.b", "0x7f.b", "b.x0", "b.0xg"])
def test_a_number_before_the_end_is_a_label_like_others(domain: str) -> None:
    assert parse_email(f"a@{domain}").domain == domain


def test_the_limits_are_exact() -> None:
    local, label = "l" * 64, "d" * 63
    assert parse_email(f"{local}@{label}.example").address == f"{local}@{label}.example"
    whole = f"{local}@{label}.{label}.{'e' * 61}"
    assert len(whole) == 254
    assert parse_email(whole).address == whole
    for text in (f"{local}l@b.example", f"a@{label}d.example", f"{whole}e"):
        with pytest.raises(InvalidAddress):
            parse_email(text)


def test_a_domain_is_measured_as_it_is_sent() -> None:
    # 4 x 50 letters fit; the A-label of each has four more.
    domain = ".".join(["é" * 50] * 4) + ".b" + "c" * 40
    assert len(f"a@{domain}") <= 254
    with pytest.raises(InvalidAddress):
        parse_email(f"a@{domain}")


def test_the_error_does_not_repeat_the_address() -> None:
    with pytest.raises(InvalidAddress) as caught:
        parse_email("alice in@wonderland.example")
    assert "alice" not in str(caught.value)
    assert "wonderland" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("alice@example.org", "a***@example.org"),
        ("a@example.org", "a***@example.org"),
        ("+4917612345621", "+4917***21"),
        ("4917612345", "49176***45"),
        ("491761234", "***"),
        ("123", "***"),
        ("", "***"),
    ],
)
def test_a_log_shows_the_domain_or_the_two_ends_of_a_number(address: str, masked: str) -> None:
    assert mask(address) == masked


@pytest.mark.parametrize(
    ("domain", "patterns", "answer"),
    [
        ("example.org", ["example.org"], True),
        ("example.org", ["EXAMPLE.org"], True),
        ("a.example.org", ["*.Example.org"], True),
        ("a.b.example.org", ["*.example.org"], True),
        ("example.org", ["*.example.org"], False),
        ("a.example.org", ["example.org"], False),
        ("notexample.org", ["*.example.org"], False),
        ("notexample.org", ["*example.org"], False),
        ("example.org.evil.example", ["example.org", "*.example.org"], False),
        ("example.org", ["other.org", "example.org"], True),
        ("example.org", [], False),
    ],
)
def test_a_pattern_is_a_domain_or_all_below_it(domain: str, patterns: list[str], answer: bool) -> None:
    assert domain_matches(domain, patterns) is answer


# -- phone numbers


def example(region: str, kind: int) -> str:
    number = phonenumbers.example_number_for_type(region, kind)
    assert number is not None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def test_there_are_forty_spellings_of_one_number() -> None:
    assert len(set(INTERNATIONAL + NATIONAL)) >= 40


@pytest.mark.parametrize("text", INTERNATIONAL)
def test_an_international_spelling_is_the_same_number_with_and_without_its_country(text: str) -> None:
    expected = Phone(f"+{CANONICAL}", CANONICAL, "GB", texted=True)
    assert parse_phone(text) == parse_phone(text, "GB") == expected


def begins_with_zeros(text: str) -> bool:
    return [unicodedata.digit(character) for character in text if character.isdigit()][:2] == [0, 0]


@pytest.mark.parametrize(
    "text", [text for text in INTERNATIONAL if "+" in unicodedata.normalize("NFKC", text) or begins_with_zeros(text)]
)
@pytest.mark.parametrize("country", ["US", "DE", "JP", "SG", "ZZ"])
def test_a_plus_counts_more_than_the_country_and_two_zeros_only_where_they_are_dialled(text: str, country: str) -> None:
    if begins_with_zeros(text) and country in ("US", "JP", "SG"):
        with pytest.raises(InvalidAddress):
            parse_phone(text, country)
    else:
        assert parse_phone(text, country).canonical == CANONICAL


@pytest.mark.parametrize("text", NATIONAL)
def test_a_national_spelling_needs_its_country(text: str) -> None:
    assert parse_phone(text, "GB").canonical == CANONICAL
    for country in (None, "ZZ"):
        with pytest.raises(InvalidAddress):
            parse_phone(text, country)


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_plain_number_is_refused_with_and_without_a_country(text: str) -> None:
    for country in (None, "GB"):
        with pytest.raises(InvalidAddress):
            parse_phone(text, country)


@pytest.mark.parametrize("country", ["", "G", "GBR", "gb", "G1", "GB ", "\N{FULLWIDTH LATIN CAPITAL LETTER G}B"])
def test_a_country_is_two_capitals(country: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_phone(f"+{CANONICAL}", country)


@pytest.mark.parametrize("kind", ["PREMIUM_RATE", "SHARED_COST", "PERSONAL_NUMBER", "TOLL_FREE", "PAGER", "UAN"])
def test_numbers_that_cost_more_or_nobody_carries_are_not_texted(kind: str) -> None:
    number = getattr(phonenumbers.PhoneNumberType, kind)
    found = [
        parse_phone(example(region, number))
        for region in ("GB", "DE", "AT", "US", "FR", "IT", "NL")
        if phonenumbers.example_number_for_type(region, number) is not None
    ]
    assert found
    assert not any(phone.texted for phone in found)


@pytest.mark.parametrize("region", ["GB", "DE", "AT", "US", "FR", "IT", "JP", "BR", "IN"])
def test_mobile_numbers_are_texted(region: str) -> None:
    phone = parse_phone(example(region, phonenumbers.PhoneNumberType.MOBILE))
    assert (phone.region, phone.texted) == (region, True)


@pytest.mark.parametrize("code", [800, 808, 870, 878, 881, 882, 883, 888, 979])
def test_numbers_of_no_country_have_no_region_whatever_country_is_said(code: int) -> None:
    number = phonenumbers.example_number_for_non_geo_entity(code)
    assert number is not None
    text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    assert parse_phone(text, "GB").region == parse_phone(text).region == ""


@pytest.mark.parametrize(
    ("text", "region"),
    [("+441481960194", "GG"), ("+447797712345", "JE"), ("+441624756789", "IM"), ("+18762101234", "JM")],
)
def test_countries_that_share_a_code_are_told_apart(text: str, region: str) -> None:
    assert parse_phone(text, "GB").region == region


def test_the_prefix_has_seven_digits() -> None:
    assert parse_phone(f"+{CANONICAL}").prefix == "4474001"


REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)


@settings(max_examples=1000)
@given(st.sampled_from(REGIONS), st.integers(min_value=0, max_value=10**10 - 1), st.integers(4, 10))
def test_parsing_what_was_parsed_changes_nothing(region: str, digits: int, length: int) -> None:
    try:
        phone = parse_phone(str(digits).zfill(10)[:length], region)
    except InvalidAddress:
        return
    assert parse_phone(phone.address) == phone
    assert parse_phone(phone.canonical) == phone
    assert parse_phone(phone.address, region) == phone
    assert phone.address == f"+{phone.canonical}"
    assert phone.canonical.isdecimal()
    assert phone.canonical.isascii()


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("form", ["E164", "INTERNATIONAL", "NATIONAL"])
def test_every_countrys_own_way_of_writing_is_the_same_number(region: str, form: str) -> None:
    number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    if number is None:
        number = phonenumbers.example_number(region)
    assert number is not None
    text = phonenumbers.format_number(number, getattr(phonenumbers.PhoneNumberFormat, form))
    phone = parse_phone(text, region)
    assert phone.address == phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    assert parse_phone(phone.canonical) == phone


@given(st.text(max_size=60), st.sampled_from([None, "GB", "DE", "US", "ZZ"]))
def test_any_text_is_a_number_or_refused(text: str, country: str | None) -> None:
    try:
        phone = parse_phone(text, country)
    except InvalidAddress:
        return
    assert parse_phone(phone.canonical) == phone


def test_an_address_is_of_its_medium() -> None:
    assert isinstance(parse_address("email", "a@b.example"), Email)
    assert isinstance(parse_address("msisdn", "07400 123456", "GB"), Phone)
    for medium, text in (("email", CANONICAL), ("msisdn", "a@b.example"), ("fax", CANONICAL), ("", "a@b.example")):
        with pytest.raises(InvalidAddress):
            parse_address(medium, text)


def test_the_numbers_of_the_specifications_examples_are_numbers() -> None:
    for text, country in (("07700900001", "GB"), ("+44 7700 900001", None), ("447700900001", None)):
        phone = parse_phone(text, country)
        assert (phone.canonical, phone.region, phone.texted) == ("447700900001", "GB", True)
    with pytest.raises(InvalidAddress):
        parse_phone("+4477009000011")


@settings(max_examples=300)
@given(st.sampled_from(["447700900123", "4915112345678", "390612345678", "5491123456789", "12025550123", "0044770090012"]),
       st.text(alphabet="0123456789", max_size=6))  # fmt: skip
def test_the_canonical_form_alone_is_that_of_the_whole_address(number: str, more: str) -> None:
    for text in (number, number + more, more, f"+{number}", "Alice@Example.com", more + "@example.com"):
        for medium in ("msisdn", "email", "other"):
            try:
                expected = parse_address(medium, text).canonical
            except InvalidAddress:
                with pytest.raises(InvalidAddress):
                    canonical_form(medium, text)
            else:
                assert canonical_form(medium, text) == expected
