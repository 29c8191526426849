"""An app sends a person to us in a real browser, and gets its answer: policies let the redirect through, and nothing else."""

import http.server
import threading
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from playwright.sync_api import expect

from browser.served import PASSWORD, Site
from browser.window import Window
from oauth_app import CHALLENGE, DEVICE_GRANT, SCOPE, VERIFIER

BACK: Final = b"<!doctype html><html lang=en><title>app</title><main><h1>Back in the app</h1></main>"


class _App(http.server.BaseHTTPRequestHandler):
    """The native app on this machine."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(BACK)))
        self.end_headers()
        self.wfile.write(BACK)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def callback() -> Iterator[str]:
    """The address of the app, on a port of its own."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _App)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/callback"
    server.shutdown()
    server.server_close()
    thread.join()


def registered(site: Site) -> str:
    """The ID of an app for loopback and devices."""
    metadata = {
        "client_name": "Desktop",
        "client_uri": "https://desktop.example.com/",
        "tos_uri": "https://desktop.example.com/terms",
        "application_type": "native",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token", DEVICE_GRANT],
    }
    return str(site.http.post("/oauth2/clients/register", json=metadata).json()["client_id"])


@pytest.mark.parametrize("mode", ["query", "fragment"])
def test_a_person_allows_an_app_and_comes_back_to_it(site: Site, window: Window, callback: str, mode: str) -> None:
    username = f"olga{mode}"
    site.register(username)
    client_id = registered(site)
    query = {
        "response_type": "code",
        "response_mode": mode,
        "client_id": client_id,
        "redirect_uri": callback,
        "scope": SCOPE,
        "state": "a state",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "login_hint": f"mxid:@{username}:localhost",
    }
    page = window.page
    page.goto(f"{site.base}/oauth2/authorize?{urlencode(query)}")
    window.check_looks(page)
    page.get_by_label("Username, email address or phone number").fill(username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Let Desktop use your account?")).to_be_visible()
    window.check_looks(page)
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.get_by_role("heading", name="Back in the app")).to_be_visible()
    parts = urlsplit(page.url)
    told = dict(parse_qsl(parts.fragment if mode == "fragment" else parts.query))
    assert told["state"] == "a state"
    form = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "code": told["code"],
        "redirect_uri": callback,
        "code_verifier": VERIFIER,
    }
    assert site.http.post("/oauth2/token", data=form).status_code == 200


def test_a_person_connects_a_device(site: Site, window: Window) -> None:
    site.register("otto")
    client_id = registered(site)
    begun = site.http.post("/oauth2/device", data={"client_id": client_id, "scope": SCOPE}).json()
    page = window.page
    page.goto(begun["verification_uri_complete"])
    page.get_by_label("Username, email address or phone number").fill("otto")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Connect a device")).to_be_visible()
    window.check_looks(page)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Let Desktop use your account?")).to_be_visible()
    window.check_looks(page)
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.get_by_role("heading", name="Your device is connected")).to_be_visible()
    window.check_looks(page)
    form = {"grant_type": DEVICE_GRANT, "client_id": client_id, "device_code": begun["device_code"]}
    assert site.http.post("/oauth2/token", data=form).status_code == 200


def test_a_person_lets_an_app_of_the_old_login_in(site: Site, window: Window, callback: str) -> None:
    site.register("oskar")
    page = window.page
    page.goto(f"{site.base}/_matrix/client/v3/login/sso/redirect?{urlencode({'redirectUrl': f'{callback}?a=b#home'})}")
    page.get_by_label("Username, email address or phone number").fill("oskar")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    where = f"http://{urlsplit(callback).netloc}"
    expect(page.get_by_role("heading", name=f"Let {where} use your account?")).to_be_visible()
    window.check_looks(page)
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.get_by_role("heading", name="Back in the app")).to_be_visible()
    parts = urlsplit(page.url)
    told = dict(parse_qsl(parts.query))
    assert (told["a"], parts.fragment) == ("b", "home")
    login = site.http.post("/_matrix/client/v3/login", json={"type": "m.login.token", "token": told["loginToken"]})
    assert login.json()["user_id"].startswith("@oskar:")
