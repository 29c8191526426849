"""A136: an app ends its own session and no other: what ends others is done on the account pages, with a proof."""

import pytest

from oauth_app import App
from web.portal_browser import Browser
from world import World

C = "/_matrix/client/v3"


@pytest.mark.parametrize("version", ["r0", "v3", "unstable"])
def test_an_app_does_not_log_everything_out(world: World, version: str) -> None:
    other = world.register()
    browser = Browser(world)
    browser.sign_in()
    app = App(world).tokens().access_token
    refused = world.post(f"/_matrix/client/{version}/logout/all", token=app)
    assert (refused.status_code, refused.json()["errcode"]) == (403, "M_FORBIDDEN")
    assert "https://matrix.example.org/account/" in refused.json()["error"]
    for token in (other, app):
        assert world.get(f"{C}/account/whoami", token=token).status_code == 200
    browser.open("/account/")
    assert browser.path == "/account/"


def test_an_app_logs_itself_out(world: World) -> None:
    other = world.register()
    app = App(world).tokens().access_token
    assert world.post(f"{C}/logout", token=app).json() == {}
    assert world.get(f"{C}/account/whoami", token=app).status_code == 401
    assert world.get(f"{C}/account/whoami", token=other).status_code == 200
