"""A forgotten password: from the sign-in page to a new one, by a code or a mailed link."""

from pathlib import Path

import pytest

from threepid.clock import DAY, HOUR, MINUTE
from web.portal_browser import Browser
from world import BASE, PASSWORD, World

NEW = "another long password"
SESSION = "__Host-threepid-session"
RESET = "__Host-threepid-reset"


def log_in(world: World, password: str) -> int:
    identifier = {"type": "m.id.user", "user": "alice"}
    body = {"type": "m.login.password", "identifier": identifier, "password": password}
    return world.post("/_matrix/client/v3/login", body).status_code


def alive(world: World, token: str) -> bool:
    return world.get("/_matrix/client/v3/account/whoami", token=token).status_code == 200


@pytest.fixture
def alice(world: World) -> str:
    """Alice's access token; her account has an email address."""
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.mails()
    world.clock.advance(1)
    return token


def asking(world: World, address: str = "alice@example.com") -> Browser:
    """A browser that has asked for a code."""
    browser = Browser(world)
    browser.follow("Forgotten your password?")
    browser.press("Send me a code", address=address)
    assert browser.path == "/account/forgot/code", browser.page.problem
    return browser


def test_the_code_leads_from_the_first_click_to_signed_in(world: World, alice: str) -> None:
    other = Browser(world)
    other.sign_in()
    browser = asking(world)
    assert browser.page.heading == "Check your email"
    browser.press("Continue", code=world.mail().code)
    assert browser.path == "/account/forgot/password"
    assert "@alice:example.org" in browser.page.text
    browser.press("Save and sign in", check=("sign_out",), password=NEW)
    assert browser.path == "/account/"
    assert (log_in(world, PASSWORD), log_in(world, NEW)) == (403, 200)
    assert not alive(world, alice)
    other.open("/account/")
    assert other.path.startswith("/account/sign-in")
    assert RESET not in browser.cookies


def test_the_link_leads_to_a_new_password_in_any_browser(world: World, alice: str) -> None:
    asking(world)
    mail = world.mail()
    assert mail.link.startswith("/reset/")
    browser = Browser(world, mail.link, **{"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0"})
    assert browser.page.heading == "Choose a new password"
    assert "Requested on" in browser.page.text
    browser.press("Save and sign in", password=NEW)
    assert browser.path == "/account/"
    assert log_in(world, NEW) == 200
    assert alive(world, alice)


def test_the_mail_says_who_asked_and_what_to_do(world: World, alice: str) -> None:
    asking(world)
    text = " ".join(world.mail().text.split())
    assert "has forgotten the password of the Matrix account @alice:example.org" in text
    assert "Requested on" in text
    assert "Open this link and choose a new password there:" in text
    assert "Or enter this code on the page where you asked:" in text


def test_a_link_that_was_used_leads_to_the_start(world: World, alice: str) -> None:
    asking(world)
    link = world.mail().link
    Browser(world, link).press("Save and sign in", password=NEW)
    again = Browser(world, link)
    assert again.page.status == 404
    again.follow("Start again")
    assert again.path == "/account/forgot"


def test_a_late_form_of_a_used_link_changes_nothing(world: World, alice: str) -> None:
    asking(world)
    link = world.mail().link
    first, second = Browser(world, link), Browser(world, link)
    first.press("Save and sign in", password=NEW)
    second.press("Save and sign in", password="a third long password")
    assert second.page.status == 404
    assert SESSION not in second.cookies
    assert log_in(world, NEW) == 200


def test_a_new_password_closes_every_other_reset(world: World, alice: str) -> None:
    first = asking(world)
    code = world.mail().code
    first.press("Continue", code=code)
    world.clock.advance(1)
    asking(world)
    link = world.mail().link
    world.clock.advance(1)
    asking(world)
    Browser(world, world.mail().link).press("Save and sign in", password=NEW)
    assert Browser(world, link).page.status == 404
    first.press("Save and sign in", password="a third long password")
    assert first.page.status == 404
    assert log_in(world, NEW) == 200


def test_a_weak_password_is_refused_and_may_be_corrected(world: World, alice: str) -> None:
    asking(world)
    browser = Browser(world, world.mail().link)
    browser.press("Save and sign in", password="short")
    assert browser.page.problem == "A password must have at least 8 characters."
    browser.press("Save and sign in", password="@alice:example.org")
    assert browser.page.problem == "Your password must not be your username."
    browser.press("Save and sign in", password=NEW)
    assert browser.path == "/account/"


def test_a_wrong_code_may_be_corrected_five_times(world: World, alice: str) -> None:
    browser = asking(world)
    code = world.mail().code
    wrong = "000000" if code != "000000" else "111111"
    for _ in range(4):
        browser.press("Continue", code=wrong)
        assert browser.page.problem == "This code is wrong."
    browser.press("Continue", code=wrong)
    assert browser.page.problem == "Too many wrong codes were entered. Please start again."
    assert "Continue" not in browser.page.buttons
    browser.follow("Start again")
    assert browser.path == "/account/forgot"


def sent_twice(world: World, browser: Browser, form: dict[str, str], path: str) -> int:
    """Send a form twice, as a browser without scripts does at a second tap; the number of mails that it sent."""
    before = len(world.mails())
    for _ in range(2):
        browser.submit(form, path)
        world.clock.advance(1)
    return len(world.mails()) - before


def test_a_form_that_is_sent_twice_sends_one_mail_with_the_right_code(world: World, alice: str) -> None:
    browser = Browser(world, "/account/forgot")
    form = {**browser.page.fields, "address": "alice@example.com"}
    assert sent_twice(world, browser, form, "/account/forgot") == 1
    browser.press("Continue", code=world.mail().code)
    assert browser.path == "/account/forgot/password"
    browser.submit(form, "/account/forgot")
    assert browser.path == "/account/forgot/password"


def test_a_button_for_another_mail_that_is_pressed_twice_sends_one(world: World, alice: str) -> None:
    browser = asking(world)
    for _ in range(2):
        assert sent_twice(world, browser, browser.page.values[1], "/account/forgot/again") == 1
        assert "We sent another mail to" in browser.page.text
    browser.press("Continue", code=world.mail().code)
    assert browser.path == "/account/forgot/password"


def test_a_form_that_comes_again_after_too_many_wrong_codes_sends_one_mail(world: World, alice: str) -> None:
    browser = Browser(world, "/account/forgot")
    form = {**browser.page.fields, "address": "alice@example.com"}
    browser.submit(form, "/account/forgot")
    for _ in range(5):
        browser.press("Continue", code="12345x")
    assert sent_twice(world, browser, form, "/account/forgot") == 1
    browser.press("Continue", code=world.mail().code)
    assert browser.path == "/account/forgot/password"


def test_one_form_may_be_sent_with_two_addresses(world: World, alice: str) -> None:
    """A person sees the mistake, goes back, and corrects it in the form that the browser remembers."""
    browser = Browser(world, "/account/forgot")
    form = browser.page.fields
    for address in ("alise@example.com", "alice@example.com"):
        browser.submit({**form, "address": address}, "/account/forgot")
        assert f"We sent a mail to {address}" in browser.page.text
    browser.press("Continue", code=world.mail().code)
    assert browser.path == "/account/forgot/password"


@pytest.mark.parametrize("key", ["", "no secret!", "x" * 256])
def test_a_form_without_a_key_sends_a_mail_as_before(world: World, alice: str, key: str) -> None:
    browser = Browser(world, "/account/forgot")
    browser.submit({**browser.page.fields, "key": key, "address": "alice@example.com"}, "/account/forgot")
    browser.press("Continue", code=world.mail().code)
    assert browser.path == "/account/forgot/password"


def test_five_wrong_codes_close_the_link_as_well(world: World, alice: str) -> None:
    browser = asking(world)
    mail = world.mail()
    for _ in range(5):
        browser.press("Continue", code="000000" if mail.code != "000000" else "111111")
    assert Browser(world, mail.link).page.status == 404


def test_another_message_may_be_sent(world: World, alice: str) -> None:
    browser = asking(world)
    first = world.mail().code
    world.clock.advance(MINUTE)
    browser.press("Send another mail")
    assert "We sent another mail to alice@example.com." in browser.page.text
    assert len(world.mails()) == 3
    assert world.mail().code != first
    browser.press("Continue", code=world.mail().code)
    assert browser.path == "/account/forgot/password"


def test_a_typed_code_is_good_for_fifteen_minutes(world: World, alice: str) -> None:
    browser = asking(world)
    browser.press("Continue", code=world.mail().code)
    world.clock.advance(15 * MINUTE)
    browser.press("Save and sign in", password=NEW)
    assert browser.page.status == 404
    assert log_in(world, NEW) == 403


def test_a_link_is_good_for_an_hour(world: World, alice: str) -> None:
    asking(world)
    browser = Browser(world, world.mail().link)
    world.clock.advance(HOUR)
    browser.press("Save and sign in", password=NEW)
    assert browser.page.status == 404
    assert log_in(world, NEW) == 403


def test_a_contact_that_was_removed_resets_nothing(world: World, alice: str) -> None:
    asking(world)
    browser = Browser(world, world.mail().link)
    body = {"medium": "email", "address": "alice@example.com"}
    assert world.post("/_matrix/client/v3/account/3pid/delete", body, token=alice).status_code == 200
    browser.press("Save and sign in", password=NEW)
    assert browser.page.status == 404
    assert log_in(world, NEW) == 403


def test_a_contact_of_long_ago_resets_nothing_and_says_so(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, policy__reset_contact_max_age_days=30) as world:
        token = world.register()
        world.add(token, world.validated(world.identity_token(token)))
        world.clock.advance(31 * DAY)
        browser = asking(world)
        browser.press("Continue", code=world.mail().code)
        assert browser.page.problem == "This address was validated too long ago to recover an account with it."


def test_a_phone_number_resets_by_sms(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, sms__countries=["GB"]) as world:
        token = world.register()
        secret = {"client_secret": "s", "country": "GB", "phone_number": "07400123456", "send_attempt": 1}
        answer = world.post("/_matrix/client/v3/account/3pid/msisdn/requestToken", secret, token=token).json()
        code = {"sid": answer["sid"], "client_secret": "s", "token": world.text().code}
        world.post(answer["submit_url"].removeprefix(BASE), code)
        assert world.add(token, answer["sid"], secret="s").status_code == 200
        browser = asking(world, "+44 7400 123456")
        assert browser.page.heading == "Check your phone"
        assert "choose a new password for @alice:example.org" in world.text().text
        browser.press("Continue", code=world.text().code)
        browser.press("Save and sign in", password=NEW)
        assert browser.path == "/account/"


@pytest.mark.parametrize("text", ["", "alice", "alice@", "@alice:example.org"])
def test_what_is_no_address_is_refused(world: World, alice: str, text: str) -> None:
    browser = Browser(world, "/account/forgot")
    browser.press("Send me a code", address=text)
    assert browser.page.problem == "We cannot send to this email address. Please check it."


def test_what_is_neither_address_nor_number_is_asked_for_both(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, sms__countries=["GB"]) as world:
        browser = Browser(world, "/account/forgot")
        browser.press("Send me a code", address="alice")
        assert browser.page.problem == "Please enter an email address or a phone number."
        browser.press("Send me a code", address="123")
        assert browser.page.problem == "We cannot send to this phone number. Please check it."


def test_password_managers_learn_whose_password_it_is(world: World, alice: str) -> None:
    """Chromium reads no input of the type `hidden`, and would save the password without its username."""
    browser = asking(world)
    browser.press("Continue", code=world.mail().code)
    assert 'type="text" autocomplete="username" value="@alice:example.org" readonly hidden' in browser.page.html
    browser.press("Save and sign in", password=NEW)
    browser.open("/account/password")
    assert 'type="text" autocomplete="username" value="@alice:example.org" readonly hidden' in browser.page.html
    world.clock.advance(HOUR)
    browser.open("/account/close")
    assert browser.page.heading == "Confirm that it is you"
    assert 'type="text" autocomplete="username" value="@alice:example.org" readonly hidden' in browser.page.html


def test_the_title_says_that_something_was_wrong(world: World, alice: str) -> None:
    browser = Browser(world, "/account/forgot")
    browser.press("Send me a code", address="alice")
    assert "<title>Problem: Forgotten your password?" in browser.page.html
    browser.open("/account/register")
    browser.press("Continue", username="a b", password=PASSWORD)
    assert "<title>Problem: Create an account" in browser.page.html


def test_a_server_without_recovery_says_so(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__recover_with=[]) as world:
        browser = Browser(world)
        assert "Forgotten your password?" not in browser.page.links
        browser.open("/account/forgot")
        assert "cannot send you a code" in browser.page.text
        assert "Send me a code" not in browser.page.buttons
        browser.submit(
            {"form_token": browser.page.fields.get("form_token", ""), "address": "a@b.example"}, browser.path
        )
        assert browser.page.status == 403


def test_the_reset_keeps_its_secrets_out_of_every_address(world: World, alice: str) -> None:
    browser = asking(world)
    sid, _, secret = browser.cookies[RESET].partition(".")
    assert browser.attributes[RESET].endswith("; HttpOnly; SameSite=Lax; Secure")
    browser.press("Continue", code=world.mail().code)
    browser.press("Save and sign in", password=NEW)
    assert sid
    assert not [one for one in browser.trail if secret in one or sid in one or NEW in one]


def test_a_browser_signed_in_to_another_account_changes_over(world: World, alice: str) -> None:
    world.register("bob")
    browser = Browser(world)
    browser.sign_in("bob")
    before = dict(browser.cookies)
    asking(world)
    browser.open(world.mail().link)
    browser.press("Save and sign in", password=NEW)
    assert "@alice:example.org" in browser.page.text
    browser.cookies = before
    browser.open("/account/")
    assert browser.path.startswith("/account/sign-in")


def test_the_message_is_in_the_language_of_the_page(world: World, alice: str) -> None:
    for address in ("alice@example.com", "nobody@example.com"):
        browser = Browser(world, "/account/forgot", **{"Accept-Language": "de"})
        fields = {"form_token": browser.page.fields["form_token"], "address": address}
        browser.submit(fields, "/account/forgot")
        assert browser.path == "/account/forgot/code"
        world.clock.advance(1)
        assert world.mail().text.startswith("Hallo")
