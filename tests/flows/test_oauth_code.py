"""An app signs in by the authorization code grant."""

from oauth_app import API, DEVICE, App, as_tokens, whoami
from world import World


def test_an_app_signs_in_and_uses_the_account(world: World) -> None:
    world.register()
    app = App(world)
    browser = app.opened()
    assert browser.page.heading == "Sign in"
    browser.sign_in()
    assert browser.page.heading == "Let Element use your account?"
    assert {"app.example.com", "ABCDEFGHIJ"} <= set(browser.page.strong)
    assert "@alice:example.org" in browser.page.text
    told = browser.allow()
    assert browser.left.startswith("https://app.example.com/callback?")
    assert (told["state"], told["iss"]) == ("the state", "https://matrix.example.org/")
    tokens = as_tokens(app.exchange(told["code"]))
    assert (tokens.token_type, tokens.expires_in) == ("Bearer", 300)
    assert tokens.scope == f"{API} {DEVICE}ABCDEFGHIJ"
    assert whoami(world, tokens.access_token).json() == {
        "user_id": "@alice:example.org",
        "device_id": "ABCDEFGHIJ",
        "is_guest": False,
    }
    devices = world.get("/_matrix/client/v3/devices", token=tokens.access_token).json()["devices"]
    assert ("ABCDEFGHIJ", "Element") in [(one["device_id"], one["display_name"]) for one in devices]


def test_the_answer_can_come_in_the_fragment(world: World) -> None:
    world.register()
    browser = App(world).opened(response_mode="fragment")
    browser.sign_in()
    assert set(browser.allow()) == {"code", "state", "iss"}
    assert browser.left.startswith("https://app.example.com/callback#code=")
