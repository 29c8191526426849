"""The pages that describe the endpoints: complete, small, and from this server alone."""

import re

import pytest

from threepid.api.endpoints import served
from web.visitor import Page
from world import World

pytestmark = pytest.mark.usefixtures("world")


def test_every_served_endpoint_is_listed_and_has_a_page(world: World) -> None:
    index = world.get("/docs/api").text
    names = [endpoint.name for endpoint in served(world.server.context.config)]
    assert len(names) > 80
    assert re.findall(r'href="/docs/api/(\w+)"', index) == names
    assert "search_accounts" not in index  # the admin API is off
    for name in names:
        page = world.get(f"/docs/api/{name}")
        assert page.status_code == 200, name
        assert len(page.content) < 60_000
        assert not re.search(r"(?:src|<link[^>]*href)=\"(?!/)", page.text), name
        assert "<script" not in page.text


def test_a_page_shows_fields_an_example_and_errors(world: World) -> None:
    page = world.get("/docs/api/post_login")
    text = Page(page).text
    for told in ("POST /_matrix/client/v3/login", "identifier.user", "m.login.password", "access_token", "M_FORBIDDEN"):
        assert told in text, told
    assert '<main id="main" class="wide" lang="en" dir="ltr">' in page.text


def test_an_endpoint_that_is_not_served_has_no_page(world: World) -> None:
    assert world.get("/docs/api/search_accounts").status_code == 404
    assert world.get("/docs/api/nothing").status_code == 404
