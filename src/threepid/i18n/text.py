"""Sentences that are translated when they are shown: only then is the reader's language known."""

from copy import copy
from typing import Final, TypeAlias

from babel.units import format_unit
from msgspec import Struct

from threepid.clock import DAY, HOUR, MINUTE, SECOND
from threepid.i18n.catalogues import DEFAULT_LANGUAGE, OURS, Catalogue, Catalogues, locale

_UNITS: Final = (("duration-second", SECOND, 59), ("duration-minute", MINUTE, 59), ("duration-hour", HOUR, 23))
"""Babel's name of each unit, its length in milliseconds, and the largest number of it that is shown."""


class Duration(Struct, frozen=True):
    """A waiting time for people to read, rounded up: "40 seconds", "15 minutes", "1 hour"."""

    milliseconds: int

    def in_language(self, language: str) -> str:
        """The duration in the largest suitable unit, rounded up."""
        for unit, size, most in _UNITS:
            if (count := max(1, -(-self.milliseconds // size))) <= most:
                return _in_units(count, unit, language)
        return _in_units(-(-self.milliseconds // DAY), "duration-day", language)


class Text:
    """A sentence: its English message ID with placeholders such as `%(name)s`, and their values.

    Without values, the sentence is not formatted: a percent sign stays a percent sign.
    """

    __slots__ = ("msgid", "values")

    def __init__(self, msgid: str, /, **values: "Value") -> None:
        """`values` replace the placeholders of `msgid`."""
        self.msgid = msgid
        self.values = values

    def __str__(self) -> str:
        """The sentence in English."""
        return self.in_language(DEFAULT_LANGUAGE)

    def __repr__(self) -> str:
        """The message ID without its values, which may include an address."""
        return f"{type(self).__name__}({self.msgid!r})"

    def in_language(self, language: str, catalogues: Catalogues = OURS) -> str:
        """The sentence in `language`, or in English if there is no translation."""
        translated = self._translated(catalogues.catalogue(language))
        if not self.values:
            return translated
        return translated % {name: _shown(value, language, catalogues) for name, value in self.values.items()}

    def having(self, **values: "Value") -> "Text":
        """The same sentence with further values."""
        same = copy(self)
        same.values = {**self.values, **values}
        return same

    def _translated(self, translations: Catalogue) -> str:
        return translations.gettext(self.msgid)


Value: TypeAlias = str | int | Text | Duration
"""What can be put into a sentence."""


class Verbatim(Text):
    """A sentence without a translation, such as an error message of another server."""

    __slots__ = ()

    def in_language(self, _language: str, _catalogues: Catalogues = OURS) -> str:
        """The sentence, unchanged."""
        return self.msgid

    def having(self, **_values: "Value") -> Text:
        """The sentence, unchanged: it has no placeholders."""
        return self


class _Counted(Text):
    """A sentence with singular and plural forms."""

    __slots__ = ("count", "plural")

    def __init__(self, msgid: str, plural: str, count: int, **values: Value) -> None:
        super().__init__(msgid, count=count, **values)
        self.plural = plural
        self.count = count

    def _translated(self, translations: Catalogue) -> str:
        return translations.ngettext(self.msgid, self.plural, self.count)


def counted(singular: str, plural: str, /, count: int, **values: Value) -> Text:
    """A sentence in the grammatical number of `count`, which it contains as `%(count)s`."""
    return _Counted(singular, plural, count, **values)


def _shown(value: Value, language: str, catalogues: Catalogues) -> str:
    if isinstance(value, Text):
        return value.in_language(language, catalogues)
    return value.in_language(language) if isinstance(value, Duration) else str(value)


def _in_units(count: int, unit: str, language: str) -> str:
    return format_unit(count, unit, length="long", locale=locale(language))
