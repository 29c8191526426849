"""Every stage of authentication, completed on its page in a real browser: opened by an app, told to the app."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.served import PASSWORD, Site
from browser.window import EXAMINED, Window, new_context
from captcha_provider import RIGHT, SITE_KEY, CaptchaProvider
from rig import wait_for

DONE = "Thank you, that worked"
NOT_YET = "We have not seen that yet. Open the link in the mail and press the button on the page."
UNKNOWN_TOKEN = "This registration token is unknown, has expired or has no uses left."
NUMBER = "+447400123456"
CAPTCHA = {"type": "m.login.recaptcha", "response": f"{RIGHT}:{SITE_KEY}"}


IN_BOTH_DIRECTIONS = pytest.mark.parametrize("window", EXAMINED, indirect=True)


def button(window: Window, page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=window.say(name), exact=True)


def field(window: Window, page: Page, label: str) -> Locator:
    return page.get_by_label(window.say(label), exact=True)


def expect_heading(window: Window, page: Page, heading: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(window.say(heading))


def check_told(window: Window, site: Site, page: Page) -> None:
    """The page says that it is done, to the person and to the app."""
    expect(page.get_by_role("heading", level=1)).to_contain_text(window.say(DONE))
    assert window.heard() == [[site.base, "authDone"]]
    window.check_looks(page)


@IN_BOTH_DIRECTIONS
def test_nothing_is_asked_for(window: Window, site: Site) -> None:
    session = site.begin(body={"username": f"nothing-{window.language}", "password": PASSWORD})["session"]
    page = window.open_from_app(site.url("m.login.dummy", session))
    expect_heading(window, page, "Continue?")
    window.check_looks(page)
    expect(button(window, page, "Continue")).to_be_focused()
    page.keyboard.press("Enter")
    check_told(window, site, page)
    assert site.finish(session).json()["user_id"].startswith(f"@nothing-{window.language}:")


@IN_BOTH_DIRECTIONS
def test_a_password_is_typed(window: Window, site: Site) -> None:
    token = site.register(f"password-{window.language}")
    session = site.begin("/delete_devices", {"devices": []}, access_token=token)["session"]
    page = window.open_from_app(site.url("m.login.password", session))
    expect_heading(window, page, "Enter your password")
    window.check_looks(page)
    expect(field(window, page, "Password")).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text(window.say("The password is wrong."))
    expect(field(window, page, "Password")).to_be_focused()
    expect(field(window, page, "Password")).to_have_accessible_description(window.say("The password is wrong."))
    window.check_looks(page)
    assert window.page.evaluate("window.heard") == []
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    check_told(window, site, page)
    assert site.finish(session, "/delete_devices", access_token=token).status_code == 200


@IN_BOTH_DIRECTIONS
def test_the_code_of_a_mail_is_typed(window: Window, site: Site) -> None:
    session = site.begin(body={"username": f"mail-{window.language}", "password": PASSWORD})["session"]
    page = window.open_from_app(site.url("m.login.email.identity", session))
    expect_heading(window, page, "Your email address")
    window.check_looks(page)
    expect(field(window, page, "Email address")).to_be_focused()
    address = f"code-{window.language}@example.com"
    page.keyboard.type(address)
    page.keyboard.press("Enter")
    expect(field(window, page, "Code")).to_be_focused()
    window.check_looks(page)
    page.keyboard.type("000000" if site.code(address) != "000000" else "000001")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text(window.say("This code is wrong."))
    window.check_looks(page)
    expect(field(window, page, "Code")).to_be_focused()
    page.keyboard.type(site.code(address))
    page.keyboard.press("Enter")
    check_told(window, site, page)
    assert site.finish(session).status_code == 200


@IN_BOTH_DIRECTIONS
def test_the_link_of_a_mail_is_opened(window: Window, site: Site) -> None:
    session = site.begin(body={"username": f"link-{window.language}"})["session"]
    page = window.open_from_app(site.url("m.login.email.identity", session))
    address = f"link-{window.language}@example.com"
    field(window, page, "Email address").fill(address)
    button(window, page, "Send me a code").click()
    button(window, page, "I pressed the button").click()
    expect(page.get_by_role("alert")).to_have_text(window.say(NOT_YET))
    window.check_looks(page)
    mailed = window.context.new_page()
    mailed.goto(site.link(address))
    expect_heading(window, mailed, "Is this your address?")
    window.check_looks(mailed)
    button(window, mailed, "Yes, confirm it").click()
    expect(mailed.get_by_role("heading", level=1)).to_contain_text(window.say(DONE))
    window.check_looks(mailed)
    button(window, page, "I pressed the button").click()
    check_told(window, site, page)


@IN_BOTH_DIRECTIONS
def test_a_phone_number_is_chosen_and_its_code_typed_with_the_keyboard_alone(window: Window, site: Site) -> None:
    session = site.begin(body={"username": f"phone-{window.language}"})["session"]
    page = window.open_from_app(site.url("m.login.msisdn", session))
    expect_heading(window, page, "Your phone number")
    window.check_looks(page)
    expect(field(window, page, "Country")).to_have_value("US")
    expect(field(window, page, "Phone number")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowUp")  # in both languages, the United Kingdom stands before the United States
    expect(field(window, page, "Country")).to_have_value("GB")
    page.keyboard.press("Tab")
    page.keyboard.type("07400 123456")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(field(window, page, "Code")).to_be_focused()
    expect(page.get_by_role("status")).to_have_text(
        window.say("We sent an SMS to <strong><bdi>%(address)s</bdi></strong>.", address=NUMBER)
    )
    window.check_looks(page)
    first = site.text_code(NUMBER)
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(button(window, page, "Send another SMS")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text(
        window.say("We sent another SMS to <strong><bdi>%(address)s</bdi></strong>.", address=NUMBER)
    )
    expect(field(window, page, "Code")).to_be_focused()
    page.keyboard.type(first)
    page.keyboard.press("Enter")
    check_told(window, site, page)


@IN_BOTH_DIRECTIONS
def test_a_captcha_is_solved(window: Window, guarded: Site, captcha: CaptchaProvider) -> None:
    session = guarded.begin()["session"]
    page = window.open_from_app(guarded.url("m.login.recaptcha", session))
    expect_heading(window, page, "Are you human?")
    window.check_looks(page, guest=captcha.origin)
    button(window, page, "Continue").click()
    expect(page.get_by_role("alert")).to_have_text(window.say("Solve the captcha first."))
    page.frame_locator("iframe").get_by_label("I am a human").check()
    button(window, page, "Continue").click()
    check_told(window, guarded, page)
    assert guarded.finish(session).json()["completed"] == ["m.login.recaptcha"]


@IN_BOTH_DIRECTIONS
def test_a_token_is_typed_and_documents_accepted(window: Window, guarded: Site, registration_token: str) -> None:
    session = guarded.begin()["session"]
    guarded.begin(session=session, **CAPTCHA)
    page = window.open_from_app(guarded.url("m.login.registration_token", session))
    expect_heading(window, page, "Your registration token")
    window.check_looks(page)
    expect(field(window, page, "Registration token")).to_be_focused()
    page.keyboard.type("nonsense")
    page.keyboard.press("Enter")
    expect(field(window, page, "Registration token")).to_have_accessible_description(
        re.compile(window.say(UNKNOWN_TOKEN))
    )
    window.check_looks(page)
    field(window, page, "Registration token").fill(registration_token)
    page.keyboard.press("Enter")
    check_told(window, guarded, page)
    page = window.open_from_app(guarded.url("m.login.terms", session))
    window.check_looks(page)
    page.get_by_label(re.compile("Privacy policy")).check()
    button(window, page, "I accept").click()
    expect_heading(window, page, "Do you agree?")  # the browser asks for the other one
    page.keyboard.press("Space")
    button(window, page, "I accept").click()
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
    # In a function of its own, because what is evaluated is called if it is a function.
    page.evaluate("() => { window.onAuthDone = () => { window.called = (window.called || 0) + 1; }; }")
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


@IN_BOTH_DIRECTIONS
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
    expect_heading(window, window.page, heading)
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
