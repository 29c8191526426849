"""The page at `/`: what people see who follow the address that a server prints."""

from pathlib import Path
from typing import Any

import pytest

from operators import world_of_operators
from web.visitor import Page
from world import World

LOCAL: dict[str, Any] = {"server__public_base_url": "http://localhost:8008"}


def terms(name: str, **languages: str) -> dict[str, object]:
    return {
        "id": "terms",
        "version": "1",
        "languages": {language: {"name": name, "url": url} for language, url in languages.items()},
    }


def test_a_development_server_says_where_everything_is(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, **LOCAL) as world:
        page = Page(world.get("/"))
        assert page.status == 200
        for text in ("@alice:example.org", "http://localhost:8008", "README.md", "/docs/api", "Ctrl-C"):
            assert text in page.text
        assert "SMS" not in page.text
        assert [page.links[name]["href"] for name in ("Account portal", "Mailbox")] == ["/account/", "/mailbox/"]
        assert world.get("/mailbox/", headers={"Host": "localhost:8008"}).status_code == 200
        assert world.call("HEAD", "/").status_code == 200
        assert world.post("/").status_code == 405
        assert world.get("/index.html").status_code == 404


def test_a_page_is_found_without_the_slash_at_its_end(database_url: str, tmp_path: Path) -> None:
    with world_of_operators(database_url, tmp_path) as world:
        for path in ("/account", "/mailbox", "/admin"):
            answer = world.get(path)
            assert (answer.status_code, answer.headers.get("location")) == (303, f"{path}/"), path
            answer = world.get(f"{path}?action=org.matrix.sessions_list&a=%0d%0a+b")
            assert answer.headers.get("location") == f"{path}/?action=org.matrix.sessions_list&a=%0d%0a+b", path
        elsewhere = {"X-Forwarded-For": "192.0.2.1"}
        assert world.get("/admin", headers=elsewhere).status_code == 404, "for them, there is no console"
        for path in ("/confirm", "/static", "/nothing"):
            assert world.get(path).status_code == 404, path


def test_a_page_that_is_off_is_not_found_without_its_slash(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts=None) as world:
        assert [world.get(path).status_code for path in ("/account", "/admin")] == [404, 404]


def test_a_development_server_without_accounts_names_no_portal(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts=None, sms__countries=["GB"], **LOCAL) as world:
        page = Page(world.get("/"))
        assert "Account portal" not in page.links
        assert "Every mail and SMS that the server would have sent." in page.text


@pytest.mark.parametrize(
    "changes",
    [{}, {**LOCAL, "email__via": [{"transport": "smtp", "host": "mail.example.org"}]}, {**LOCAL, "email": None}],
)
def test_a_homeserver_leads_to_the_account(database_url: str, tmp_path: Path, changes: dict[str, Any]) -> None:
    with World(database_url, tmp_path, **changes) as world:
        answer = world.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/account/")


def test_an_identity_server_says_what_it_is_and_nothing_that_is_off(database_url: str, tmp_path: Path) -> None:
    documents: dict[str, Any] = {
        "identity__terms": [terms("Terms of use", de="https://example.org/agb", en="https://example.org/terms")]
    }
    with World(database_url, tmp_path, accounts=None, web__contact="help@example.org", **documents) as world:
        page = Page(world.get("/"))
        assert "This is a Matrix identity server." in page.text
        assert page.links["Terms of use"]["href"] == "https://example.org/terms"
        assert page.links["Contact"]["href"] == "mailto:help@example.org"
        assert "homeserver" not in page.text
        assert "phone" not in page.text


def test_a_page_that_does_not_exist_leads_to_the_start(world: World) -> None:
    assert Page(world.get("/nothing")).links["Go to the start page"]["href"] == "/"
