"""Language negotiation by the Accept-Language header. https://www.rfc-editor.org/rfc/rfc9110#name-accept-language."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from babel.core import get_global

from threepid.i18n.catalogues import DEFAULT_LANGUAGE

_MAX_HEADER: Final = 500
_MAX_TAG: Final = 35
_SAME: Final = {
    "iw": "he",
    "zh-cn": "zh-hans",
    "zh-sg": "zh-hans",
    "zh-hk": "zh-hant",
    "zh-mo": "zh-hant",
    "zh-tw": "zh-hant",
}
"""Tags that mean a language by its former code, or a script by the country that writes it."""


def wanted(header: str | None) -> tuple[str, ...]:
    """The language tags of an Accept-Language header in lower case, best first."""
    return _wanted((header or "")[:_MAX_HEADER])


@lru_cache(maxsize=1024)
def _wanted(header: str) -> tuple[str, ...]:
    ranked = []
    for place, part in enumerate(header.split(",")):
        tag, _, parameter = part.partition(";")
        quality = _quality(parameter)
        if quality > 0 and _is_tag(tag.strip()):
            ranked.append((-quality, place, tag.strip().lower()))
    return tuple(tag for _, _, tag in sorted(ranked))


def best(wishes: Iterable[str], available: Sequence[str]) -> str:
    """The tag in `available` (not empty) that fits the first wish that any tag fits; else English, else the first tag."""
    return _best(tuple(wishes), tuple(available))


@lru_cache(maxsize=1024)
def _best(wishes: tuple[str, ...], available: tuple[str, ...]) -> str:
    by_tag, by_language = _index(available)
    for wish in (*wishes, DEFAULT_LANGUAGE):
        known = [_SAME.get(tag, tag) for tag in _widening(wish.lower())]
        found = next(filter(None, map(by_tag.get, known)), None) or by_language.get(known[-1])
        if found:
            return found
    return available[0]


def country(wishes: Iterable[str], available: Iterable[str]) -> str | None:
    """The first country code in `available` that a wish names, as `de-AT` names `AT`."""
    codes = set(available)
    named = (part.upper() for wish in wishes for part in wish.split("-")[1:])
    return next((code for code in named if code in codes), None)


def likely_country(wishes: Iterable[str], available: Iterable[str]) -> str | None:
    """The code in `available` to preselect: a country that a wish names, else where most people speak a wish, as `de` in `DE`."""
    codes = tuple(available)
    likely = get_global("likely_subtags")
    spoken = (likely.get(wish.split("-")[0], "").rpartition("_")[2] for wish in wishes)
    return country(wishes, codes) or next((code for code in spoken if code in codes), None)


@lru_cache(maxsize=16)
def _index(available: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """The tags by tag and by language; of two of the same language, the first."""
    return (
        {tag.lower(): tag for tag in reversed(available)},
        {tag.lower().partition("-")[0]: tag for tag in reversed(available)},
    )


def _widening(tag: str) -> list[str]:
    """`tag` and its more general tags: `zh-hant-tw`, `zh-hant`, `zh`."""
    parts = tag.split("-")
    return ["-".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _is_tag(text: str) -> bool:
    return text.isascii() and 0 < len(text) <= _MAX_TAG and text.replace("-", "").isalnum()


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0
