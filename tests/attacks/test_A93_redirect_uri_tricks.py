"""A93: a code leaves only to an address that the app registered, letter by letter, and says whose it is (mix-up)."""

from typing import Final
from urllib.parse import quote

import pytest

from oauth_app import CALLBACK, App
from web.portal_browser import Browser
from world import World

TRICKS: Final = (
    "https://app.example.com/callback/",
    "https://app.example.com/callback?x=1",
    "https://app.example.com/callback#x",
    "https://app.example.com/callback%00",
    "https://app.example.com/Callback",
    "https://APP.example.com/callback",
    "https://app.example.com:443/callback",
    "https://app.example.com./callback",
    "https://app.example.com/x/../callback",
    "https://app.example.com/callback/../../evil",
    "https://app.example.com/%2e%2e/callback",
    "https://app.example.com//callback",
    "https://app.example.com\\@evil.example/callback",
    "https://app.example.com@evil.example/callback",
    "https://evil.example@app.example.com/callback",
    "https://user:secret@app.example.com/callback",
    "https://app.example.com.evil.example/callback",
    "https://evilapp.example.com/callback",
    "https://app.example.com%2fevil.example/callback",
    "https://app\u3002example.com/callback",
    "https://\uff41pp.example.com/callback",
    "http://app.example.com/callback",
    "//app.example.com/callback",
    "/callback",
    "callback",
    "javascript:alert(1)//https://app.example.com/callback",
    "data:text/html,x",
    " https://app.example.com/callback",
    "https://app.example.com/callback ",
    "https://app.example.com/callback\r\nX: y",
    "https:app.example.com/callback",
    "https:///app.example.com/callback",
)
HARMLESS: Final = frozenset({*TRICKS[:2], *TRICKS[3:7], "https://app.example.com//callback"})
"""Those that are on the host of the app, where it may be answered if it registered so."""
LOOPBACK_TRICKS: Final = (
    "http://127.0.0.1:0/cb",
    "http://127.0.0.1:65536/cb",
    "http://127.0.0.1:99999999/cb",
    "http://127.0.0.1:80@evil.example/cb",
    "http://127.0.0.1:80.evil.example/cb",
    "http://127.0.0.1.evil.example:80/cb",
    "http://127.0.0.1:80/cb/x",
    "http://127.0.0.1:/cb",
    "http://127.0.0.2:80/cb",
    "http://localhost:80/cb",
    "http://[::1]:80/cb",
    "http://[::ffff:127.0.0.1]:80/cb",
    "http://2130706433:80/cb",
    "http://0x7f.1:80/cb",
    "https://127.0.0.1:80/cb",
    "http://127.0.0.1:80/cb#x",
    "http://127.0.0.1:80\\@evil.example/cb",
)


@pytest.mark.parametrize("uri", TRICKS)
def test_only_the_registered_address_is_taken(world: World, uri: str) -> None:
    browser = App(world).opened(redirect_uri=uri)
    assert (browser.left, browser.page.status) == ("", 400)
    assert uri not in browser.page.text


@pytest.mark.parametrize("uri", LOOPBACK_TRICKS)
def test_on_loopback_only_the_port_is_free(world: World, uri: str) -> None:
    app = App(world, application_type="native", redirect_uris=["http://127.0.0.1/cb"])
    browser = app.opened(redirect_uri=uri)
    assert (browser.left, browser.page.status) == ("", 400)


@pytest.mark.parametrize(
    "uri",
    [
        *(trick for trick in TRICKS if trick not in HARMLESS),
        "https://app.example.com/cb?code=x",
        "https://app.example.com/cb?state=x",
        "https://app.example.com/cb?error=x",
        "https://app.example.com/cb?%63ode=x",
        "com.example.app://host/cb",
        "com.example:/cb",
        "com.example.application:/cb",
        "com.example.app:/../cb",
        "COM.EXAMPLE.APP:/cb",
        "com.example.app",
        "localhost:/cb",
        "http://localhost:8080/cb",
        "http://localhost.evil.example/cb",
        "http://127.0.0.1@evil.example/cb",
        "http://0.0.0.0/cb",
        "blob:https://app.example.com/x",
        "about:blank",
        "intent://app.example.com/",
        "vbscript:x",
        "file:///etc/passwd",
    ],
)
def test_no_address_that_browsers_may_read_differently_is_registered(world: World, uri: str) -> None:
    metadata = {"application_type": "native", "client_uri": "https://app.example.com/", "redirect_uris": [uri]}
    answer = world.post("/oauth2/registration", metadata)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_redirect_uri")


def test_a_code_is_worth_nothing_with_another_address_of_the_same_app(world: World) -> None:
    world.register()
    other = "https://app.example.com/other"
    app = App(world, redirect_uris=[CALLBACK, other])
    assert app.exchange(app.code(), redirect_uri=other).json()["error"] == "invalid_grant"
    assert app.exchange(app.code(redirect_uri=other), redirect_uri=other).status_code == 200


@pytest.mark.parametrize("mode", ["query", "fragment"])
def test_every_answer_says_who_issued_it(world: World, mode: str) -> None:
    world.register()
    issuer = world.get("/_matrix/client/v1/auth_metadata").json()["issuer"]
    browser = App(world).opened(response_mode=mode)
    browser.sign_in()
    assert browser.allow()["iss"] == issuer
    assert App(world).opened(response_mode=mode, scope="").told()["iss"] == issuer


def test_a_state_cannot_add_parameters_or_headers(world: World) -> None:
    world.register()
    state = "x&code=stolen#\r\nSet-Cookie: a=b&iss=evil"
    browser = App(world).opened(state=state)
    browser.sign_in()
    told = browser.allow()
    assert told["state"] == state
    assert told["code"] != "stolen"
    assert "a=b" not in str(browser.answer.headers.get_list("set-cookie"))


@pytest.mark.parametrize(
    "next_",
    [
        "https://evil.example/",
        "//evil.example/oauth2/authorize",
        "/oauth2/authorize@evil.example",
        "/oauth2/authorize/../../evil",
        "/oauth2/authorize?x=//evil.example\\",
        "/oauth2/authorizeevil",
        "/oauth2/token",
        "/oauth2/../account/",
    ],
)
def test_signing_in_leads_to_our_own_pages_only(world: World, next_: str) -> None:
    world.register()
    browser = Browser(world, f"/account/sign-in?next={quote(next_, safe='')}")
    browser.sign_in()
    assert browser.path == "/account/"
