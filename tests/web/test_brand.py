"""The operator's folder: logo, colours, templates, and the guide that describes them."""

import re
from pathlib import Path
from typing import Any

import pytest

import threepid
from threepid.config import ConfigError
from threepid.web.brand import BrandFolder
from threepid.web.render import Templates
from web.visitor import Page
from world import World, settings

SRC = Path(threepid.__file__).parent
GUIDE = (SRC.parents[1] / "docs" / "guides" / "branding.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "brand"
    (found / "pages" / "portal").mkdir(parents=True)
    (found / "logo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (found / "favicon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' id='ours'/>")
    (found / "colours.css").write_text(":root { --accent: #7a1fa2; }")
    (found / "pages" / "message.html").write_text(
        '{% extends "base.html" %}{% block title %}{{ title }}{% endblock %}'
        "{% block content %}<h1>{{ title }}</h1><p>Ours, {{ language }}</p>{% endblock %}"
    )
    (found / "pages" / "portal" / "home.html").write_text("{% extends 'portal/base.html' %}")
    return found


@pytest.mark.parametrize("setting", ["web__brand_dir", "web__template_dir"])
def test_logo_colours_and_templates_come_from_the_folder(
    database_url: str, tmp_path: Path, folder: Path, setting: str
) -> None:
    changes: dict[str, Any] = {setting: str(folder)}
    with World(database_url, tmp_path, **changes) as world:
        page = Page(world.get("/nothing", headers={"Accept-Language": "de"}))
        assert "Ours, de" in page.text
        assert '<img src="/static/logo.svg" alt="">' in page.html
        assert page.html.index("/static/colours.css") > page.html.index("/static/threepid.css")
        assert world.get("/static/colours.css").text.startswith(":root")
        assert "ours" in world.get("/static/favicon.svg").text
        logo = world.get("/static/logo.svg")
        assert (logo.status_code, logo.headers["content-type"]) == (200, "image/svg+xml")
        assert "sandbox" in logo.headers["content-security-policy"]


def test_without_a_folder_there_is_no_logo(world: World) -> None:
    html = world.get("/nothing").text
    assert "<img" not in html
    assert "colours.css" not in html
    assert world.get("/static/colours.css").status_code == 404
    assert BrandFolder("").files() == []


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("nothing.html", "x", "there is no page template nothing.html to replace"),
        ("message.html", "{% if %}", "TemplateSyntaxError"),
        ("portal/nothing.html", "x", "there is no page template portal/nothing.html to replace"),
    ],
)
def test_a_mistake_in_a_template_is_found_at_the_start(
    tmp_path: Path, folder: Path, name: str, text: str, complaint: str
) -> None:
    (folder / "pages" / name).write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        Templates(settings(tmp_path, web__brand_dir=str(folder)), "x")


def test_the_guide_has_every_colour_and_variable() -> None:
    css = (SRC / "web" / "static" / "threepid.css").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(--[\w-]+)`", GUIDE, re.MULTILINE))
    assert told == set(re.findall(r"^  (--[\w-]+):", css, re.MULTILINE))
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ", GUIDE, re.MULTILINE)
    variables = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    used = {"brand", "language", "direction", "languages", "here", "operator", "logo", "colours"}
    assert variables == used
    base = (SRC / "web" / "templates" / "base.html").read_text(encoding="utf-8")
    assert all(re.search(rf"\b{name}\b", base) for name in used)
