"""The development mailbox without JavaScript: what is listed, found and shown."""

import re
from pathlib import Path
from typing import Any

import pytest

from threepid.domain import messages
from web.test_every_page import HOSTILE, check_headers
from web.visitor import Page, Visitor
from world import World

LOCAL: dict[str, Any] = {"server__public_base_url": "http://localhost:8008"}
AT_HOME = {"Host": "localhost:8008"}
CONSOLE: dict[str, Any] = {"sms": {"countries": ["DE"], "via": [{"transport": "console"}]}, "job_types": ()}


def ask(world: World, address: str, attempt: int = 1) -> None:
    body = {"client_secret": "secret", "send_attempt": attempt, "email": address}
    assert world.post("/_matrix/client/v3/register/email/requestToken", body).status_code == 200
    world.mails()


def ask_for_sms(world: World) -> None:
    body = {"client_secret": "secret", "send_attempt": 1, "country": "DE", "phone_number": "015112345678"}
    assert world.post("/_matrix/client/v3/register/msisdn/requestToken", body).status_code == 200
    world.run(world.server.worker.run_once())


def recipients(page: Page) -> list[str]:
    return re.findall(r"<li>.*?<bdi>(.*?)</bdi>", page.html)


def test_each_message_has_its_time(world: World) -> None:
    ask(world, "alice@example.com")
    world.clock.advance(90_000)
    ask(world, "bob@example.com")
    page = Page(world.get("/mailbox/"))
    assert recipients(page) == ["bob@example.com", "alice@example.com"]
    late, early = re.findall(r'<time class="quiet" datetime="([-0-9T:]+Z)">([^<]+ UTC)</time>', page.html)
    assert late[0] > early[0]
    assert late[1] != early[1]
    mail = Page(world.get(re.findall(r'href="(/mailbox/[^"/]+)"', page.html)[0]))
    assert late[1] in mail.text


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("alice", ["alice@example.com"]),
        ("ALICE example", ["alice@example.com"]),
        ("code", ["bob@example.com", "alice@example.com"]),
        ("alice bob", []),
        ("%", []),
        ("  ", ["bob@example.com", "alice@example.com"]),
    ],
)
def test_a_search_finds_recipients_and_texts(world: World, words: str, found: list[str]) -> None:
    ask(world, "alice@example.com")
    world.clock.advance(1000)
    ask(world, "bob@example.com")
    page = Page(world.get("/mailbox/?q=" + Visitor.escaped(words)))
    assert recipients(page) == found
    assert ("No message contains" in page.text) == (not found)
    assert page.links["Reload"]["href"] == ("?q=" + Visitor.escaped(words) if words.strip() else "?")


def test_a_search_finds_a_subject_and_a_code(world: World) -> None:
    ask(world, "alice@example.com")
    mail = world.mail()
    for words in (str(mail.message["Subject"]), mail.code):
        assert recipients(Page(world.get("/mailbox/?q=" + Visitor.escaped(words)))) == ["alice@example.com"]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_searched_for_stays_text(world: World, text: str) -> None:
    plain = Page(world.get("/mailbox/?q=harmless"))
    page = Page(world.get("/mailbox/?q=" + Visitor.escaped(text)))
    assert page.structure == plain.structure
    assert page.attributes["q"]["value"] == text
    check_headers("/mailbox/", page)


def test_a_malformed_search_is_a_page(world: World) -> None:
    assert world.get("/mailbox/?q=%ff").status_code == 400
    assert world.get("/mailbox/?q=a&q=b").status_code == 400


@pytest.mark.parametrize("path", ["/mailbox/%00", "/mailbox/%00/raw", "/mailbox/x%00/html"])
def test_a_mail_whose_name_no_database_takes_is_not_there(world: World, path: str) -> None:
    answer = world.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


def test_an_sms_of_the_console_stands_beside_the_mails(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, **LOCAL, **CONSOLE) as world:
        ask(world, "alice@example.com")
        world.clock.advance(1000)
        ask_for_sms(world)
        page = Page(world.get("/mailbox/", headers=AT_HOME))
        assert recipients(page) == ["+4915112345678", "alice@example.com"]
        assert "SMS to +4915112345678" in page.text
        path = re.findall(r'href="(/mailbox/[^"/]+)"', page.html)[0]
        sms = Page(world.get(path, headers=AT_HOME))
        assert sms.heading == "SMS to +4915112345678"
        assert "is your code" in sms.text
        assert "@localhost #" in sms.text
        check_headers(path, sms)
        assert world.get(f"{path}/html", headers=AT_HOME).status_code == 404
        raw = world.get(f"{path}/raw", headers=AT_HOME)
        assert raw.headers["Content-Type"].startswith("text/plain")
        assert "@localhost #" in raw.text
        assert recipients(Page(world.get("/mailbox/?q=4915112345678", headers=AT_HOME))) == ["+4915112345678"]


def test_an_sms_of_another_gateway_or_without_mailbox_is_not_kept(database_url: str, tmp_path: Path) -> None:
    smtp: dict[str, Any] = {"email__via": [{"transport": "smtp", "host": "mail.example.org"}]}
    with World(database_url, tmp_path, **smtp, **CONSOLE) as world:
        ask_for_sms(world)
        assert world.mails() == []
        assert world.get("/mailbox/").status_code == 404
        assert world.get("/mailbox/preview/").status_code == 404


def test_every_message_is_previewed_in_every_language(world: World) -> None:
    page = Page(world.get("/mailbox/preview/"))
    check_headers("/mailbox/preview/", page)
    found = re.findall(r'href="(/mailbox/preview/([a-z_]+)/([A-Za-z-]+))"', page.html)
    languages = {language for _, _, language in found}
    assert {"en", "de"} <= languages
    names = [example.template for example in messages.EXAMPLES]
    assert [(name, language) for _, name, language in found] == [
        (name, language) for name in names for language in sorted(languages, key=lambda tag: (tag != "en", tag))
    ]
    for path, name, language in found:
        shown = Page(world.get(path))
        assert shown.status == 200
        assert shown.heading
        assert name in shown.text
        assert "SMS (parts: 1)" in shown.text, path
        check_headers(path, shown)
        framed = world.get(f"{path}/html")
        check_headers(f"{path}/html", Page(framed))
        assert f'lang="{language}"' in framed.text


def test_a_preview_is_that_of_the_messages_that_people_get(world: World) -> None:
    ask(world, "alice@example.com")
    sent = str(world.mail().message["Subject"])
    shown = Page(world.get("/mailbox/preview/register_address/en")).heading
    assert re.sub(r"\d|[a-z]+\.[a-z]+", "", shown) == re.sub(r"\d|[a-z]+\.[a-z]+", "", sent)
    german = Page(world.get("/mailbox/preview/register_address/de"))
    assert german.heading != shown
    assert "@" in german.text
    assert "#" in german.text


@pytest.mark.parametrize(
    "path", ["nothing/en", "register_address/xx", "register_address/..%2Fde", "register_address/en/htm", "layout/en"]
)
def test_what_has_no_preview_is_not_found(world: World, path: str) -> None:
    for more in ("", "/html"):
        assert world.get(f"/mailbox/preview/{path}{more}").status_code == 404
