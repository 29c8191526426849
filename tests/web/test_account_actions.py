"""The account management URL: apps send people to the page of what they want to do."""

from pathlib import Path

import pytest

from beside import beside_a_synapse
from oauth_app import App
from threepid.spec.oauth.accounts import PLACES, Action, actions
from web.portal_browser import Browser
from world import World


@pytest.fixture
def alice(world: World) -> Browser:
    """Alice's browser, signed in, and her app with the device ABCDEFGHIJ."""
    world.register()
    App(world).tokens()
    browser = Browser(world)
    browser.sign_in()
    return browser


@pytest.mark.parametrize(
    ("action", "path"),
    [
        ("org.matrix.profile", "/account/?action=org.matrix.profile"),
        ("org.matrix.devices_list", "/account/sessions"),
        ("org.matrix.sessions_list", "/account/sessions"),
        ("org.matrix.device_view", "/account/sessions"),
        ("org.matrix.device_delete", "/account/sessions"),
        ("org.matrix.session_view", "/account/sessions"),
        ("org.matrix.session_end", "/account/sessions"),
        ("org.matrix.account_deactivate", "/account/close"),
        ("org.matrix.cross_signing_reset", "/account/?action=org.matrix.cross_signing_reset"),
        ("unknown", "/account/?action=unknown"),
    ],
)
def test_each_action_has_its_page_and_an_unknown_one_the_start_page(alice: Browser, action: str, path: str) -> None:
    alice.open(f"/account/?action={action}")
    assert (alice.path, alice.page.status) == (path, 200)


def opened(world: World, browser: Browser) -> dict[str, str]:
    """Where each advertised action leads."""
    found = {}
    for action in world.get("/.well-known/openid-configuration").json()["account_management_actions_supported"]:
        browser.open(f"/account/?action={action}")
        assert browser.page.status == 200
        found[action] = browser.path.partition("?")[0]
    return found


def test_the_pages_do_what_is_advertised(world: World, alice: Browser) -> None:
    assert opened(world, alice) == {action: PLACES[action].path for action in actions(has_homeserver=False)}


def test_beside_a_homeserver_they_do_all(database_url: str, tmp_path: Path) -> None:
    with beside_a_synapse(database_url, tmp_path) as both:
        both.world.register()
        browser = Browser(both.world)
        browser.sign_in()
        assert opened(both.world, browser) == {action: PLACES[action].path for action in Action}


@pytest.mark.parametrize("action", ["device_view", "device_delete", "session_view", "session_end"])
def test_the_device_that_the_app_names_is_shown_alone_and_can_be_signed_out(alice: Browser, action: str) -> None:
    alice.open(f"/account/?action=org.matrix.{action}&device_id=ABCDEFGHIJ")
    assert alice.path == "/account/sessions?device=ABCDEFGHIJ"
    assert alice.page.strong == ["Element"]
    alice.press("Sign it out")
    assert alice.path == "/account/sessions?done=1"
    assert "ABCDEFGHIJ" not in alice.page.text


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("action=profile", "/account/?action=profile"),
        ("action=sessions_list", "/account/sessions"),
        ("action=session_view&device_id=ABCDEFGHIJ", "/account/sessions?device=ABCDEFGHIJ"),
        ("action=session_end&device_id=ABCDEFGHIJ", "/account/sessions?device=ABCDEFGHIJ"),
    ],
)
def test_the_names_of_the_first_drafts_lead_there_too(alice: Browser, query: str, path: str) -> None:
    """The former Element for Android opens the address without its last slash, and names the action without its prefix."""
    alice.open(f"/account?{query}")
    assert (alice.path, alice.page.status) == (path, 200)


@pytest.mark.parametrize("device_id", ["UNKNOWN", "%3Cscript%3E", "ABCDEFGHIJ%00", ""])
def test_an_unknown_device_shows_the_whole_list(alice: Browser, device_id: str) -> None:
    alice.open(f"/account/?action=org.matrix.device_view&device_id={device_id}")
    assert alice.page.status in (200, 400)
    assert "<script>" not in alice.page.html
    if alice.page.status == 200:
        assert "Element" in alice.page.strong
        assert len(alice.page.strong) > 1


def test_a_person_who_is_not_signed_in_comes_there_after_signing_in(world: World) -> None:
    world.register()
    browser = Browser(world, "/account/?action=org.matrix.device_delete&device_id=ABCDEFGHIJ")
    assert browser.page.heading == "Sign in"
    browser.sign_in()
    assert browser.path == "/account/sessions?device=ABCDEFGHIJ"


def test_the_app_of_a_device_is_named_also_when_the_device_was_renamed(alice: Browser) -> None:
    alice.open("/account/sessions?device=ABCDEFGHIJ")
    alice.press("Save", name="In the kitchen")
    alice.open("/account/sessions?device=ABCDEFGHIJ")
    assert alice.page.strong == ["In the kitchen"]
    assert "Element ·" in alice.page.text
