"""An app that uses the OAuth 2.0 API, and its person in a browser without JavaScript."""

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
from msgspec import Struct

from web.portal_browser import Browser
from web.visitor import Page
from world import PASSWORD, World

METADATA: dict[str, Any] = {
    "client_name": "Element",
    "client_uri": "https://app.example.com/",
    "redirect_uris": ["https://app.example.com/callback"],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
    "application_type": "web",
}
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
CALLBACK = "https://app.example.com/callback"
VERIFIER = "v" * 43
SECRET = "shared secret"
"""What a homeserver beside the server knows."""
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
API, DEVICE = "urn:matrix:client:api:*", "urn:matrix:client:device:"
SCOPE = f"{API} {DEVICE}ABCDEFGHIJ"


class Tokens(Struct):
    access_token: str
    refresh_token: str
    expires_in: int
    scope: str
    token_type: str


class App:
    """An app; `browser` is the one that it opens for its person."""

    def __init__(self, world: World, **changes: Any) -> None:
        self.world = world
        self.metadata = {**METADATA, **changes}
        answer = world.post("/oauth2/clients/register", self.metadata)
        assert answer.status_code == 201, answer.text
        self.client_id: str = answer.json()["client_id"]

    def url(self, **changes: str | None) -> str:
        """The address to which the app sends the browser; None leaves a parameter out."""
        wanted: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": CALLBACK,
            "scope": SCOPE,
            "state": "the state",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return "/oauth2/authorize?" + urlencode({name: value for name, value in wanted.items() if value is not None})

    def opened(self, **changes: str | None) -> "Consenting":
        """A browser in which the app asks."""
        return Consenting(self.world, self.url(**changes))

    def code(self, username: str = "alice", **changes: str | None) -> str:
        """The code that a person allows who signs in first."""
        browser = self.opened(**changes)
        browser.sign_in(username)
        return browser.allow()["code"]

    def token(self, **form: str | None) -> httpx.Response:
        given = {"client_id": self.client_id, **form}
        return ask(self.world, "/oauth2/token", {name: value for name, value in given.items() if value is not None})

    def exchange(self, code: str, /, **changes: str | None) -> httpx.Response:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return self.token(**{**form, **changes})

    def refresh(self, refresh_token: str, /, **changes: str | None) -> httpx.Response:
        return self.token(**{"grant_type": "refresh_token", "refresh_token": refresh_token, **changes})

    def tokens(self, username: str = "alice", **changes: str | None) -> Tokens:
        """The tokens of a new session."""
        return as_tokens(self.exchange(self.code(username, **changes)))


class Consenting(Browser):
    """A browser that stops where an app's address begins."""

    left = ""
    """The address of the app to which it was sent."""

    def _arrive(self, answer: httpx.Response) -> None:
        self.left = ""
        for _ in range(6):
            target = answer.headers.get("location", "")
            if answer.status_code != 303:
                break
            if not target.startswith("/"):
                self.left, self.answer = target, answer
                return
            answer = self._ask("GET", target)
        self.page = Page(answer)

    def allow(self) -> dict[str, str]:
        """Allow it; returns what the app is told."""
        self.press("Allow")
        return self.told()

    def told(self) -> dict[str, str]:
        """What the app is told by the address that the browser was sent to."""
        assert self.left, self.page.html
        parts = urlsplit(self.left)
        pairs = parse_qsl(parts.fragment or parts.query, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def policy(self, directive: str) -> str:
        """A directive of the page's Content-Security-Policy."""
        policies = self.page.headers["Content-Security-Policy"].split("; ")
        return next(one.removeprefix(f"{directive} ") for one in policies if one.startswith(f"{directive} "))


def ask(world: World, path: str, form: dict[str, str], **headers: str) -> httpx.Response:
    """Send a form as an app does."""
    return world.call(
        "POST",
        path,
        urlencode(form),
        headers={"Content-Type": "application/x-www-form-urlencoded", **headers},
    )


def as_tokens(answer: httpx.Response) -> Tokens:
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return Tokens(**answer.json())


def whoami(world: World, token: str) -> httpx.Response:
    return world.get("/_matrix/client/v3/account/whoami", token=token)


def query_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)


class Television(App):
    """A device without a browser."""

    def __init__(self, world: World, **changes: Any) -> None:
        super().__init__(world, grant_types=[DEVICE_GRANT, "refresh_token"], redirect_uris=[], **changes)

    def begin(self, **changes: str) -> dict[str, Any]:
        answer = ask(self.world, "/oauth2/device", {"client_id": self.client_id, "scope": SCOPE, **changes})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def poll(self, device_code: str, **changes: str) -> httpx.Response:
        return self.token(**{"grant_type": DEVICE_GRANT, "device_code": device_code, **changes})

    def error(self, device_code: str) -> str:
        answer = self.poll(device_code)
        assert answer.status_code == 400, answer.text
        return str(answer.json()["error"])


def at_link(world: World, path: str = "/account/link", username: str = "alice") -> Consenting:
    browser = Consenting(world, path)
    browser.sign_in(username)
    return browser


def connect(world: World, begun: dict[str, Any], username: str = "alice") -> None:
    browser = at_link(world, username=username)
    browser.press("Continue", code=begun["user_code"].lower().replace("-", " "))
    browser.press("Allow")
    assert browser.page.heading == "Your device is connected"


def introspect(world: World, token: str, *, secret: str = SECRET, **headers: str) -> httpx.Response:
    form = {"token": token, "token_type_hint": "access_token"}
    return ask(world, "/oauth2/introspect", form, Authorization=f"Bearer {secret}", **headers)


def about(world: World, token: str, **headers: str) -> dict[str, Any]:
    answer = introspect(world, token, **headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


__all__ = [
    "API",
    "CALLBACK",
    "CHALLENGE",
    "DEVICE",
    "DEVICE_GRANT",
    "METADATA",
    "PASSWORD",
    "SCOPE",
    "SECRET",
    "VERIFIER",
    "App",
    "Consenting",
    "Television",
    "Tokens",
    "about",
    "as_tokens",
    "ask",
    "at_link",
    "connect",
    "introspect",
    "query_of",
    "whoami",
]
