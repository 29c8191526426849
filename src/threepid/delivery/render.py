"""Renders messages from their template folders.

`templates/<message>/{subject.txt,body.txt,body.html}` is the mail in English, `sms.txt` beside them the SMS, and
`templates/<message>/<language>/…` the same in another language. The operator's folder overrides the mail, the SMS or both. It
overrides a mail only as a whole: a mail with parts by two authors would look forged.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import css_inline
import jinja2
import msgspec
from msgspec import Struct

from threepid.clock import MINUTE
from threepid.delivery.segments import fits_one
from threepid.domain import messages
from threepid.domain.names import unlinked
from threepid.domain.origin import Origin, from_text
from threepid.i18n.catalogues import DEFAULT_LANGUAGE, languages
from threepid.i18n.marks import marked
from threepid.i18n.templates import Environment, by_language
from threepid.storage.outbox import ClaimedJob

MAIL: Final = ("subject.txt", "body.txt", "body.html")
"""The parts of a mail."""
TEXT: Final = ("sms.txt",)
"""The part of an SMS."""
_OWN: Final = Path(__file__).parent / "templates"
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_FORMS: Final = (0, 1, 2)
"""Values of `brief` in the templates of SMS: the whole text, what happened, and that in a few words."""
_LIFETIME: Final = "_minutes"
_PAGES: Final = "pages"
"""The folder beside those of the messages that has templates of pages."""
_STOP_LINK: Final = "stop_link"
_GAP: Final = re.compile(r"\n{3,}")
_WIDTH: Final = 76
"""Columns of the plain text of a mail."""


class TemplateError(Exception):
    """A template cannot be used; the text names the folder and the fault."""


class Rendered(Struct, frozen=True):
    """A rendered mail."""

    subject: str
    text: str
    html: str
    stop_link: str = ""
    """URL that stops mails of this kind: by a button on its page, or by a one-click POST; '' for none."""

    def __repr__(self) -> str:
        """No contents: codes must not be logged."""
        return "Rendered()"


class Renderer:
    """Renders mails and SMS from templates."""

    def __init__(self, override: str = "", *, contact: str = "") -> None:
        """`override` is the operator's folder, which comes first; '' for none. `contact` tells people how to reach the operator.

        With it, every message is rendered once to find mistakes at the start. Raises TemplateError.
        """
        self._contact = contact
        self._roots = [Path(override), _OWN] if override else [_OWN]
        self._environment = by_language(self._make_environment)
        self._place = lru_cache(maxsize=256)(self._find)
        self._template = lru_cache(maxsize=2_048)(self._compiled)
        # The style sheet is kept in addition to the inlined styles, because it has the colours of the dark mode.
        self._inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=True)
        if override:
            self._check(Path(override))

    def mail(self, job: ClaimedJob, age: int = 0) -> Rendered:
        """The mail of a job that was put into the outbox `age` milliseconds ago.

        Lifetimes (`…_minutes`) are rendered as the rest of them, at least 0: a delayed mail must not promise time that has
        passed. Raises jinja2.TemplateError, TemplateError or msgspec.DecodeError.
        """
        folder, language = self._place(job.template, job.language, MAIL)
        return self._mail(folder, language, _values(job, age))

    def text(self, job: ClaimedJob, age: int = 0) -> str:
        """The same as an SMS: plain text without a final line end."""
        folder, language = self._place(job.template, job.language, TEXT)
        return self._text(folder, language, _values(job, age))

    def _mail(self, folder: str, language: str, values: dict[str, Any]) -> Rendered:
        subject, text, html = (self._part(f"{folder}/{part}", language, values) for part in MAIL)
        stop_link = str(values.get(_STOP_LINK, ""))
        # The values are clean already, and the sentences of some languages need invisible characters.
        subject = marked(" ".join(subject.split()), language)
        return Rendered(subject, _filled(marked(text, language)), self._inliner.inline(html), stop_link)

    def _text(self, folder: str, language: str, values: dict[str, Any]) -> str:
        """The longest form of the text that fits into one SMS; else the shortest."""
        text = ""
        for brief in _FORMS:
            text = _squeezed(self._part(f"{folder}/{TEXT[0]}", language, {**values, "brief": brief}))
            text = marked(text, language)
            if fits_one(text):
                break
        return text

    def _part(self, template: str, language: str, values: dict[str, Any]) -> str:
        return self._template(template, language).render(values)

    def _compiled(self, template: str, language: str) -> jinja2.Template:
        return self._environment(language).get_template(template)

    def _make_environment(self) -> Environment:
        environment = Environment(self._roots, jinja2.select_autoescape(["html"]))
        environment.filters["unlinked"] = unlinked
        environment.globals["operator_contact"] = self._contact
        return environment

    def _find(self, template: str, language: str, parts: tuple[str, ...]) -> tuple[str, str]:
        """The template folder for a language, and the language found: `de-AT`, else `de`, else English."""
        for root in self._roots:
            for candidate in _languages(language):
                if (root / template / candidate / parts[0]).is_file():
                    return f"{template}/{candidate}", candidate
            if (root / template / parts[0]).is_file():
                return template, next((one for one in _languages(language) if one in languages()), DEFAULT_LANGUAGE)
        raise TemplateError(f"There is no {parts[0]} for {template}.")

    def _check(self, override: Path) -> None:
        if not override.is_dir():
            raise TemplateError(f"{override}: this folder does not exist.")
        examples = {example.template: example for example in messages.EXAMPLES}
        for folder in sorted(path for path in override.iterdir() if path.is_dir() and path.name != _PAGES):
            if folder.name not in examples:
                raise TemplateError(f"{folder}: there is no message {folder.name}, only {', '.join(sorted(examples))}.")
            _check_complete(folder)
        for template, example in examples.items():
            values = {**msgspec.to_builtins(example), "asked": _origin(msgspec.to_builtins(example))}
            for root in self._roots:
                for language in ["", *_subfolders(root / template)]:
                    place = f"{template}/{language}".rstrip("/")
                    if (root / place / MAIL[0]).is_file():
                        self._try(self._mail, place, language, values)
                    if (root / place / TEXT[0]).is_file():
                        self._try(self._text, place, language, values)

    def _try(
        self, render: Callable[[str, str, dict[str, Any]], object], folder: str, language: str, values: dict[str, Any]
    ) -> None:
        try:
            render(folder, language or DEFAULT_LANGUAGE, values)
        except (jinja2.TemplateError, css_inline.InlineError) as error:
            raise TemplateError(f"{folder}: {type(error).__name__}: {error}") from None


def _check_complete(folder: Path) -> None:
    languages = _subfolders(folder)
    for candidate in [folder, *(folder / language for language in languages)]:
        there = {part for part in (*MAIL, *TEXT) if (candidate / part).is_file()}
        missing = [part for part in MAIL if part not in there]
        if (there - set(TEXT) and missing) or not (there or (candidate == folder and languages)):
            raise TemplateError(f"{candidate} lacks {', '.join(missing)}: a mail is overridden as a whole.")


def _subfolders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _values(job: ClaimedJob, age: int) -> dict[str, Any]:
    params = msgspec.json.decode(job.params, type=dict[str, str | int])
    values: dict[str, Any] = {
        name: _clean(value, age, lifetime=name.endswith(_LIFETIME)) for name, value in params.items()
    }
    return {**values, "asked": _origin(values)}


def _origin(values: Mapping[str, Any]) -> Origin:
    """The origin of the request for the message; unknown for messages that an older version put into the outbox."""
    try:
        return from_text(str(values.get("origin", "")))
    except msgspec.DecodeError:
        return Origin()


def _squeezed(text: str) -> str:
    """`text` without trailing spaces, and with a single empty line between paragraphs."""
    return _GAP.sub("\n\n", "\n".join(line.rstrip() for line in text.splitlines())).strip()


def _filled(text: str) -> str:
    """The paragraphs of a plain text in lines that every mail program shows whole. An address is never broken."""
    return "".join(f"{_filled_line(line)}\n" for line in _squeezed(text).split("\n"))


def _filled_line(line: str) -> str:
    if len(line) <= _WIDTH or line.startswith(" "):
        return line
    first, *others = line.split()
    lines = [first]
    for word in others:
        if len(lines[-1]) + 1 + len(word) <= _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def _languages(language: str) -> Iterator[str]:
    """`language` and its more general tags; nothing for text that is not a language tag, which must not enter a path."""
    while _LANGUAGE.fullmatch(language):
        yield language
        language = language.rpartition("-")[0]


def _clean(value: str | int, age: int, *, lifetime: bool) -> str | int:
    if isinstance(value, str):
        return _one_line(value)
    return max(0, value - age // MINUTE) if lifetime else value


def _one_line(text: str) -> str:
    """`text` without control characters, line ends and invisible characters: a name must not add a line to a message."""
    if text.isprintable() and "  " not in text:
        return text.strip()
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
