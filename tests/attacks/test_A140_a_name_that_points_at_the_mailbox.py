"""A140: a web page points its own name at a developer's machine, and reads the development mailbox there (DNS rebinding)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from threepid.delivery import configured
from threepid.domain.messages import EXAMPLES
from threepid.web import site
from threepid.web.render import Templates
from web.visitor import Page
from world import World

REQUEST: Final = "/_matrix/client/v3/register/email/requestToken"
ADDRESS: Final = "alice@example.com"
HERE: Final = (
    "localhost",
    "LOCALHOST:8008",
    "localhost.:8008",
    "box.localhost:8008",
    "127.0.0.1",
    "127.0.0.1:8008",
    "127.8.9.10",
    "[::1]",
    "[::1]:8008",
    "[::ffff:127.0.0.1]:8008",
    "dev.example.org",
    "DEV.example.org:8443",
    "dev.example.org.",
)
FOREIGN: Final = (
    "evil.example",
    "evil.example:8008",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "dev.example.org.evil.example",
    "xdev.example.org",
    "localhostx",
    "evillocalhost",
    "0.0.0.0:8008",
    "[::]:8008",
    "0:8008",
    "192.0.2.1:8008",
    "2130706433",
    "127.1",
    "[::1",
    "::1",
    "localhost%2eevil.example",
    ".localhost.evil.example",
    ":8008",
    ".",
)


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path, server__public_base_url="https://dev.example.org:8443") as made:
        body = {"client_secret": "secret", "send_attempt": 1, "email": ADDRESS}
        assert made.post(REQUEST, body).status_code == 200
        made.mails()
        yield made


def paths(world: World) -> list[str]:
    """The mailbox's pages, those of a mail with the mail that is there, and the previews."""
    mail = re.findall(r'href="/mailbox/([^"/]+)"', world.get("/mailbox/", headers={"Host": "localhost"}).text)[0]
    config = world.server.context.config
    found = site.routes(world.server.services, Templates(config, "x"), configured.previews_of(config))
    values = {"mail_id": mail, "name": EXAMPLES[0].template, "language": "en"}
    templates = {route.template for route in found}
    return [
        re.sub(r"\{(\w+)\}", lambda match: values[match[1]], template)
        for template in templates
        # A path without its final slash shows nothing: it leads to the page.
        if template.startswith("/mailbox/") and f"{template}/" not in templates
    ]


def test_the_pages_to_attack_are_there(world: World) -> None:
    assert len(paths(world)) >= 7


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_name_opens_no_page_of_the_mailbox(world: World, host: str) -> None:
    for path in paths(world):
        for method in ("GET", "HEAD"):
            answer = world.call(method, path, headers={"Host": host})
            assert answer.status_code == 403, path
            assert ADDRESS not in answer.text, path
        assert (
            "These pages open at https://dev.example.org:8443/mailbox/ only."
            in Page(world.get(path, headers={"Host": host})).text
        )


@pytest.mark.parametrize("host", HERE)
def test_the_names_of_this_machine_open_them(world: World, host: str) -> None:
    for path in paths(world):
        assert world.get(path, headers={"Host": host}).status_code == 200, (path, host)
    assert ADDRESS in world.get("/mailbox/", headers={"Host": host}).text


def test_a_forwarded_name_does_not_count(world: World) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Host": "localhost", "Forwarded": "host=localhost"}
    assert world.get("/mailbox/", headers=headers).status_code == 403
