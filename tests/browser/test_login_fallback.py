"""The login fallback in a real browser: it logs in and hands the login to the app."""

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from browser.served import PASSWORD, Site
from browser.window import EXAMINED, Window
from rig import wait_for
from threepid.i18n import Duration

SPECIFICATION = "window.onLogin = (login) => { window.handed = login; };"
SINCE_2015 = "window.matrixLogin.onLogin = (login) => { window.handed = login; };"
IN_A_FRAME = """
window.refused = [];
document.addEventListener("securitypolicyviolation", (event) => window.refused.push(event.violatedDirective));
window.matrixLogin.onLogin = (login) => {
  const frame = document.createElement("iframe");
  frame.setAttribute("src", "js:" + JSON.stringify({ action: "onLogin", credentials: login }));
  document.documentElement.appendChild(frame);
  frame.remove();
  setTimeout(() => { window.handed = login; }, 200);
};
"""
"""What apps put into the page that embed it: the address of a frame, of a scheme that only they know, tells them the login."""


def open_login(window: Window, site: Site, query: str = "") -> Page:
    window.page.goto(f"{site.base}/_matrix/static/client/login/{query}")
    return window.page


def log_in(page: Page, user: str, password: str = PASSWORD) -> None:
    page.get_by_label(re.compile("Username")).fill(user)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def handed(page: Page) -> dict[str, str]:
    """What the app was given."""
    # Not wait_for_function: it evaluates text inside the page, whose policy forbids that.
    found: dict[str, str] = wait_for(lambda: page.evaluate("window.handed"), what="a login for the app")
    return found


def whoami(site: Site, token: str) -> dict[str, str]:
    answer = site.http.get("/_matrix/client/v3/account/whoami", headers={"Authorization": f"Bearer {token}"})
    found: dict[str, str] = answer.json()
    return found


PASTED = (
    "\u202a+44 7400 654321\u202c",  # as telephones copy numbers of their contacts
    "+44\u00a07400\u2011654321",
    "+\u0664\u0664\u0667\u0664\u0660\u0660\u0666\u0665\u0664\u0663\u0662\u0661",
    "\uff0b\uff14\uff14 7400654321",
)


def register_with(site: Site, username: str, medium: str, **address: str) -> str:
    """An account that has proven an address; its user ID."""
    body = {"username": username, "password": PASSWORD}
    session = site.begin(body=body)["session"]
    proof = {"client_secret": f"secret-{username}"}
    asked = {**proof, "send_attempt": 1, **address}
    opened = site.http.post(f"/_matrix/client/v3/register/{medium}/requestToken", json=asked).json()
    proof["sid"] = opened["sid"]
    code = site.code(address["email"]) if medium == "email" else site.text_code(address["phone_number"])
    assert site.http.post(opened["submit_url"], json={**proof, "token": code}).json() == {"success": True}
    stage = "m.login.email.identity" if medium == "email" else "m.login.msisdn"
    auth = {"type": stage, "session": session, "threepid_creds": proof}
    answer = site.http.post("/_matrix/client/v3/register", json={**body, "auth": auth})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["user_id"])


@pytest.fixture(scope="module")
def account(site: Site) -> str:
    return register_with(site, "login", "email", email="login@example.com")


@pytest.fixture(scope="module")
def caller(site: Site) -> str:
    return register_with(site, "caller", "msisdn", phone_number="+447400654321", country="GB")


@pytest.mark.parametrize("hook", [SPECIFICATION, SINCE_2015])
def test_the_login_is_handed_to_the_app(window: Window, site: Site, account: str, hook: str) -> None:
    page = open_login(window, site)
    window.check_looks(page)
    expect(page.get_by_label(re.compile("Username"))).to_be_focused()
    page.evaluate(hook)
    page.keyboard.type("login")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("You are signed in")
    expect(page.get_by_role("status")).to_be_focused()
    window.check_looks(page)
    login = handed(page)
    assert login["user_id"] == account
    assert whoami(site, login["access_token"])["device_id"] == login["device_id"]


def test_an_app_is_told_by_the_address_of_a_frame(window: Window, site: Site, account: str) -> None:
    """As Element for Android and iOS do: the page's policy must not stop the frame before the app sees its address."""
    page = open_login(window, site)
    page.evaluate(IN_A_FRAME)
    log_in(page, "login")
    assert handed(page)["user_id"] == account
    assert page.evaluate("window.refused") == []


@pytest.mark.parametrize("user", ["login", "{account}", " login ", "login@example.com", "LOGIN@example.com"])
def test_people_are_known_by_name_and_address(window: Window, site: Site, account: str, user: str) -> None:
    page = open_login(window, site)
    page.evaluate(SPECIFICATION)
    log_in(page, user.format(account=account))
    assert handed(page)["user_id"] == account


@pytest.mark.parametrize("user", ["+447400654321", "+44 (0)7400 65-43-21", *PASTED])
def test_people_are_known_by_phone_number(window: Window, site: Site, caller: str, user: str) -> None:
    page = open_login(window, site)
    page.evaluate(SPECIFICATION)
    log_in(page, user)
    assert handed(page)["user_id"] == caller


def test_the_query_goes_along_to_the_login(window: Window, site: Site, account: str) -> None:
    name = "My <b>phone</b> & more"
    query = f"?device_id=PHONE&initial_device_display_name={quote(name)}&refresh_token=true&password=x&user=y"
    page = open_login(window, site, query)
    page.evaluate(SPECIFICATION)
    log_in(page, "login")
    login = handed(page)
    assert login["device_id"] == "PHONE"
    assert login["refresh_token"]
    headers = {"Authorization": f"Bearer {login['access_token']}"}
    device = site.http.get("/_matrix/client/v3/devices/PHONE", headers=headers).json()
    assert device["display_name"] == name


@pytest.mark.parametrize("window", EXAMINED, indirect=True)
def test_a_wrong_password_is_told_and_may_be_typed_again(window: Window, site: Site, account: str) -> None:
    page = open_login(window, site)
    page.evaluate(SPECIFICATION)
    password = page.get_by_label(window.say("Password"), exact=True)
    page.get_by_label(window.say("Username, email address or phone number")).fill("login")
    password.fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(password).to_be_focused()
    expect(password).to_have_value("")
    expect(password).to_have_accessible_description(re.compile(window.say("The username or password is wrong.")))
    window.check_looks(page)
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    assert handed(page)["user_id"] == account


def test_without_an_app_that_waits_nobody_stays_logged_in(window: Window, site: Site, account: str) -> None:
    page = open_login(window, site)
    with page.expect_response(re.compile("/login$")) as login, page.expect_response(re.compile("/logout$")):
        log_in(page, "login")
    expect(page.get_by_role("alert")).to_contain_text("No app is waiting")
    assert "errcode" in whoami(site, login.value.json()["access_token"])


def test_a_server_that_is_away_is_told(window: Window, site: Site, account: str) -> None:
    page = open_login(window, site)
    page.route(re.compile("/login$"), lambda route: route.abort())
    log_in(page, "login")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(page.get_by_role("button", name="Sign in")).to_be_enabled()
    window.trouble.clear()  # the browser tells of the request that we cut


@pytest.mark.parametrize("window", EXAMINED, indirect=True)
def test_a_limit_is_told_in_the_language_of_the_page(window: Window, site: Site) -> None:
    page = open_login(window, site)
    limited = {"errcode": "M_LIMIT_EXCEEDED", "error": "Too many requests.", "retry_after_ms": 119_000}
    page.route(re.compile("/login$"), lambda route: route.fulfill(status=429, json=limited))
    page.get_by_label(window.say("Username, email address or phone number")).fill("login")
    page.get_by_label(window.say("Password"), exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    wait = Duration(119_000).in_language(window.language)
    expect(page.get_by_role("alert")).to_have_text(window.say("Too many requests. Please wait %(wait)s.", wait=wait))
