"""The page at `/`: what people see who follow the address that a server prints."""

from pathlib import Path
from typing import Any

import pytest

from world import BASE, World


def terms(name: str, **languages: str) -> dict[str, object]:
    return {
        "id": "terms",
        "version": "1",
        "languages": {language: {"name": name, "url": url} for language, url in languages.items()},
    }


def test_it_says_what_this_server_is_and_leads_on(database_url: str, tmp_path: Path) -> None:
    documents: dict[str, Any] = {
        "accounts__terms": [terms("Terms of use", de="https://example.org/agb", en="https://example.org/terms")]
    }
    with World(database_url, tmp_path, **documents) as world:
        page = world.get("/")
        assert page.status_code == 200
        for text in (
            "@alice:example.org",
            BASE,
            "You can create an account",
            "identity server",
            "matrix.example.org",
        ):
            assert text in page.text
        assert '<a href="https://example.org/terms">Terms of use</a>' in page.text
        assert "agb" not in page.text
        assert '<a href="/mailbox/">' in page.text
        assert "Page not found" not in page.text
        assert world.get("/mailbox/").status_code == 200
        assert world.call("HEAD", "/").status_code == 200
        assert world.post("/").status_code == 405
        assert world.get("/index.html").status_code == 404


@pytest.mark.parametrize(("registration", "text"), [("token", "registration token"), ("closed", "create new accounts")])
def test_it_says_who_can_register(database_url: str, tmp_path: Path, registration: str, text: str) -> None:
    with World(database_url, tmp_path, accounts__registration=registration) as world:
        assert text in world.get("/").text
        assert "You can create an account in your app." not in world.get("/").text


def test_it_promises_nothing_that_is_off(database_url: str, tmp_path: Path) -> None:
    smtp = [{"transport": "smtp", "host": "mail.example.org"}]
    with World(database_url, tmp_path, accounts=None, email__via=smtp) as world:
        page = world.get("/").text
        assert "This is a Matrix identity server" in page
        assert "homeserver" not in page
        assert "mailbox" not in page
        assert "phone" not in page
    with World(database_url, tmp_path, identity=None) as world:
        assert "identity server" not in world.get("/").text
