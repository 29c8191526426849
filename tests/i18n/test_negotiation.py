"""What browsers say of languages, and which of ours suits."""

import pytest

from threepid.i18n.negotiation import best, country, likely_country, wanted


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        (None, ()),
        ("", ()),
        ("*", ()),
        ("de", ("de",)),
        ("de-AT,de;q=0.9,en;q=0.5", ("de-at", "de", "en")),
        ("en;q=0.5, fr ; q = 0.8 ,it", ("it", "fr", "en")),
        ("en;q=0,fr;q=x,it;level=1", ("it",)),
        ("en;q=nan,fr;q=inf,de;q=-1", ("fr",)),
        (";;;,,,q=1,<script>,d\u00e9", ()),
        ("x" * 36, ()),
        ("a," * 100_000, ("a",) * 250),
    ],
)
def test_tags_are_read_by_their_rank(header: str | None, tags: tuple[str, ...]) -> None:
    assert wanted(header) == tags


@pytest.mark.parametrize(
    ("wishes", "available", "found"),
    [
        (("de-at", "fr"), ["en", "de", "fr"], "de"),
        (("pt-br",), ["pt-PT", "pt-BR"], "pt-BR"),
        (("pt-ao",), ["en", "pt-PT", "pt-BR"], "pt-PT"),
        (("pt",), ["pt-BR", "en"], "pt-BR"),
        (("ja",), ["fr", "en-GB"], "en-GB"),
        (("ja",), ["fr", "de"], "fr"),
        ((), ["fr", "en"], "en"),
    ],
)
def test_the_closest_language_is_chosen(wishes: tuple[str, ...], available: list[str], found: str) -> None:
    assert best(wishes, available) == found


def test_the_country_is_the_first_that_a_wish_names() -> None:
    assert country(("en", "zh-hant-tw", "de-at"), ["AT", "TW"]) == "TW"
    assert country(("en",), ["AT"]) is None


def test_a_language_without_a_country_suggests_where_most_people_speak_it() -> None:
    assert likely_country(("de", "ar"), ["AT", "DE", "EG"]) == "DE"
    assert likely_country(("de", "en-gb"), ["DE", "GB"]) == "GB"
    assert likely_country(("zh-hans", "xx", "eo", "-"), ["CN"]) == "CN"
    assert likely_country(("de", "xx"), ["FR"]) is None
