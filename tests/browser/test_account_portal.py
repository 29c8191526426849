"""The whole life of an account in a real browser, with and without JavaScript."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from browser.portal import Portal
from browser.served import PASSWORD, Site
from browser.window import Window, new_context
from rig import wait_for

NEW = "another battery staple"


@pytest.fixture(params=["en", "en without JavaScript", "de", "ar", "ja"])
def portal(request: pytest.FixtureRequest, chromium: Browser, site: Site) -> Iterator[Portal]:
    language, _, without = request.param.partition(" ")
    with new_context(chromium, language, java_script_enabled=not without) as context:
        window = Window(context, language, name="plain-life" if without else "life", scripts=not without)
        yield Portal(window, site)
        assert window.trouble == []


def create_account(portal: Portal, name: str) -> None:
    portal.open("/account/")
    portal.see("Sign in")
    portal.follow("Create an account")
    portal.see("Create an account")
    portal.type("Username", name)
    portal.type("Password", PASSWORD)
    portal.press("Continue")
    portal.see("How can we reach you?")
    portal.press("Create the account without a contact")
    portal.see("Your account")


def add_contact(portal: Portal, address: str) -> None:
    portal.follow("Contacts")
    portal.see("Contacts")
    portal.follow("Add an email address")
    portal.see("Add an email address")
    portal.type("Email address", address)
    portal.press("Send me a code")
    portal.see("Enter the code")
    portal.type("Code", portal.site.code(address))
    portal.press("Continue")
    portal.see("Contacts")
    portal.expect_said("Your email address was added.")
    portal.follow("Let people find me")
    portal.see("Let people find you?")
    portal.press("Let people find me")
    portal.see("Contacts")
    portal.follow("← Your account")


def look_around(portal: Portal) -> None:
    portal.follow("Where you're signed in")
    portal.see("Where you're signed in")
    portal.open("/account/security")
    portal.see("Security log")
    portal.open("/account/notices")
    portal.see("Notices")
    portal.field("Somebody signed in").uncheck()
    portal.press("Save")
    portal.expect_said("Your choice was saved.")
    portal.see("Notices")
    expect(portal.field("Somebody signed in")).not_to_be_checked()
    portal.open("/account/password")
    portal.see("Change your password")
    portal.press("Sign out")


def forget_password(portal: Portal, address: str) -> None:
    portal.see("Sign in")
    portal.follow("Forgotten your password?")
    portal.see("Forgotten your password?")
    portal.type("Email address or phone number", address)
    portal.press("Send me a code")
    portal.see("Check your email")
    portal.type("Code", portal.site.code(address))
    portal.press("Continue")
    portal.see("Choose a new password")
    portal.type("New password", NEW)
    portal.press("Save and sign in")
    portal.see("Your account")


def leave(portal: Portal, address: str) -> None:
    portal.open("/account/data")
    portal.see("Download your data")
    with portal.page.expect_download() as download:
        portal.press("Download")
    assert address in Path(download.value.path()).read_text()
    portal.open("/account/contacts")
    portal.follow("Remove")
    portal.see("Remove this contact?")
    portal.press("Remove it")
    portal.see("Contacts")
    portal.open("/account/close")
    portal.see("Close your account")
    portal.field("I understand that this cannot be undone").check()
    portal.press("Close my account for good")
    portal.see("Your account is closed")
    portal.page.go_back()
    assert re.search("/account/(close|sign-in)", portal.page.url)
    expect(portal.page.get_by_text(address)).to_have_count(0)


@pytest.mark.timeout(180)
def test_an_account_lives_from_first_to_last_page(portal: Portal) -> None:
    name = f"{portal.window.name}-{portal.window.language}"
    address = f"{name}@example.com"
    create_account(portal, name)
    add_contact(portal, address)
    look_around(portal)
    forget_password(portal, address)
    leave(portal, address)


def test_the_page_goes_on_when_the_link_is_opened_elsewhere(window: Window, site: Site) -> None:
    site.register("elsewhere")
    portal = Portal(window, site)
    portal.open("/account/contacts")
    portal.type("Username, email address or phone number", "elsewhere")
    portal.type("Password", PASSWORD)
    portal.press("Sign in")
    portal.follow("Add an email address")
    portal.type("Email address", "elsewhere@example.com")
    portal.press("Send me a code")
    expect(portal.page.locator("h1")).to_have_text("Enter the code")
    assert site.http.post(site.link("elsewhere@example.com").removeprefix(site.base)).status_code == 200
    expect(portal.page.get_by_text("Your email address was added.")).to_be_visible(timeout=15_000)


def heard(portal: Portal, sent: list[Route]) -> list[Route]:
    """The requests that Playwright has heard of: it listens only while it is called."""
    portal.page.wait_for_timeout(50)
    return sent


def test_a_button_that_is_tapped_twice_sends_its_form_once(window: Window, site: Site) -> None:
    """On a slow connection, people tap again. The browser would drop the answer to the first form, with the cookie of the sign-in."""
    portal = Portal(window, site)
    portal.open("/account/register")
    portal.type("Username", "twice")
    portal.type("Password", PASSWORD)
    portal.press("Continue")
    sent: list[Route] = []
    portal.page.route("**/account/register/finish", lambda route: sent.append(route))  # noqa: PLW0108 - Playwright takes no builtin
    place = portal.page.get_by_role("button", name="Create the account without a contact").bounding_box()
    assert place
    for _ in range(3):
        portal.page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
        portal.page.wait_for_timeout(300)
    wait_for(lambda: heard(portal, sent), what="the request")
    assert len(sent) == 1
    sent[0].continue_()
    portal.see("Your account")


def test_a_button_can_be_tapped_again_when_no_answer_came(window: Window, site: Site) -> None:
    site.register("again")
    portal = Portal(window, site)
    portal.open("/account/sign-in")
    portal.type("Username, email address or phone number", "again")
    portal.type("Password", PASSWORD)
    sent: list[Route] = []
    portal.page.route("**/account/sign-in", lambda route: sent.append(route))  # noqa: PLW0108 - Playwright takes no builtin
    portal.page.keyboard.press("Enter")
    wait_for(lambda: heard(portal, sent), what="the request")
    portal.page.wait_for_timeout(5500)
    assert len(sent) == 1
    portal.page.keyboard.press("Enter")
    wait_for(lambda: heard(portal, sent)[1:], what="a second request")
    assert len(sent) == 2
    sent[1].continue_()
    portal.see("Your account")


@pytest.mark.parametrize("window", ["de", "ru"], indirect=True)
def test_nothing_overflows_where_letters_are_twice_as_large(window: Window, site: Site) -> None:
    """https://www.w3.org/TR/WCAG22/#resize-text, on the telephones that enlarge the text alone."""
    name = f"large-{window.language}"
    site.register(name)
    portal = Portal(window, site)
    portal.page.set_viewport_size({"width": 320, "height": 640})
    portal.open("/account/contacts")
    portal.type("Username, email address or phone number", name)
    portal.type("Password", PASSWORD)
    portal.press("Sign in")
    for path in ("/account/contacts", "/account/sessions", "/account/notices", "/account/password", "/account/close"):
        portal.open(path)
        portal.page.evaluate("document.documentElement.style.fontSize = '212.5%'")
        expect(portal.page.get_by_role("navigation").get_by_role("link")).to_be_in_viewport()
        assert portal.page.evaluate("document.documentElement.scrollWidth") <= 320, path
