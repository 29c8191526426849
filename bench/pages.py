"""How long a person waits for a page of the account portal: one browser, one request after the other."""

import http.client
import re
import statistics
import time
from http.cookies import SimpleCookie
from typing import Final
from urllib.parse import urlencode

from clients import PASSWORD
from tools import Figures, Setup, bare, serving

SIGN_IN: Final = "/account/sign-in"
PAGES: Final = {
    "sign-in page": SIGN_IN,
    "home": "/account/",
    "contacts": "/account/contacts",
    "sessions": "/account/sessions",
    "security log": "/account/security",
}
USER: Final = "user0000007"
SIGN_INS: Final = 20
"""So many entries the security log has, and so many browsers are signed in."""
REQUESTS: Final = 500
GOAL: Final = "< 5"


class Browser:
    """A browser with one connection and its cookies."""

    def __init__(self, port: int, language: str = "en") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._headers = {
            "Host": f"localhost:{port}",
            "Accept-Language": language,
            "User-Agent": "Mozilla/5.0 (X11; Linux)",
        }
        self._origin = f"http://localhost:{port}"
        self._cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, bytes]:
        """The status and body of the answer."""
        headers = {**self._headers, "Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        if form is not None:
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": self._origin}
        self._connection.request(method, path, urlencode(form) if form is not None else None, headers)
        answer = self._connection.getresponse()
        for header in answer.headers.get_all("Set-Cookie", ()):
            self._cookies |= {name: morsel.value for name, morsel in SimpleCookie(header).items()}
        return answer.status, answer.read()

    def sign_in(self) -> None:
        """Sign in as a person does."""
        _, page = self.ask("GET", SIGN_IN)
        token = re.search(rb'name="form_token" value="([^"]+)"', page)
        if token is None:
            raise SystemExit(f"{SIGN_IN} has no form:\n{page!r}")
        status, page = self.ask("POST", SIGN_IN, {"form_token": token[1].decode(), "name": USER, "password": PASSWORD})
        if status != 303:
            raise SystemExit(f"nobody could sign in: {status}\n{page!r}")

    def wait(self, path: str) -> float:
        """The median of the milliseconds until the page is there."""
        took = []
        for _ in range(REQUESTS):
            begin = time.perf_counter()
            status, _ = self.ask("GET", path)
            took.append((time.perf_counter() - begin) * 1000)
            if status != 200:
                raise SystemExit(f"{path} was answered with {status}")
        return statistics.median(took)


def measure(setup: Setup) -> Figures:
    """The median time of some pages, of the security log in Arabic, and of a constant answer of the same size."""
    figures: Figures = {}
    with serving(setup):
        for _ in range(SIGN_INS):
            Browser(setup.port).sign_in()
        for language, pages in (("en", PAGES), ("ar", {"security log in Arabic": PAGES["security log"]})):
            signed_in, stranger = Browser(setup.port, language), Browser(setup.port, language)
            signed_in.sign_in()
            for name, path in pages.items():
                browser = stranger if path == SIGN_IN else signed_in
                figures[f"{name}, median (ms)"] = (browser.wait(path), GOAL)
        size = len(signed_in.ask("GET", PAGES["security log"])[1])
    with bare(size) as port:
        figures["a constant answer of that size, median (ms)"] = (Browser(port).wait("/"), "")
    return figures
