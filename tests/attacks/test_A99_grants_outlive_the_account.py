"""A99: a code or a device that somebody allowed is worth nothing after the account was secured or closed."""

from collections.abc import Callable
from typing import Final

import pytest

from oauth_app import App, Television, connect, whoami
from web.portal_browser import Browser
from world import PASSWORD, World

C: Final = "/_matrix/client/v3"
AUTH: Final = {
    "type": "m.login.password",
    "identifier": {"type": "m.id.user", "user": "alice"},
    "password": PASSWORD,
}


def new_password(world: World, token: str) -> None:
    body = {"new_password": "another password 1", "auth": AUTH}
    assert world.post(f"{C}/account/password", body, token=token).status_code == 200


def log_out_everywhere(world: World, token: str) -> None:
    assert world.post(f"{C}/logout/all", token=token).status_code == 200


def deactivate(world: World, token: str) -> None:
    assert world.post(f"{C}/account/deactivate", {"auth": AUTH}, token=token).status_code == 200


def end_others(world: World, _token: str) -> None:
    browser = Browser(world, "/account/sessions")
    browser.sign_in()
    browser.press("Sign out everything but this browser")


@pytest.mark.parametrize("secure", [new_password, log_out_everywhere, deactivate, end_others])
def test_neither_a_code_nor_an_allowed_device_opens_a_session_any_more(
    world: World, secure: Callable[[World, str], None]
) -> None:
    token = world.register()
    app, device = App(world), Television(world)
    code, begun = app.code(), device.begin()
    connect(world, begun)
    secure(world, token)
    assert app.exchange(code).json()["error"] == "invalid_grant"
    assert device.error(begun["device_code"]) == "invalid_grant"


@pytest.mark.parametrize("secure", [new_password, log_out_everywhere, deactivate, end_others])
def test_the_sessions_of_apps_end_with_all_others(world: World, secure: Callable[[World, str], None]) -> None:
    token = world.register()
    app = App(world)
    tokens = app.tokens()
    secure(world, token)
    assert whoami(world, tokens.access_token).status_code == 401
    assert app.refresh(tokens.refresh_token).json()["error"] == "invalid_grant"


def test_an_app_that_takes_a_device_over_gets_no_token_of_its_former_owner(world: World) -> None:
    """Login and OpenID tokens and those of the identity server were issued to what the device was before."""
    world.register()
    app = App(world)
    first = app.tokens()
    path = f"{C}/user/@alice:example.org/openid/request_token"
    openid = world.post(path, token=first.access_token).json()["access_token"]
    identity = world.identity_token(first.access_token)
    app.tokens()
    userinfo = world.get(f"/_matrix/federation/v1/openid/userinfo?access_token={openid}")
    assert userinfo.status_code == 401
    assert world.get("/_matrix/identity/v2/account", token=identity).status_code == 401
