"""Sentences in Jinja templates: `{% trans %}…{% endtrans %}`.

A template is compiled once for each language, with the sentences of that language in it: rendering looks nothing up.
"""

import re
from collections.abc import Callable, MutableMapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from types import CodeType
from typing import Any, Final, cast

import jinja2
from babel.dates import format_date
from jinja2 import nodes
from jinja2.bccache import Bucket
from jinja2.ext import InternationalizationExtension
from markupsafe import Markup

from threepid.clock import DAY, SECOND
from threepid.i18n.catalogues import DEFAULT_LANGUAGE, OURS, Catalogues, direction, locale
from threepid.i18n.text import Duration, Text

LANGUAGE: Final = "language"
"""The variable of every template that has the tag of its language; `direction` beside it is `ltr` or `rtl`."""
_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")


class Environment(jinja2.Environment):
    """An environment whose templates have its variables in one dict. All must be set before the first template is loaded.

    Each rendering copies them, and a copy of the `ChainMap` that Jinja makes takes ten times as long.
    """

    def __init__(self, folders: Sequence[Path], autoescape: bool | Callable[[str | None], bool]) -> None:
        """Read each template once, from the first of `folders` that has it: only what was checked at the start is used."""
        super().__init__(
            loader=jinja2.FileSystemLoader(folders),
            autoescape=autoescape,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """The variables of a template."""
        return {**self.globals, **(d or {})}


class _Compiled(jinja2.BytecodeCache):
    """What was compiled for a language, by path and contents of the template.

    Compiling a template takes a hundred times as long as rendering it, and a process may have several environments with the same
    templates: those of the delivery and of the development mailbox, and those of each server in a test.
    """

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give the bucket its code, if there is any."""
        bucket.code = self._code.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code of the bucket."""
        if bucket.code is not None:
            self._code[bucket.key, bucket.checksum] = bucket.code


@cache
def _compiled(_language: str) -> _Compiled:
    """What this process has compiled for a language."""
    return _Compiled()


def by_language(make: Callable[[], Environment]) -> Callable[[str], Environment]:
    """A function that returns the environment of a language, made once by `make`."""

    @cache
    def speaking(language: str) -> Environment:
        environment = make()
        translate(environment, language)
        environment.bytecode_cache = _compiled(language)
        return environment

    return speaking


def translate(environment: jinja2.Environment, language: str, catalogues: Catalogues = OURS) -> None:
    """Make the templates of `environment` speak `language`: sentences, `Text`, `Duration`, `date` and `date_time`.

    A line break within a sentence becomes a space.
    """
    translations = catalogues.catalogue(language)
    environment.globals |= {LANGUAGE: language, "direction": direction(language)}
    environment.add_extension(_Sentences)
    environment.policies["ext.i18n.trimmed"] = True
    environment.newstyle_gettext = True  # type: ignore[attr-defined]
    environment.globals["gettext"] = translations.gettext

    def shown(value: Any) -> Any:
        if isinstance(value, Text):
            return value.in_language(language, catalogues)
        return value.in_language(language) if isinstance(value, Duration) else value

    @jinja2.pass_eval_context
    def ngettext(context: nodes.EvalContext, singular: str, plural: str, count: int, /, **values: Any) -> str:
        sentence = translations.ngettext(singular, plural, count)
        # In HTML the sentence is ours and its values are not: `Markup` escapes them.
        said = {name: shown(value) for name, value in values.items()}
        return (Markup(sentence) if context.autoescape else sentence) % said  # noqa: S704

    def date(milliseconds: int) -> str:
        return _date(milliseconds // DAY, language)

    def date_time(milliseconds: int) -> str:
        return f"{date(milliseconds)} {datetime.fromtimestamp(milliseconds // SECOND, UTC):%H:%M} UTC"

    environment.globals["ngettext"] = ngettext
    environment.filters["date_time"] = date_time
    environment.filters["date"] = date
    environment.finalize = shown


@lru_cache(maxsize=1024)  # most dates that a server shows are of today
def _date(day: int, language: str) -> str:
    """The date of a day since the epoch. In UTC: the server does not know where the reader lives."""
    style = "d MMMM y" if language == DEFAULT_LANGUAGE else "long"
    return format_date(datetime.fromtimestamp(day * DAY // SECOND, UTC), style, locale=locale(language))


class _Sentences(InternationalizationExtension):
    """Compiles translated sentences into the template. Only a plural form is chosen when the template is rendered."""

    def _make_node(  # the extension's own hook, for its own kinds of calls
        self,
        singular: str,
        plural: str | None,
        context: str | None,
        variables: dict[str, nodes.Expr],
        plural_expr: nodes.Expr | None,
        vars_referenced: bool,
        num_called_num: bool,
    ) -> nodes.Output:
        if plural is not None:
            return super()._make_node(
                singular, plural, context, variables, plural_expr, vars_referenced, num_called_num
            )
        translated = cast("Callable[[str], str]", self.environment.globals["gettext"])(singular)
        pieces: list[nodes.Expr] = []
        for number, piece in enumerate(_PLACEHOLDER.split(translated)):
            pieces.append(variables[piece] if number % 2 else nodes.TemplateData(piece.replace("%%", "%")))
        return nodes.Output(pieces)
