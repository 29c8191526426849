"""A02: mail scanners open links; opening one validates nothing, only a person's button does."""

import re

from threepid.clock import MINUTE
from web.portal_browser import Browser
from world import BASE, World

SCANNER = {"User-Agent": "Mozilla/5.0 (compatible; MailScanner)"}


def is_validated(world: World, sid: str, token: str) -> bool:
    answer = world.get(f"/_matrix/identity/v2/3pid/getValidated3pid?sid={sid}&client_secret=secret", token=token)
    return answer.status_code == 200


def test_opening_the_link_changes_nothing_and_the_button_validates(world: World) -> None:
    identity = world.identity_token(world.register())
    sid = world.request_token(identity)
    link = world.mail().link
    for _ in range(20):
        assert world.get(link, headers=SCANNER).status_code == 200
    for _ in range(5):
        head = world.call("HEAD", link, headers=SCANNER)
        assert head.status_code == 200
        assert head.content == b""
    assert not is_validated(world, sid, identity)
    page = world.get(link)
    assert "<script" not in page.text
    assert "http-equiv" not in page.text
    assert world.post(link).status_code == 200
    assert is_validated(world, sid, identity)


def scan(world: World) -> list[str]:
    """Open every link of the newest mail, as a scanner does that follows redirects; the paths of these links."""
    paths = re.findall(rf"{re.escape(BASE)}(/[\w/.-]+)", world.mail().text)
    for path in paths:
        for method in ("GET", "HEAD", "GET"):
            scanner = Browser(world, path, **SCANNER)
            scanner.open(path)
            assert world.call(method, path, headers=SCANNER).status_code == 200
    return paths


def test_a_scanned_link_adds_no_contact_in_the_portal(world: World) -> None:
    token = world.register()
    browser = Browser(world, "/account/contacts/add?medium=email")
    browser.sign_in()
    browser.press("Send me a code", address="alice@example.com")
    assert [path.split("/")[1] for path in scan(world)] == ["confirm"]
    browser.press("I pressed the button")
    assert browser.page.problem.startswith("We have not seen that yet.")
    assert world.contacts(token) == []
    browser.press("Continue", code=world.mail().code)
    assert world.contacts(token) == ["alice@example.com"]


def test_a_scanned_link_resets_no_password_and_stays_good(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.clock.advance(1)
    browser = Browser(world)
    browser.follow("Forgotten your password?")
    browser.press("Send me a code", address="alice@example.com")
    link = world.mail().link
    assert scan(world) == [link]
    assert world.get("/_matrix/client/v3/account/whoami", token=token).status_code == 200
    Browser(world).sign_in()  # with the old password
    person = Browser(world, link)
    person.press("Save and sign in", password="another long password")
    assert person.path == "/account/"


def test_the_mail_that_confirms_the_owner_has_no_link_to_open(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    browser = Browser(world)
    browser.sign_in()
    world.clock.advance(11 * MINUTE)
    browser.open("/account/close")
    browser.follow("I can't remember it")
    browser.press("alice@example.com")
    assert scan(world) == []
    browser.press("Continue", code=world.mail().code)
    assert browser.path == "/account/close"


def test_a_second_click_is_answered_kindly(world: World) -> None:
    identity = world.identity_token(world.register())
    world.request_token(identity)
    link = world.mail().link
    first, second = world.post(link), world.post(link)
    assert first.status_code == second.status_code == 200
    assert first.text == second.text == world.get(link).text
    assert "confirmed" in first.text


def test_another_sites_form_confirms_nothing(world: World) -> None:
    identity = world.identity_token(world.register())
    sid = world.request_token(identity)
    assert world.post(world.mail().link, headers={"Origin": "https://evil.example"}).status_code == 403
    assert not is_validated(world, sid, identity)


def test_an_unknown_or_old_link_says_so(world: World) -> None:
    identity = world.identity_token(world.register())
    world.request_token(identity)
    link = world.mail().link
    assert world.get("/confirm/nosuchlink").status_code == 404
    world.clock.advance(60 * 60 * 1000 + 1)
    assert world.get(link).status_code == 404
    assert world.post(link).status_code == 404
