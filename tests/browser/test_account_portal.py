"""The whole life of an account in a real browser, with and without JavaScript."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browser.portal import Portal
from browser.served import PASSWORD, Site
from browser.window import Window, new_context

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
