"""One grammar and one canonical form; hostile texts are in tests/attacks/test_A15 and test_A16."""

import pytest

from threepid.domain.addresses import Email, InvalidAddress, domain_matches, mask, parse_email


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
