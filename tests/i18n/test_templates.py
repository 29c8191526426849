"""Templates: compiled once for each language in a process, and never with the contents or the sentences of another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest

from threepid.i18n.templates import Environment, by_language

NAME = "field.html"
SENTENCE = "{% trans %}Email address{% endtrans %}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / NAME).write_text(SENTENCE)
    return tmp_path


def loaded(folder: Path, language: str) -> jinja2.Template:
    """The template as another server in this process loads it."""
    return by_language(lambda: Environment([folder], autoescape=True))(language).get_template(NAME)


def code(template: jinja2.Template) -> Any:
    render: Callable[..., Any] = template.root_render_func
    return render.__code__


def test_a_template_is_compiled_once_in_a_process_for_each_language(folder: Path) -> None:
    english, german = loaded(folder, "en"), loaded(folder, "de")
    assert (english.render(), german.render()) == ("Email address", "E-Mail-Adresse")
    assert code(loaded(folder, "en")) is code(english)
    assert code(loaded(folder, "de")) is code(german)


def test_a_template_that_was_changed_is_compiled_again(folder: Path) -> None:
    before = loaded(folder, "en")
    (folder / NAME).write_text(f"<b>{SENTENCE}</b>")
    assert loaded(folder, "en").render() == "<b>Email address</b>"
    assert before.render() == "Email address"


def test_templates_of_one_name_in_two_folders_are_two(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / NAME).write_text("{{ brand }}")
    loaded(folder, "en")
    with pytest.raises(jinja2.UndefinedError):
        loaded(other, "en").render()
