"""The translations: gettext catalogues in `i18n/locale/<language>/LC_MESSAGES/threepid.po`.

English has no catalogue, because the message IDs are the English sentences.
"""

import gettext
import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

from babel import Locale, UnknownLocaleError
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

DEFAULT_LANGUAGE: Final = "en"
LOCALE: Final = Path(__file__).parent / "locale"
"""The folder of the catalogues."""
DOMAIN: Final = "threepid"

Catalogue: TypeAlias = gettext.NullTranslations

_NAMES: Final[Mapping[str, str]] = {
    "ar": "العربية",
    "cs": "Čeština",
    "de": "Deutsch",
    "en": "English",
    "es": "Español",
    "fa": "فارسی",
    "fr": "Français",
    "he": "עברית",
    "it": "Italiano",
    "ja": "日本語",
    "ko": "한국어",
    "nl": "Nederlands",
    "pl": "Polski",
    "pt-BR": "Português (Brasil)",
    "ru": "Русский",
    "tr": "Türkçe",
    "uk": "Українська",
    "zh-Hans": "简体中文",
}
"""The languages' own names. Babel has them, too, but would load the data of every language to name it."""


@cache
def locale(language: str) -> Locale:
    """Babel's locale of `language`; English if Babel does not know it."""
    try:
        return Locale.parse(language, sep="-")
    except (UnknownLocaleError, ValueError):
        return Locale(DEFAULT_LANGUAGE)


class Catalogues:
    """The catalogues of a folder."""

    def __init__(self, folder: Path) -> None:
        """Read them when they are first needed."""
        self._folder = folder
        self.languages = cache(self._languages)
        """The languages with sentences, as BCP 47 tags: English, then the others in alphabetical order."""
        self.catalogue = cache(self._catalogue)
        """The catalogue of one of `languages()`; English for any other language."""

    def _languages(self) -> tuple[str, ...]:
        others = (path.parent.parent.name for path in self._folder.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))
        return (DEFAULT_LANGUAGE, *sorted(others))

    def _catalogue(self, language: str) -> Catalogue:
        if language == DEFAULT_LANGUAGE or language not in self.languages():
            return gettext.NullTranslations()
        compiled = io.BytesIO()
        with (self._folder / language / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as file:
            write_mo(compiled, read_po(file, locale=locale(language)))
        compiled.seek(0)
        return gettext.GNUTranslations(compiled)


OURS: Final = Catalogues(LOCALE)
"""The catalogues of this program."""


def languages() -> tuple[str, ...]:
    """The languages of `OURS`."""
    return OURS.languages()


def own_name(language: str) -> str:
    """The name of a language in itself, such as `Deutsch`."""
    return _NAMES.get(language) or locale(language).get_display_name() or language


def direction(language: str) -> str:
    """The value of HTML's `dir`: `rtl` for languages written from right to left, else `ltr`."""
    return locale(language).text_direction
