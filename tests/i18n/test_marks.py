"""Marks of direction in plain text."""

import pytest

from threepid.i18n.marks import marked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("الحساب @alice:example.org.", "الحساب ^@alice:example.org."),
        ("@alice:example.org", "^@alice:example.org"),
        ("ل-@alice:example.org", "ل-^@alice:example.org"),
        ("ב-@alice:example.org", "ב-^@alice:example.org"),
        ("בוב (@bob:example.org)", "בוב (^@bob:example.org)"),
        ("الرقم +4479***23", "الرقم ^+4479***23"),
        ("الشبكة: 2001:db8:1::/56.", "الشبكة: ^2001:db8:1::/56."),
        ("الشبكة: 2001::/32", "الشبكة: ^2001::/32"),
    ],
)
def test_a_name_without_a_direction_of_its_own_is_marked(text: str, shown: str) -> None:
    assert marked(text, "ar") == shown.replace("^", "\u200e")


@pytest.mark.parametrize(
    "text",
    [
        "alice@example.org",
        "b***@example.net",
        "a+b@example.org a-@example.org",
        "https://example.org/@alice:example.org",
        "http://[2001:db8:1::1]/confirm/x",
        "042917: هذا رمزك",
        "30 نوفمبر 2026 21:44 UTC",
        "\n\n@matrix.example.org #042917",
        "192.0.2.0/24",
    ],
)
def test_what_reads_right_or_is_read_by_programs_is_not_marked(text: str) -> None:
    assert marked(text, "he") == text


def test_text_from_left_to_right_needs_no_marks() -> None:
    assert marked("the account @alice:example.org", "en") == "the account @alice:example.org"
