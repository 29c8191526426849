"""The contacts of an account in the portal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bounce_reports import complaint, jobs_to, notification, send, sender_of, suppressed, world_with_reports
from threepid.clock import DAY, MINUTE
from web.portal_browser import Browser
from world import PASSWORD, World

ADDRESS = "alice@example.com"
KEPT = "__Host-threepid-kept"


@pytest.fixture
def token(world: World) -> str:
    """The access token of Alice, as an app has it."""
    return world.register()


@pytest.fixture
def browser(world: World, token: str) -> Browser:
    """Alice's browser, signed in."""
    assert token
    browser = Browser(world, "/account/contacts")
    browser.sign_in()
    return browser


def add(browser: Browser, address: str = ADDRESS) -> None:
    """Ask for a code to an address, from the list of contacts."""
    browser.follow("Add an email address")
    browser.press("Send me a code", address=address)


def test_an_address_is_added_by_its_code(world: World, browser: Browser, token: str) -> None:
    add(browser)
    assert browser.page.heading == "Enter the code"
    assert ADDRESS in browser.page.text
    browser.press("Continue", code=f" {world.mail().code[:3]} {world.mail().code[3:]} ")
    assert browser.path == "/account/contacts?added=email"
    assert "Your email address was added." in browser.page.text
    assert world.contacts(token) == [ADDRESS]


def test_an_address_is_added_by_the_mailed_link(world: World, browser: Browser, token: str) -> None:
    add(browser)
    browser.press("I pressed the button")
    assert browser.page.problem.startswith("We have not seen that yet.")
    assert world.post(world.mail().link).status_code == 200
    browser.press("I pressed the button")
    assert world.contacts(token) == [ADDRESS]


@pytest.mark.parametrize("signs_in", [True, False])
@pytest.mark.parametrize("recovers", [True, False])
def test_pages_promise_of_a_contact_what_the_configuration_lets_it_do(
    database_url: str, tmp_path: Path, signs_in: bool, recovers: bool
) -> None:
    login_with, recover_with = ["user", "email"] if signs_in else ["user"], ["email"] if recovers else []
    with World(database_url, tmp_path, accounts__login_with=login_with, accounts__recover_with=recover_with) as world:
        world.register()
        browser = Browser(world, "/account/")
        browser.sign_in()
        assert ("Add one, so that you can get back" in browser.page.text) == recovers
        browser.open("/account/contacts")
        add(browser)
        browser.press("Continue", code=world.mail().code)
        assert ("You can sign in with these" in browser.page.text) == (signs_in and recovers)
        browser.follow("Remove")
        assert ("You can't sign in with it any more" in browser.page.text) == signs_in
        assert ("you can't get back into your account" in browser.page.text) == recovers


def test_a_phone_number_is_added_as_it_is_dialled_at_home(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, sms__countries=["DE", "GB"]) as world:
        token = world.register()
        browser = Browser(world, "/account/contacts")
        browser.sign_in()
        browser.follow("Add a phone number")
        browser.press("Send me a code", country="GB", address="07400 123456")
        assert "We sent an SMS to" in browser.page.text
        assert "I pressed the button" not in browser.page.buttons
        assert browser.page.scripts == ["/static/once.js"]
        browser.press("Continue", code=world.text().code)
        assert browser.path == "/account/contacts?added=msisdn"
        assert world.contacts(token) == ["447400123456"]


def test_the_script_learns_that_the_link_was_opened(world: World, browser: Browser) -> None:
    add(browser)
    _, _, query = browser.path.partition("?")
    assert browser.get_json(f"/account/contacts/verified?{query}") == {"verified": False}
    world.post(world.mail().link)
    assert browser.get_json(f"/account/contacts/verified?{query}") == {"verified": True}


def test_another_mail_has_another_code_and_both_are_right(world: World, browser: Browser, token: str) -> None:
    add(browser)
    first = world.mail().code
    world.clock.advance(MINUTE)
    browser.press("Send another mail")
    assert "We sent another mail to" in browser.page.text
    assert len(world.mails()) == 2
    assert world.mail().code != first
    browser.press("Continue", code=first)
    assert world.contacts(token) == [ADDRESS]


def sent_twice(world: World, browser: Browser, form: dict[str, str]) -> int:
    """Send a form twice, as a browser without scripts does at a second tap; the number of mails that it sent."""
    before, path = len(world.mails()), browser.path
    for _ in range(2):
        browser.submit(form, path)
        world.clock.advance(1)
    return len(world.mails()) - before


def test_a_form_that_is_sent_twice_sends_one_mail_with_the_right_code(
    world: World, browser: Browser, token: str
) -> None:
    browser.follow("Add an email address")
    form = {**browser.page.fields, "address": ADDRESS}
    assert sent_twice(world, browser, form) == 1
    browser.press("Continue", code=world.mail().code)
    assert world.contacts(token) == [ADDRESS]


@pytest.mark.parametrize("over", ["", "too many wrong codes", "too old"])
def test_a_button_for_another_mail_that_is_pressed_twice_sends_one(
    world: World, browser: Browser, token: str, over: str
) -> None:
    add(browser)
    if over == "too many wrong codes":
        for _ in range(5):
            browser.press("Continue", code="12345x")
    elif over == "too old":
        path = browser.path
        for _ in range(2):  # who comes back within a day stays signed in
            world.clock.advance(DAY // 2 + MINUTE)
            browser.open(path)
        browser.press("Continue", password=PASSWORD)
    for _ in range(2):
        assert sent_twice(world, browser, {**browser.page.fields, "action": "again"}) == 1
        assert "We sent another mail to" in browser.page.text
    browser.press("Continue", code=world.mail().code)
    assert world.contacts(token) == [ADDRESS]


def test_five_wrong_codes_lead_to_a_new_one(world: World, browser: Browser, token: str) -> None:
    add(browser)
    wrong = "000000" if world.mail().code != "000000" else "111111"
    for _ in range(5):
        browser.press("Continue", code=wrong)
    assert "Continue" not in browser.page.buttons or browser.press("Continue", code=world.mail().code)
    assert "Send a new code" in browser.page.buttons
    assert world.contacts(token) == []
    browser.press("Send a new code")
    browser.press("Continue", code=world.mail().code)
    assert world.contacts(token) == [ADDRESS]


def test_no_other_browser_can_finish_what_this_one_began(world: World, browser: Browser) -> None:
    add(browser)
    path = browser.path
    world.register("bob")
    other = Browser(world, "/account/contacts")
    other.sign_in("bob")
    other.open(path)
    assert other.page.status == 404
    other.open(path.replace("/verify?", "/verified?"))
    assert other.page.status == 404
    again = Browser(world, "/account/contacts")
    again.sign_in()
    again.open(path)
    again.press("Continue", code=world.mail().code)
    assert "took too long" in again.page.text


def test_the_address_of_another_account_looks_the_same(world: World, browser: Browser, token: str) -> None:
    bob = world.register("bob")
    world.add(bob, world.validated(world.identity_token(bob, "bob"), "bob@example.com"))
    mails = len(world.mails())
    add(browser, "bob@example.com")
    assert browser.page.heading == "Enter the code"
    assert len(world.mails()) == mails + 1
    assert "somebody" in world.mail().text.lower() or "another account" in world.mail().text.lower()
    assert world.contacts(token) == []


def test_an_address_that_is_there_already_is_named(world: World, browser: Browser, token: str) -> None:
    add(browser)
    browser.press("Continue", code=world.mail().code)
    add(browser, ADDRESS.upper())
    assert browser.page.problem == "Your account has this contact already."
    assert world.contacts(token) == [ADDRESS]


def test_a_wrong_address_is_shown_again_with_what_is_wrong(browser: Browser) -> None:
    add(browser, "not an address")
    assert browser.page.problem == "We cannot send to this email address. Please check it."
    assert browser.page.fields["address"] == "not an address"


def test_the_last_contact_is_removed_with_a_warning(world: World, browser: Browser, token: str) -> None:
    add(browser)
    browser.press("Continue", code=world.mail().code)
    browser.follow("Remove")
    assert "This is your last contact." in browser.page.text
    assert ADDRESS not in browser.path
    browser.press("Remove it")
    assert browser.path == "/account/contacts?removed=1"
    assert world.contacts(token) == []


ONLY_WAY = "Your other contacts can't get you back into your account if you forget your password."


def add_phone(world: World, browser: Browser, number: str = "+44 7400 123456") -> None:
    browser.follow("Add a phone number")
    browser.press("Send me a code", address=number)
    browser.press("Continue", code=world.text_with_code().code)


def removal(browser: Browser, address: str) -> str:
    """The text of the page that asks whether the contact shall be removed."""
    browser.open("/account/contacts")
    row = next(row for row in browser.page.html.split("<li>") if address in row)
    query = row.partition('href="/account/contacts/remove?')[2].partition('"')[0]
    browser.open(f"/account/contacts/remove?{query}")
    return browser.page.text


def test_the_only_contact_that_recovers_is_removed_with_a_warning(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, sms__countries=["GB"], accounts__recover_with=["email"]) as world:
        world.register()
        browser = Browser(world, "/account/contacts")
        browser.sign_in()
        add(browser)
        browser.press("Continue", code=world.mail_with_code().code)
        add_phone(world, browser)
        assert ONLY_WAY in removal(browser, ADDRESS)
        text = removal(browser, "+447400123456")
        assert "you forget your password" not in text
        browser.open("/account/contacts")
        world.clock.advance(MINUTE)
        add(browser, "other@example.com")
        browser.press("Continue", code=world.mail_with_code().code)
        assert ONLY_WAY not in removal(browser, ADDRESS)


def test_a_contact_that_was_verified_long_ago_is_no_other_way_back(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, policy__reset_contact_max_age_days=30) as world:
        world.register()
        browser = Browser(world, "/account/contacts")
        browser.sign_in()
        for address in (ADDRESS, "other@example.com"):
            add(browser, address)
            browser.press("Continue", code=world.mail_with_code().code)
            world.clock.advance(MINUTE)
        assert ONLY_WAY not in removal(browser, ADDRESS)
        world.clock.advance(30 * DAY - MINUTE - 1)
        browser = Browser(world, "/account/contacts")
        browser.sign_in()
        assert ONLY_WAY not in removal(browser, ADDRESS)
        assert ONLY_WAY in removal(browser, "other@example.com")


def test_people_are_found_only_while_they_want_it(world: World, browser: Browser, token: str) -> None:
    add(browser)
    browser.press("Continue", code=world.mail().code)
    identity = world.identity_token(token)
    assert world.look_up(identity, ADDRESS) is None
    browser.follow("Let people find me")
    browser.press("Let people find me")
    assert "People who know the address can find you now." in browser.page.text
    assert world.look_up(identity, ADDRESS) == "@alice:example.org"
    browser.follow("Don't let people find me")
    browser.press("Stop it")
    assert world.look_up(identity, ADDRESS) is None
    assert world.contacts(token) == [ADDRESS]


def test_who_wants_to_be_found_accepts_the_terms_first(database_url: str, tmp_path: Path) -> None:
    url = "https://example.org/terms"
    documents = [{"id": "tos", "version": "1", "languages": {"en": {"name": "Terms of the directory", "url": url}}}]
    with World(database_url, tmp_path, identity__terms=documents) as world:
        world.register()
        browser = Browser(world, "/account/contacts")
        browser.sign_in()
        add(browser)
        browser.press("Continue", code=world.mail().code)
        terms = world.identity.terms
        browser.follow("Let people find me")
        assert f'<a href="{url}">Terms of the directory</a>' in browser.page.html
        browser.press("Let people find me")
        assert browser.page.problem == "Read and accept the terms first."
        assert not world.run(terms.are_accepted("@alice:example.org"))
        browser.press("Let people find me", check=("accept",))
        assert browser.path == "/account/contacts?bound=1"
        assert world.run(terms.are_accepted("@alice:example.org"))
        browser.follow("Don't let people find me")
        browser.press("Stop it")
        browser.follow("Let people find me")
        assert browser.page.checkboxes == {}


def test_a_change_needs_a_fresh_proof(world: World, browser: Browser) -> None:
    world.clock.advance(11 * MINUTE)
    browser.follow("Add an email address")
    assert browser.page.heading == "Confirm that it is you"
    browser.press("Continue", password="correct horse battery")
    assert browser.page.heading == "Add an email address"


@pytest.mark.parametrize("by_code", [False, True])
def test_a_typed_address_comes_back_after_a_fresh_proof(database_url: str, tmp_path: Path, by_code: bool) -> None:
    with World(database_url, tmp_path, sms__countries=["DE", "GB"]) as world:
        world.register()
        browser = Browser(world, "/account/contacts")
        browser.sign_in()
        add(browser)
        browser.press("Continue", code=world.mail_with_code().code)
        browser.follow("Add a phone number")
        world.clock.advance(11 * MINUTE)
        browser.press("Send me a code", country="GB", address="07400 123456")
        assert world.texts() == []
        if by_code:
            browser.follow("I can't remember it")
            browser.press(ADDRESS)
            browser.press("Continue", code=world.mail_with_code().code)
        else:
            browser.press("Continue", password="not the password")
            browser.press("Continue", password=PASSWORD)
        assert browser.page.heading == "Add a phone number"
        assert (browser.page.fields["country"], browser.page.fields["address"]) == ("GB", "07400 123456")
        browser.press("Send me a code")
        assert world.text_with_code().recipient == "+447400123456"
        browser.open("/account/contacts/add?medium=msisdn")
        assert browser.page.fields["address"] == ""


def test_a_typed_code_comes_back_after_a_fresh_proof(world: World, browser: Browser, token: str) -> None:
    world.clock.advance(9 * MINUTE)
    add(browser)
    world.clock.advance(2 * MINUTE)
    code = world.mail().code
    browser.press("Continue", code=code)
    browser.press("Continue", password=PASSWORD)
    assert browser.page.fields["code"] == code
    browser.press("Continue")
    assert world.contacts(token) == [ADDRESS]


def too_late(world: World, browser: Browser, address: str = ADDRESS) -> None:
    """Send the form of a new address more than ten minutes after the last proof."""
    browser.follow("Add an email address")
    world.clock.advance(11 * MINUTE)
    browser.press("Send me a code", address=address)
    assert browser.page.heading == "Confirm that it is you"


def test_a_typed_address_comes_back_to_its_account_alone(world: World, browser: Browser) -> None:
    too_late(world, browser)
    assert "Max-Age=600" in browser.attributes[KEPT]
    world.register("bob")
    browser.press("Sign out")
    browser.sign_in("bob")
    browser.open("/account/contacts/add?medium=email")
    assert ADDRESS not in browser.page.html


def test_a_typed_address_comes_back_to_its_form_alone(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, sms__countries=["DE"]) as world:
        world.register()
        browser = Browser(world, "/account/contacts")
        browser.sign_in()
        too_late(world, browser)
        kept = browser.cookies[KEPT]
        browser.press("Continue", password=PASSWORD)
        assert browser.page.fields["address"] == ADDRESS
        browser.cookies[KEPT] = kept
        browser.open("/account/contacts/add?medium=msisdn")
        assert browser.page.fields["address"] == ""


def test_an_address_that_fits_no_cookie_does_not_come_back(world: World, browser: Browser) -> None:
    too_late(world, browser, "x" * 3000)
    assert KEPT not in browser.cookies


def test_a_changed_cookie_brings_nothing_back(world: World, browser: Browser) -> None:
    too_late(world, browser)
    browser.cookies[KEPT] += "AA"
    browser.press("Continue", password=PASSWORD)
    assert browser.page.fields["address"] == ""


@pytest.mark.parametrize("value", ["", ".", "x", "x.y", "x.e30", "x." + "A" * 3000])
def test_a_cookie_with_anything_else_does_not_matter(world: World, browser: Browser, value: str) -> None:
    browser.cookies[KEPT] = value
    browser.follow("Add an email address")
    assert browser.page.fields["address"] == ""


def test_where_changes_are_off_nothing_offers_them(database_url: str, tmp_path: str) -> None:
    with World(database_url, tmp_path, policy__changes_allowed=False) as world:  # type: ignore[arg-type]
        world.register()
        browser = Browser(world, "/account/contacts")
        browser.sign_in()
        assert "The people who run this server manage the contacts." in browser.page.text
        assert "Add an email address" not in browser.page.links
        token = browser.page.fields["form_token"]
        browser.open("/account/contacts/add")
        assert browser.page.status == 403
        assert "This server does not allow changes of contacts." in browser.page.text
        browser.submit({"form_token": token, "medium": "email", "address": ADDRESS}, "/account/contacts/add")
        assert browser.page.status == 403
        assert world.mails() == []


@pytest.mark.parametrize("changes", [{"policy__changes_allowed": False}, {"email": None}])
def test_nobody_is_told_to_add_a_contact_who_cannot(database_url: str, tmp_path: Path, changes: dict[str, Any]) -> None:
    with World(database_url, tmp_path, **changes) as world:
        world.register()
        browser = Browser(world)
        browser.sign_in()
        assert browser.page.heading == "Your account"
        assert "Add one" not in browser.page.text


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (notification, "Mails to this address have been coming back since"),
        (complaint, "Mails to this address have been reported as spam since"),
    ],
)
def test_a_contact_whose_mails_come_back_is_marked(
    database_url: str, tmp_path: Path, report: Callable[[str], bytes], sentence: str
) -> None:
    with world_with_reports(database_url, tmp_path) as world:
        token = world.register()
        browser = Browser(world, "/account/contacts")
        browser.sign_in()
        for address in (ADDRESS, "other@example.com"):
            add(browser, address)
            browser.press("Continue", code=world.mail().code)
            world.clock.advance(MINUTE)
        browser.open("/account/contacts")
        assert "since" not in browser.page.text
        world.mails()
        (*_, notice) = jobs_to(world, ADDRESS)  # about the other contact
        send(world, report(sender_of(world, notice.id)))
        assert len(suppressed(world)) == 1
        world.clock.advance(90 * DAY)
        browser = Browser(world, "/account/contacts")
        browser.sign_in()
        assert browser.page.text.count(sentence) == 1
        assert f"{sentence} 15 January 2027. It gets no notices." in " ".join(browser.page.text.split())
        assert world.contacts(token) == [ADDRESS, "other@example.com"]
