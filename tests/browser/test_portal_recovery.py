"""Registration and a forgotten password in a real browser: cookies, policies and redirects work as browsers apply them."""

import re

from playwright.sync_api import Browser, Page, expect

from browser.served import PASSWORD, Site
from browser.window import Window, new_context

NEW = "another long password"


def register(site: Site, window: Window, username: str) -> Page:
    page = window.page
    page.goto(f"{site.base}/account/")
    window.check_looks(page)
    page.get_by_role("link", name="Create an account").click()
    window.check_looks(page)
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    window.check_looks(page)
    page.get_by_role("link", name="Add an email address").click()
    page.get_by_label("Email address").fill(f"{username}@example.com")
    page.get_by_role("button", name="Send me a code").click()
    window.check_looks(page)
    page.get_by_label("Code").fill(site.code(f"{username}@example.com"))
    page.get_by_role("button", name="Continue").click()
    expect(page).to_have_url(f"{site.base}/account/")
    return page


def test_a_person_registers_and_forgets_the_password(chromium: Browser, site: Site, window: Window) -> None:
    page = register(site, window, "wilma")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Forgotten your password?").click()
    window.check_looks(page)
    page.get_by_label("Email address or phone number").fill("wilma@example.com")
    page.get_by_role("button", name="Send me a code").click()
    expect(page.get_by_role("heading", name="Check your email")).to_be_visible()
    window.check_looks(page)
    found = re.search(r"/reset/[\w-]+", site.mail("wilma@example.com"))
    assert found
    with new_context(chromium) as context:  # the mail is opened in another browser
        other = Window(context)
        other.page.goto(site.base + found[0])
        other.check_looks(other.page)
        other.page.get_by_label("New password").fill(NEW)
        other.page.get_by_role("button", name="Save and sign in").click()
        expect(other.page).to_have_url(f"{site.base}/account/")
        other.page.get_by_role("link", name="Password").click()
        other.check_looks(other.page)
        assert other.trouble == []
    page.goto(f"{site.base}/account/forgot/password")
    expect(page.get_by_role("heading", name="Start again")).to_be_visible()
    window.check_looks(page)
