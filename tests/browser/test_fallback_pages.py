"""Every stage of authentication, completed on its page in a real browser: opened by an app, told to the app."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.served import PASSWORD, Site
from browser.window import Window, new_context
from captcha_provider import RIGHT, SITE_KEY
from rig import wait_for

DONE = "Thank you, that worked"
CAPTCHA = {"type": "m.login.recaptcha", "response": f"{RIGHT}:{SITE_KEY}"}


def check_told(window: Window, site: Site, page: Page) -> None:
    """The page says that it is done, to the person and to the app."""
    expect(page.get_by_role("heading", level=1)).to_contain_text(DONE)
    assert window.heard() == [[site.base, "authDone"]]
    window.check_looks(page)


def test_nothing_is_asked_for(window: Window, site: Site) -> None:
    session = site.begin(body={"username": "nothing", "password": PASSWORD})["session"]
    page = window.open_from_app(site.url("m.login.dummy", session))
    window.check_looks(page)
    expect(page.get_by_role("button", name="Continue")).to_be_focused()
    page.keyboard.press("Enter")
    check_told(window, site, page)
    assert site.finish(session).json()["user_id"].startswith("@nothing:")


def test_a_password_is_typed(window: Window, site: Site) -> None:
    token = site.register("password")
    session = site.begin("/delete_devices", {"devices": []}, access_token=token)["session"]
    page = window.open_from_app(site.url("m.login.password", session))
    window.check_looks(page)
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The password is wrong.")
    expect(page.get_by_label("Password")).to_be_focused()
    expect(page.get_by_label("Password")).to_have_accessible_description("The password is wrong.")
    window.check_looks(page)
    assert window.page.evaluate("window.heard") == []
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    check_told(window, site, page)
    assert site.finish(session, "/delete_devices", access_token=token).status_code == 200


def test_the_code_of_a_mail_is_typed(window: Window, site: Site) -> None:
    session = site.begin(body={"username": "mail", "password": PASSWORD})["session"]
    page = window.open_from_app(site.url("m.login.email.identity", session))
    window.check_looks(page)
    expect(page.get_by_label("Email address")).to_be_focused()
    page.keyboard.type("code@example.com")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Code")).to_be_focused()
    window.check_looks(page)
    page.keyboard.type("000000" if site.code("code@example.com") != "000000" else "000001")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("This code is wrong.")
    window.check_looks(page)
    expect(page.get_by_label("Code")).to_be_focused()
    page.keyboard.type(site.code("code@example.com"))
    page.keyboard.press("Enter")
    check_told(window, site, page)
    assert site.finish(session).status_code == 200


def test_the_link_of_a_mail_is_opened(window: Window, site: Site) -> None:
    session = site.begin(body={"username": "link"})["session"]
    page = window.open_from_app(site.url("m.login.email.identity", session))
    page.get_by_label("Email address").fill("link@example.com")
    page.get_by_role("button", name="Send me a code").click()
    page.get_by_role("button", name="I pressed the button").click()
    expect(page.get_by_role("alert")).to_contain_text("We have not seen that yet")
    window.check_looks(page)
    mailed = window.context.new_page()
    mailed.goto(site.link("link@example.com"))
    window.check_looks(mailed)
    mailed.get_by_role("button", name="Yes, confirm it").click()
    expect(mailed.get_by_role("heading", level=1)).to_contain_text("that worked")
    window.check_looks(mailed)
    page.get_by_role("button", name="I pressed the button").click()
    check_told(window, site, page)


def test_a_phone_number_is_chosen_and_its_code_typed_with_the_keyboard_alone(window: Window, site: Site) -> None:
    session = site.begin(body={"username": "phone"})["session"]
    page = window.open_from_app(site.url("m.login.msisdn", session))
    window.check_looks(page)
    expect(page.get_by_label("Country")).to_have_value("US")
    expect(page.get_by_label("Phone number")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("United K")
    page.keyboard.press("Tab")
    page.keyboard.type("07400 123456")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_label("Code")).to_be_focused()
    expect(page.get_by_role("status")).to_have_text("We sent an SMS to +447400123456.")
    window.check_looks(page)
    first = site.text_code("+447400123456")
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Send another SMS")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("We sent another SMS to +447400123456.")
    expect(page.get_by_label("Code")).to_be_focused()
    page.keyboard.type(first)
    page.keyboard.press("Enter")
    check_told(window, site, page)


def test_a_captcha_is_solved(window: Window, guarded: Site) -> None:
    session = guarded.begin()["session"]
    page = window.open_from_app(guarded.url("m.login.recaptcha", session))
    window.check_looks(page)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_have_text("Solve the captcha first.")
    page.frame_locator("iframe").get_by_label("I am a human").check()
    page.get_by_role("button", name="Continue").click()
    check_told(window, guarded, page)
    assert guarded.finish(session).json()["completed"] == ["m.login.recaptcha"]


def test_a_token_is_typed_and_documents_accepted(window: Window, guarded: Site, registration_token: str) -> None:
    session = guarded.begin()["session"]
    guarded.begin(session=session, **CAPTCHA)
    page = window.open_from_app(guarded.url("m.login.registration_token", session))
    window.check_looks(page)
    expect(page.get_by_label("Registration token")).to_be_focused()
    page.keyboard.type("nonsense")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Registration token")).to_have_accessible_description(re.compile("is unknown"))
    window.check_looks(page)
    page.get_by_label("Registration token").fill(registration_token)
    page.keyboard.press("Enter")
    check_told(window, guarded, page)
    page = window.open_from_app(guarded.url("m.login.terms", session))
    window.check_looks(page)
    page.get_by_label(re.compile("Privacy policy")).check()
    page.get_by_role("button", name="I accept").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Do you agree?")  # the browser asks for the other one
    page.keyboard.press("Space")
    page.get_by_role("button", name="I accept").click()
    check_told(window, guarded, page)
    assert guarded.finish(session).json()["completed"] == [
        "m.login.recaptcha",
        "m.login.registration_token",
        "m.login.terms",
    ]


def test_an_app_that_embeds_the_page_is_called_even_if_it_comes_late(window: Window, site: Site) -> None:
    session = site.begin()["session"]
    url = site.url("m.login.dummy", session)
    page = window.page
    page.goto(url)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(DONE)
    page.evaluate("window.onAuthDone = () => { window.called = (window.called || 0) + 1; }")
    wait_for(lambda: page.evaluate("window.called === 1"))
    page.add_init_script("window.onAuthDone = () => { window.called = (window.called || 0) + 1; }")
    page.goto(url)  # a finished stage tells so at once
    wait_for(lambda: page.evaluate("window.called === 1"))


def test_a_function_of_the_app_is_called_instead_of_posting(window: Window, site: Site) -> None:
    session = site.begin(type="m.login.email.identity")["session"]
    window.context.add_init_script("window.onAuthDone = () => { window.called = true; }")
    page = window.open_from_app(site.url("m.login.dummy", session))
    page.get_by_role("button", name="Continue").click()
    wait_for(lambda: page.evaluate("window.called === true"))
    assert window.page.evaluate("window.heard") == []


@pytest.mark.parametrize(
    ("url", "heading"),
    [
        (lambda site: site.url("m.login.dummy", "unknown"), "This page has expired"),
        (lambda site: site.url("m.login.terms", site.begin()["session"]), "This step is not needed"),
        (lambda site: site.url("m.login.email.identity", site.begin()["session"]), "Choose a username first"),
        (
            lambda site: site.url(
                "m.login.email.identity", site.begin("/account/password", {"new_password": PASSWORD})["session"]
            ),
            "There is no page for this step",
        ),
        (lambda site: f"{site.base}/nothing", "Page not found"),
        (lambda site: f"{site.base}/mailbox/", "Mailbox"),
        (lambda site: f"{site.base}/confirm/nothing", "This link does not work any more"),
    ],
)
def test_pages_that_lead_nowhere_can_be_read(
    window: Window, site: Site, url: Callable[[Site], str], heading: str
) -> None:
    window.page.goto(url(site))
    expect(window.page.get_by_role("heading", level=1)).to_have_text(heading)
    window.check_looks(window.page)


def test_pages_work_without_javascript_up_to_telling_the_app(chromium: Browser, site: Site) -> None:
    body = {"username": "plain", "password": PASSWORD}
    session = site.begin(body=body)["session"]
    with new_context(chromium, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(site.url("m.login.email.identity", session))
        page.get_by_label("Email address").fill("plain@example.com")
        page.get_by_role("button", name="Send me a code").click()
        page.get_by_label("Code").fill(site.code("plain@example.com"))
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(DONE)
        page.goto(f"{site.base}/_matrix/static/client/login/")
        expect(page.locator(".problem:visible")).to_contain_text("needs JavaScript")
    assert site.finish(session).status_code == 200


def test_the_page_for_a_captcha_says_that_it_needs_javascript(chromium: Browser, guarded: Site) -> None:
    with new_context(chromium, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(guarded.url("m.login.recaptcha", guarded.begin()["session"]))
        expect(page.locator(".problem")).to_contain_text("needs JavaScript")


def test_another_site_cannot_frame_a_page_or_send_its_form(chromium: Browser, site: Site) -> None:
    session = site.begin()["session"]
    url = site.url("m.login.dummy", session)
    evil = f'<iframe src="{url}"></iframe><form method="post" action="{url}"><button>Win a prize</button></form>'
    with new_context(chromium) as context:
        context.route("https://evil.example/", lambda route: route.fulfill(body=evil, content_type="text/html"))
        page = context.new_page()
        page.goto("https://evil.example/")
        assert page.frame_locator("iframe").get_by_role("button", name="Continue").count() == 0
        page.get_by_role("button", name="Win a prize").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("This did not work")
    assert site.finish(session).json().get("completed", []) == []
