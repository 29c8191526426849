"""Registration and a forgotten password in a real browser: cookies, policies and redirects work as browsers apply them."""

import re

import pytest
from playwright.sync_api import Browser, expect

from browser.portal import Portal
from browser.served import PASSWORD, Site
from browser.window import EXAMINED, Window, new_context

NEW = "another long password"


def register(portal: Portal, username: str, address: str) -> None:
    portal.open("/account/")
    portal.follow("Create an account")
    portal.type("Username", username)
    portal.type("Password", PASSWORD)
    portal.press("Continue")
    portal.follow("Add an email address")
    portal.see("Your email address")
    portal.type("Email address", address)
    portal.press("Send me a code")
    portal.see("Check your email")
    portal.type("Code", portal.site.code(address))
    portal.press("Continue")
    expect(portal.page).to_have_url(f"{portal.site.base}/account/")


@pytest.mark.parametrize("window", EXAMINED, indirect=True)
def test_a_person_registers_and_forgets_the_password(chromium: Browser, site: Site, window: Window) -> None:
    portal = Portal(window, site)
    username = f"wilma-{window.language}"
    address = f"{username}@example.com"
    register(portal, username, address)
    portal.press("Sign out")
    portal.follow("Forgotten your password?")
    portal.type("Email address or phone number", address)
    portal.press("Send me a code")
    portal.see("Check your email")
    found = re.search(r"/reset/[\w-]+", site.mail(address))
    assert found
    with new_context(chromium, window.language) as context:  # the mail is opened in another browser
        other = Portal(Window(context, window.language, name="reset"), site)
        other.open(found[0])
        other.see("Choose a new password")
        other.type("New password", NEW)
        other.press("Save and sign in")
        expect(other.page).to_have_url(f"{site.base}/account/")
        assert other.window.trouble == []
    portal.open("/account/forgot/password")
    portal.see("Start again")
