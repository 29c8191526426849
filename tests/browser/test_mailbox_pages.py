"""The development mailbox in a real browser: it shows new messages by itself, and is read on a phone."""

import re

from playwright.sync_api import Browser, expect

from browser.served import Site
from browser.window import Window, new_context


def ask(site: Site, address: str) -> None:
    body = {"client_secret": re.sub(r"\W", "", address), "send_attempt": 1, "email": address}
    assert site.http.post("/_matrix/client/v3/register/email/requestToken", json=body).status_code == 200


def ask_for_sms(site: Site, number: str) -> None:
    body = {"client_secret": "sms", "send_attempt": 1, "country": "DE", "phone_number": number}
    assert site.http.post("/_matrix/client/v3/register/msisdn/requestToken", json=body).status_code == 200


def test_new_messages_appear_by_themselves_and_leave_the_focus_alone(window: Window, site: Site) -> None:
    page = window.page
    ask(site, "first@appearing.example.com")
    site.mail("first@appearing.example.com")
    page.goto(f"{site.base}/mailbox/")
    link = page.get_by_role("link", name="first@appearing.example.com")
    link.focus()
    ask(site, "second@appearing.example.com")
    expect(page.get_by_role("link", name="second@appearing.example.com")).to_be_visible(timeout=15_000)
    expect(link).to_be_focused()
    window.check_looks(page)


def test_a_search_stays_while_new_messages_arrive(window: Window, site: Site) -> None:
    page = window.page
    page.goto(f"{site.base}/mailbox/")
    page.get_by_role("searchbox", name="Recipient or text").fill("wanted@search.example")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("No message contains all of these words.")).to_be_visible()
    window.check_looks(page)
    ask(site, "other@search.example.com")
    ask(site, "wanted@search.example.com")
    expect(page.get_by_role("link", name="wanted@search.example.com")).to_be_visible(timeout=15_000)
    expect(page.get_by_role("link", name="other@search.example.com")).to_have_count(0)


def test_an_sms_is_read(window: Window, site: Site) -> None:
    page = window.page
    ask_for_sms(site, "015112345670")
    site.text_code("+4915112345670")
    page.goto(f"{site.base}/mailbox/")
    page.get_by_role("link", name="SMS to +4915112345670").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("SMS to +4915112345670")
    window.check_looks(page)


def test_the_mailbox_is_reloaded_and_searched_without_javascript(chromium: Browser, site: Site) -> None:
    with new_context(chromium, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{site.base}/mailbox/?q=plain@mailbox.example.com")
        expect(page.get_by_role("main").get_by_role("listitem")).to_have_count(0)
        ask(site, "plain@mailbox.example.com")
        site.mail("plain@mailbox.example.com")
        page.get_by_role("link", name="Reload").click()
        expect(page.get_by_role("main").get_by_role("listitem")).to_have_count(1)


def test_previews_lead_from_message_to_message_and_language_to_language(window: Window, site: Site) -> None:
    page = window.page
    page.goto(f"{site.base}/mailbox/")
    page.get_by_role("link", name="All messages").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("All messages")
    window.check_looks(page)
    page.get_by_role("link", name="Welcome to example.org").click()
    expect(page.frame_locator("iframe").get_by_text("042917")).to_be_visible()
    window.check_looks(page)
    page.get_by_role("link", name="de", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Willkommen bei example.org")
    expect(page.get_by_role("link", name="de", exact=True)).to_have_attribute("aria-current", "page")
    page.get_by_role("link", name="Next message").click()
    expect(page.get_by_role("heading", level=1)).to_have_attribute("lang", "de")
    expect(page.get_by_text("SMS (parts: 1)")).to_be_visible()
