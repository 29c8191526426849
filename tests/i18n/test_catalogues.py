"""The catalogues: each has every sentence, with the placeholders and tags of the English one."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Final

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from threepid.i18n import catalogues

LANGUAGES: Final = [language for language in catalogues.languages() if language != "en"]
SAME_AS_ENGLISH: Final[dict[str, set[str]]] = {
    "ar": {"HTML", "username"},
    "cs": {"HTML"},
    "de": {"Code", "HTML", "Limits", "Problem:", "Version %(version)s"},
    "es": {"HTML"},
    "fa": {"HTML"},
    "fr": {"Code", "Console", "Contact", "HTML", "Invitations", "Messages", "Version %(version)s"},
    "he": {"HTML"},
    "it": {"Account", "Console", "HTML", "Password", "Privacy"},
    "ja": {"HTML"},
    "ko": {"HTML"},
    "nl": {"Account", "Accounts", "Code", "Console", "HTML"},
    "pl": {"HTML", "Problem:"},
    "pt-BR": {"Console", "HTML"},
    "ru": {"HTML"},
    "tr": {"HTML"},
    "uk": {"HTML"},
    "zh-Hans": {"HTML"},
}
"""The sentences that are the same in a language as in English."""


@cache
def template() -> Catalog:
    with (catalogues.LOCALE / "threepid.pot").open("rb") as file:
        return read_po(file)


@cache
def catalogue(language: str) -> Catalog:
    with (catalogues.LOCALE / language / "LC_MESSAGES" / "threepid.po").open("rb") as file:
        return read_po(file, locale=catalogues.locale(language))


def sentences(language: str) -> Iterator[Message]:
    return (message for message in catalogue(language) if message.id)


def forms(message: Message) -> list[tuple[str, str]]:
    """Each translated form, with the English one that it stands for."""
    if isinstance(message.id, str):
        return [(message.id, str(message.string))]
    return [(message.id[0 if number == 0 else 1], text) for number, text in enumerate(message.string or ())]


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)s", text))


def tags(text: str) -> Counter[str]:
    return Counter(re.findall(r"<[^>]*>", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_translated(language: str) -> None:
    known = {message.id: message for message in sentences(language)}
    assert known.keys() == {message.id for message in template() if message.id}
    number = catalogue(language).num_plurals
    lacking = [
        message.id
        for message in known.values()
        if message.fuzzy
        or not all(text.strip() for _, text in forms(message))
        or (message.pluralizable and len(forms(message)) != number)
    ]
    assert lacking == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_was_left_in_english(language: str) -> None:
    same = {english for message in sentences(language) for english, text in forms(message) if english == text}
    said = {english for english in same if re.search("[A-Za-z]{2}", re.sub(r"%\(\w+\)s|<[^>]*>", "", english))}
    assert said == SAME_AS_ENGLISH.get(language, set())


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_and_tags_are_those_of_the_english_sentence(language: str) -> None:
    for message in sentences(language):
        for english, text in forms(message):
            # "One minute" and the dual of a language need no number.
            free = {"count"} if message.pluralizable else set()
            assert placeholders(text) | free == placeholders(english) | free, text
            assert tags(text) == tags(english), text
            assert "%" not in re.sub(r"%\(\w+\)s", "", text), text
            assert text == text.strip(), text
            assert "  " not in text, text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_header_has_the_plural_rule_and_asks_for_corrections(language: str) -> None:
    path = catalogues.LOCALE / language / "LC_MESSAGES" / "threepid.po"
    header = path.read_text(encoding="utf-8").partition("\n\n")[0]
    assert "This is a first translation. Corrections are welcome" in header
    assert "docs/guides/translating.md" in header
    expected = Catalog(locale=catalogues.locale(language))
    assert f"Plural-Forms: {expected.plural_forms}" in header


@pytest.mark.parametrize("language", catalogues.languages())
def test_every_language_has_its_own_name(language: str) -> None:
    name = catalogues.own_name(language)
    assert name == name[0].upper() + name[1:]
    assert (name == "English") == (language == "en")


def test_a_language_without_a_name_of_ours_gets_the_librarys() -> None:
    assert catalogues.own_name("sv") == "svenska"
