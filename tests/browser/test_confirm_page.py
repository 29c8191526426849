"""The page behind a mailed link in a real browser: its button leads on to the app that asked."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from playwright.sync_api import Browser, CDPSession, expect

from browser.served import Site
from browser.window import Window, new_context
from rig import ServerProcess, wait_for


class _App(http.server.BaseHTTPRequestHandler):
    """The app on another site that people come back to."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = b"<!doctype html><title>app</title><h1>Back in the app</h1>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class App:
    """A running app, and what was asked of it."""

    def __init__(self, host: str, asked: list[str]) -> None:
        self.host = host
        self.asked = asked


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    asked: list[str] = []
    handler = type("_AppHere", (_App,), {"asked": asked})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield App(f"localhost:{server.server_port}", asked)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def linked(app: App, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    tables = f'[web]\nnext_link_hosts = ["{app.host}"]\nnext_link_schemes = ["im.app"]\n'
    with Site(ServerProcess(tmp_path_factory.mktemp("linked"), tables=tables)) as made:
        yield made


def link(site: Site, name: str, next_link: str) -> str:
    body = {"client_secret": "s", "email": f"{name}@example.com", "send_attempt": 1, "next_link": next_link}
    answer = site.http.post("/_matrix/client/v3/register/email/requestToken", json=body)
    assert answer.status_code == 200, answer.text
    return site.link(f"{name}@example.com")


def test_the_button_leads_on_to_a_listed_page(window: Window, linked: Site, app: App) -> None:
    window.page.goto(link(linked, "web", f"https://{app.host}/back?room=1#here"))
    window.check_looks(window.page)
    window.page.get_by_role("button", name="Yes, confirm it").click()
    expect(window.page.get_by_role("heading", level=1)).to_have_text("Back in the app")
    assert window.page.url.startswith(f"https://{app.host}/back?room=1&sid=")
    assert app.asked[-1].startswith("/back?room=1&sid=")


def test_the_button_leads_on_to_an_app_of_a_listed_scheme(chromium: Browser, linked: Site) -> None:
    with new_context(chromium) as context:
        page = context.new_page()
        failed: list[dict[str, Any]] = []
        asked: list[str] = []

        def note_failure(event: dict[str, Any]) -> None:
            failed.append(event)

        devtools: CDPSession = context.new_cdp_session(page)
        devtools.send("Network.enable")
        devtools.on("Network.requestWillBeSent", lambda event: asked.append(event["request"]["url"]))
        devtools.on("Network.loadingFailed", note_failure)
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(link(linked, "native", "im.app://confirmed/"))
        page.get_by_role("button", name="Yes, confirm it").click()
        # No program here has that scheme, so the browser ends the navigation, but not by our policy.
        wait_for(lambda: page.title() and (failed or said), what="an end of the navigation")
        assert any(one.startswith("im.app://confirmed/?sid=") for one in asked)
        assert not any("Content Security Policy" in one for one in said)
        assert not any(one.get("blockedReason") == "csp" for one in failed)


def test_nothing_else_is_named_in_the_policy_of_the_page(linked: Site, app: App) -> None:
    for name, next_link, policy in (
        ("listed", f"https://{app.host.upper()}/x", f"form-action 'self' https://{app.host};"),
        ("scheme", "im.app://x", "form-action 'self' im.app:;"),
        ("stranger", "https://evil.example/", "form-action 'self';"),
        ("script", "javascript:alert(1)", "form-action 'self';"),
    ):
        page = linked.http.get(link(linked, name, next_link).removeprefix(linked.base))
        assert policy in page.headers["content-security-policy"] + ";"
        assert page.status_code == 200
