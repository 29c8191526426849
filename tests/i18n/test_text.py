"""Sentences: their values, their plurals, and that no sentence for people bypasses them."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

import threepid
from threepid.clock import DAY, HOUR
from threepid.domain import messages
from threepid.i18n import Duration, Text, Verbatim, catalogues, counted
from threepid.i18n.catalogues import Catalogues
from threepid.i18n.templates import translate
from threepid.spec import errors
from threepid.spec.errors import MatrixError

SRC = Path(threepid.__file__).parent
IN_ENGLISH = {"api_index.html", "api_endpoint.html"}
"""Documentation for developers, most of it docstrings, which are in English."""
TEMPLATES = sorted(path for path in SRC.rglob("templates/**/*") if path.suffix in (".html", ".txt"))
SHOWN = (
    "alt",
    "aria-label",
    "content",
    "data-failed",
    "data-hide",
    "data-show",
    "data-no-app",
    "data-no-server",
    "placeholder",
    "title",
)
"""Attributes that people see or hear."""
NOT_SENTENCES = {"width=device-width, initial-scale=1", "light dark", "noindex", "telephone=no"}


@pytest.fixture
def german(tmp_path: Path) -> Catalogues:
    """A catalogue of a few sentences, as a translator writes it."""
    folder = tmp_path / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "threepid.po").write_text(
        """
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\nPlural-Forms: nplurals=2; plural=(n != 1);\\n"

msgid "Hello <b>%(name)s</b>, %(name)s. 100%% sure."
msgstr "100%% sicher: <b>%(name)s</b>, %(name)s!"

msgid "%(count)s device"
msgid_plural "%(count)s devices"
msgstr[0] "%(count)s Gerät"
msgstr[1] "%(count)s Geräte"

msgid "Wait %(wait)s: %(why)s"
msgstr "%(why)s Warten: %(wait)s"

msgid "Why not"
msgstr "Darum"
""",
        encoding="utf-8",
    )
    return Catalogues(tmp_path)


def test_a_text_is_english_until_somebody_shows_it(german: Catalogues) -> None:
    text = Text("Wait %(wait)s: %(why)s", wait=Duration(2 * HOUR), why=Text("Why not"))
    assert str(text) == "Wait 2 hours: Why not"
    assert text.in_language("de", german) == "Darum Warten: 2 Stunden"
    assert text.in_language("xx", german) == str(text)
    assert "2 hours" not in repr(text)


def test_a_number_chooses_its_form(german: Catalogues) -> None:
    told = [
        counted("%(count)s device", "%(count)s devices", count).in_language(language, german)
        for language in ("en", "de")
        for count in (0, 1, 2)
    ]
    assert told == ["0 devices", "1 device", "2 devices", "0 Geräte", "1 Gerät", "2 Geräte"]


def test_a_value_can_be_added_and_replaced(german: Catalogues) -> None:
    waiting = Text("Wait %(wait)s: %(why)s", why="x").having(wait=Duration(HOUR))
    assert str(waiting.having(wait=Duration(DAY))) == "Wait 1 day: x"
    assert str(waiting) == "Wait 1 hour: x"
    assert counted("%(count)s device", "%(count)s devices", 2).having(more=1).in_language("de", german) == "2 Geräte"


def test_a_text_without_values_and_somebody_elses_words_are_taken_as_they_stand(german: Catalogues) -> None:
    assert str(Text("100%(x)s sure")) == "100%(x)s sure"
    assert str(Verbatim("50% off %(wait)s").having(wait=Duration(DAY))) == "50% off %(wait)s"


@pytest.mark.parametrize("language", ["en", "de"])
def test_templates_have_the_sentence_of_their_language_and_escape_its_values(german: Catalogues, language: str) -> None:
    environment = jinja2.Environment(autoescape=True)
    translate(environment, language, german)
    template = environment.from_string(
        "{% trans name=name %}Hello <b>{{ name }}</b>,\n  {{ name }}. 100% sure.{% endtrans %}"
        "|{% trans count=count %}{{ count }} device{% pluralize %}{{ count }} devices{% endtrans %}"
        "|{{ why }}|{{ language }}"
    )
    shown = template.render(name="<i>", count=2, why=Text("Why not"))
    assert (
        shown
        == {
            "en": "Hello <b>&lt;i&gt;</b>, &lt;i&gt;. 100% sure.|2 devices|Why not|en",
            "de": "100% sicher: <b>&lt;i&gt;</b>, &lt;i&gt;!|2 Geräte|Darum|de",
        }[language]
    )


def test_sentences_and_durations_among_the_values_are_translated_too(german: Catalogues) -> None:
    environment = jinja2.Environment(autoescape=True)
    translate(environment, "de", german)
    template = environment.from_string(
        "{{ wait }}|{% trans why=why %}A {{ why }}{% endtrans %}"
        "|{% trans count=1, why=why %}{{ count }} {{ why }}{% pluralize %}{{ count }} {{ why }}{% endtrans %}"
    )
    assert template.render(wait=Duration(2 * HOUR), why=Text("Why not")) == "2 Stunden|A Darum|1 Darum"


def test_the_direction_is_that_of_the_script() -> None:
    assert [catalogues.direction(tag) for tag in ("en", "he", "ar-EG", "fa", "ja", "pt-BR", "zh-Hans", "nonsense")] == [
        "ltr", "rtl", "rtl", "rtl", "ltr", "ltr", "ltr", "ltr",
    ]  # fmt: skip


def test_every_error_has_a_sentence() -> None:
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, MatrixError)]
    assert len(kinds) > 40
    for kind in kinds:
        assert kind is MatrixError or kind.sentence.msgid.endswith("."), kind


# -- nothing bypasses them


def calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            # Where sentences are made of what is given: here, and of the docstrings of errors.
            if path.parent.name != "i18n" and path.name != "errors.py" and isinstance(node, ast.Call):
                yield f"{path.relative_to(SRC)}:{node.lineno}", node


def test_no_sentence_is_put_together_before_it_is_translated() -> None:
    found = 0
    for place, call in calls():
        if isinstance(call.func, ast.Name) and call.func.id in ("Text", "counted"):
            found += 1
            texts = call.args[:2] if call.func.id == "counted" else call.args
            assert all(isinstance(text, ast.Constant) for text in texts), place
            named = {keyword.arg for keyword in call.keywords} | ({"count"} if call.func.id == "counted" else set())
            for text in texts:
                assert isinstance(text, ast.Constant)
                assert isinstance(text.value, str)
                # `%(wait)s` of a limit comes from the error that says it.
                assert set(re.findall(r"%\((\w+)\)s", text.value)) - {"wait"} <= named, place
    assert found > 100


def test_no_language_is_chosen_in_the_domain() -> None:
    for path in (SRC / "domain").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "language":
                assert not isinstance(node.value, ast.Constant) or node.value.value == "", path


def data(template: nodes.Template) -> Iterator[str]:
    """What stands in a template outside of its sentences."""
    for output in template.find_all(nodes.Output):
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                yield node.data
            else:
                yield from (str(const.value) for const in literals(node))


def literals(node: nodes.Node) -> Iterator[nodes.Const]:
    """Texts that an expression can become: not what it compares, calls by name or hands to a filter."""
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        yield node
    elif isinstance(node, nodes.CondExpr):
        yield from literals(node.expr1)
        if node.expr2 is not None:
            yield from literals(node.expr2)
    elif isinstance(node, nodes.Concat):
        for part in node.nodes:
            yield from literals(part)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(SRC)))
def test_every_word_of_a_template_is_in_a_sentence(path: Path) -> None:
    if path.name in IN_ENGLISH:
        assert '{% block main_class %} class="wide" lang="en" dir="ltr"{% endblock %}' in path.read_text()
        return
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    translate(environment, "en")
    environment.filters["unlinked"] = str
    bare = re.sub(r"{%-?\s*trans.*?endtrans\s*-?%}", "", path.read_text(), flags=re.DOTALL)
    shown = re.sub(r"<style>.*?</style>|<!doctype html>", "", "…".join(data(environment.parse(bare))), flags=re.DOTALL)
    for attribute, value in re.findall(r'([\w-]+)="([^"]*)"', shown):
        assert attribute not in SHOWN or value in NOT_SENTENCES or not re.search("[A-Za-z]{2}", value), value
    words = re.sub(r"<[^>]*>", "", shown).replace('class="wide"', "")
    assert not re.search("[A-Za-z]{2}", words), words


def test_the_test_of_templates_finds_what_it_looks_for() -> None:
    environment = jinja2.Environment(autoescape=True)
    translate(environment, "en")
    for source in (
        "<p>Some words</p>",
        "{{ 'Yes' if x else 'No' }}",
        "{% if x %}words{% endif %}",
        "{{ x ~ ' and ' }}",
    ):
        assert any(re.search("[A-Za-z]{2}", re.sub("<[^>]*>", "", text)) for text in data(environment.parse(source)))


def test_the_template_of_catalogues_has_every_sentence() -> None:
    script = SRC.parents[1] / "scripts" / "extract-sentences"
    assert subprocess.run([sys.executable, script, "--check"], check=False).returncode == 0


def test_every_template_of_a_message_is_looked_at() -> None:
    names = {path.parent.name for path in TEMPLATES}
    assert {example.template for example in messages.EXAMPLES} <= names
