"""Which notices an account gets, in the portal."""

import re
from pathlib import Path

import pytest

from threepid.domain.accounts.notices import OPTIONAL
from threepid.storage import preferences
from web.portal_browser import Browser
from world import World

ALICE = "@alice:example.org"


@pytest.fixture
def browser(world: World) -> Browser:
    """Alice's browser at the page, and a contact that gets the notices."""
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    browser = Browser(world, "/account/")
    browser.sign_in()
    browser.follow("Notices")
    return browser


def muted(world: World) -> frozenset[str]:
    return world.run(world.database.read(lambda tx: preferences.get(tx, ALICE).muted))


def is_on(browser: Browser) -> set[str]:
    return set(re.findall(r'name="(\w+)" type="checkbox" value="1" checked', browser.page.html))


def subjects(world: World) -> list[str]:
    return [str(mail.message["Subject"]) for mail in world.mails()]


def test_everything_is_sent_until_somebody_switches_it_off(browser: Browser) -> None:
    assert is_on(browser) == set(OPTIONAL)
    assert "alice@example.com" in browser.page.text
    for label in ("A contact was added", "The password was changed", "The account was closed"):
        assert label in browser.page.text


def test_the_contacts_are_told_of_what_is_switched_off(world: World, browser: Browser) -> None:
    before = len(world.mails())
    browser.press("Save", check=("bound",))
    assert browser.path == "/account/notices?saved=1"
    assert "Your choice was saved." in browser.page.text
    assert is_on(browser) == {"bound"}
    assert muted(world) == {"new_sign_in", "unbound"}
    assert subjects(world)[before:] == [f"Notices about {ALICE} were switched off"]
    told = " ".join(world.mail().text.split())
    assert "You won't be told of new sign-ins any more." in told
    assert "when people can't find you by a contact." in told
    assert "when people can find you by a contact." not in told


def test_switching_on_and_saving_the_same_tell_nobody(world: World, browser: Browser) -> None:
    browser.press("Save")
    before = len(world.mails())
    browser.press("Save")
    browser.press("Save", check=OPTIONAL)
    assert muted(world) == frozenset()
    assert len(world.mails()) == before


def test_no_form_switches_off_what_is_always_sent(world: World, browser: Browser) -> None:
    browser.submit({"form_token": browser.page.fields["form_token"], "password_changed": ""}, browser.path)
    assert muted(world) == set(OPTIONAL)


def test_switching_off_takes_a_fresh_proof(world: World, browser: Browser) -> None:
    world.clock.advance(11 * 60_000)
    browser.press("Save")
    assert browser.page.heading == "Confirm that it is you"
    assert muted(world) == frozenset()


def test_only_what_the_operator_sends_is_offered(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__notices=["password_changed", "bound"]) as world:
        world.register()
        world.run(world.database.write(lambda tx: preferences.set_muted(tx, ALICE, {"new_sign_in"})))
        browser = Browser(world, "/account/notices")
        browser.sign_in()
        assert set(browser.page.checkboxes) == {"bound"}
        assert "A contact was added" not in browser.page.text
        assert "Your account has no contact yet" in browser.page.text
        browser.press("Save")
        assert muted(world) == {"bound", "new_sign_in"}
