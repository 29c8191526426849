"""What people get to read of a message, out of its template folder.

`templates/<message>/{subject.txt,body.txt,body.html}` is the mail in English, `sms.txt` beside them the text to a phone;
`templates/<message>/<language>/…` in another language. A folder of the operator's overrides the mail, the text to a phone or
both, a mail always as a whole: mixing two people's texts in one mail would look like a forgery.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import css_inline
import jinja2
import msgspec
from msgspec import Struct

from threepid.clock import MINUTE
from threepid.domain import messages
from threepid.domain.names import unlinked
from threepid.storage.outbox import Order

MAIL: Final = ("subject.txt", "body.txt", "body.html")
"""The parts of a mail."""
TEXT: Final = ("sms.txt",)
"""The part of a text to a phone."""
DEFAULT_LANGUAGE: Final = "en"
_OWN: Final = Path(__file__).parent / "templates"
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_RIGHT_TO_LEFT: Final = frozenset({"ar", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"})
_LIFETIME: Final = "_minutes"
_STOP_LINK: Final = "stop_link"


class TemplateError(Exception):
    """A message that cannot be rendered; the text names the folder and what is wrong with it."""


class Rendered(Struct, frozen=True):
    """A mail as people get it."""

    subject: str
    text: str
    html: str
    stop_link: str = ""
    """Leads to a page that ends mails of this kind, and ends them by a POST; '' for none."""

    def __repr__(self) -> str:
        """Without the contents: a code must not get into a log."""
        return "Rendered()"


class Renderer:
    """Renders messages."""

    def __init__(self, override: str = "") -> None:
        """Look into the folder `override` first, if there is one.

        Every message is rendered once then, so that a mistake in the operator's folder is found at the start: raises
        TemplateError.
        """
        self._roots = [Path(override), _OWN] if override else [_OWN]
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(self._roots),
            autoescape=jinja2.select_autoescape(["html"]),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,  # what was tried at the start is what people get, and no file is looked for at each mail
        )
        self._environment.filters["unlinked"] = unlinked
        self._place = lru_cache(maxsize=256)(self._find)
        # The style sheet stays beside the inlined styles: the colours for the dark stand in it.
        self._inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=True)
        if override:
            self._check(Path(override))

    def mail(self, order: Order, age: int = 0) -> Rendered:
        """The mail of an order that was put into the outbox `age` milliseconds ago.

        Lifetimes (`…_minutes`) are told as what is left of them, 0 for nothing: a mail that a relay's failure held up
        must not promise what is over. Raises jinja2.TemplateError, TemplateError or msgspec.DecodeError.
        """
        folder, language = self._place(order.template, order.language, MAIL)
        return self._mail(folder, language, _values(order, age))

    def text(self, order: Order, age: int = 0) -> str:
        """The same as a text to a phone: plain lines, without one at the end."""
        folder, language = self._place(order.template, order.language, TEXT)
        return self._text(folder, language, _values(order, age))

    def _mail(self, folder: str, language: str, values: dict[str, Any]) -> Rendered:
        subject, text, html = (self._part(f"{folder}/{part}", language, values) for part in MAIL)
        stop_link = str(values.get(_STOP_LINK, ""))
        return Rendered(_one_line(subject), text.strip() + "\n", self._inliner.inline(html), stop_link)

    def _text(self, folder: str, language: str, values: dict[str, Any]) -> str:
        return self._part(f"{folder}/{TEXT[0]}", language, values).strip()

    def _part(self, template: str, language: str, values: dict[str, Any]) -> str:
        direction = "rtl" if language.partition("-")[0] in _RIGHT_TO_LEFT else "ltr"
        return self._environment.get_template(template).render(values, language=language, direction=direction)

    def _find(self, template: str, language: str, parts: tuple[str, ...]) -> tuple[str, str]:
        """The folder of a message and the language it is really in: `de-AT`, `de`, English."""
        for root in self._roots:
            for candidate in _languages(language):
                if (root / template / candidate / parts[0]).is_file():
                    return f"{template}/{candidate}", candidate
            if (root / template / parts[0]).is_file():
                return template, DEFAULT_LANGUAGE
        raise TemplateError(f"There is no {parts[0]} for {template}.")

    def _check(self, override: Path) -> None:
        if not override.is_dir():
            raise TemplateError(f"{override}: there is no such folder.")
        examples = {example.template: example for example in messages.EXAMPLES}
        for folder in sorted(path for path in override.iterdir() if path.is_dir()):
            if folder.name not in examples:
                raise TemplateError(f"{folder}: there is no message {folder.name}, only {', '.join(sorted(examples))}.")
            _check_complete(folder)
        for template, example in examples.items():
            values = msgspec.to_builtins(example)
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


def _values(order: Order, age: int) -> dict[str, Any]:
    return {
        name: _clean(value, age, lifetime=name.endswith(_LIFETIME))
        for name, value in msgspec.json.decode(order.params, type=dict[str, str | int]).items()
    }


def _languages(language: str) -> Iterator[str]:
    """`language` and what it is a variety of; nothing for a text that is no language tag, and so no part of a path."""
    while _LANGUAGE.fullmatch(language):
        yield language
        language = language.rpartition("-")[0]


def _clean(value: str | int, age: int, *, lifetime: bool) -> str | int:
    if isinstance(value, str):
        return _one_line(value)
    return max(0, value - age // MINUTE) if lifetime else value


def _one_line(text: str) -> str:
    """`text` without controls, line ends and invisible marks: nobody adds a line to a message by a name."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
