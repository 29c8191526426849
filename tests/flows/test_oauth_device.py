"""A device without a browser shows a code, which its owner enters on another one."""

from pathlib import Path
from typing import Any

import pytest

from beside import Beside, beside_a_synapse
from oauth_app import DEVICE_GRANT, SCOPE, App, Television, Tokens, as_tokens, ask, at_link, connect, whoami
from threepid.clock import MINUTE, SECOND
from threepid.storage import oauth
from threepid.storage.engine.database import Tx
from world import World

ADMIN = "urn:synapse:admin:*"


def test_a_device_is_connected(world: World) -> None:
    world.register()
    device = Television(world, client_name="Television")
    begun = device.begin()
    assert begun["verification_uri"] == "https://matrix.example.org/account/link"
    assert begun["verification_uri_complete"] == f"{begun['verification_uri']}?code={begun['user_code']}"
    assert (begun["expires_in"], begun["interval"]) == (1200, 5)
    assert device.error(begun["device_code"]) == "authorization_pending"
    browser = at_link(world)
    assert browser.page.heading == "Connect a device"
    browser.press("Continue", code=begun["user_code"])
    assert browser.page.heading == "Let Television use your account?"
    assert "Did somebody send you this code" in browser.page.text
    browser.press("Allow")
    assert browser.page.heading == "Your device is connected"
    world.clock.advance(5 * SECOND)
    tokens: Tokens = as_tokens(device.poll(begun["device_code"]))
    assert whoami(world, tokens.access_token).json()["device_id"] == "ABCDEFGHIJ"
    assert as_tokens(device.refresh(tokens.refresh_token)).scope == SCOPE
    assert device.error(begun["device_code"]) == "invalid_grant"


def test_the_address_with_the_code_only_fills_it_in(world: World) -> None:
    world.register()
    device = Television(world)
    begun = device.begin()
    browser = at_link(world, f"/account/link?code={begun['user_code']}")
    assert browser.page.fields["code"] == begun["user_code"]
    assert device.error(begun["device_code"]) == "authorization_pending"


@pytest.mark.parametrize("mark", ["", "\u200b", "\u2068", "\u3000", "\uff0d"])
def test_a_code_may_be_typed_in_letters_of_full_width(world: World, mark: str) -> None:
    world.register()
    begun = Television(world).begin()
    letters = [chr(ord(one) - ord("A") + ord("\uff21")) for one in begun["user_code"] if one != "-"]
    browser = at_link(world)
    browser.press("Continue", code=mark.join(letters))
    assert "Allow" in browser.page.buttons, browser.page.problem


@pytest.mark.parametrize(
    ("button", "heading"), [("Allow", "Your device is connected"), ("Don't allow", "Nothing was allowed")]
)
def test_the_page_after_the_decision_can_be_reloaded(world: World, button: str, heading: str) -> None:
    """A telephone drops the page while its person looks at the device, and loads it again."""
    world.register()
    begun = Television(world).begin()
    browser = at_link(world)
    browser.press("Continue", code=begun["user_code"])
    browser.press(button)
    assert browser.trail[-1].startswith("GET ")
    browser.open(browser.path)
    assert browser.page.heading == heading
    browser.speak("de")
    assert browser.page.heading in ("Dein Gerät ist verbunden", "Es wurde nichts erlaubt")


def test_a_device_that_is_not_allowed_learns_it(world: World) -> None:
    world.register()
    device = Television(world)
    begun = device.begin()
    browser = at_link(world)
    browser.press("Continue", code=begun["user_code"])
    browser.press("Don't allow")
    assert browser.page.heading == "Nothing was allowed"
    assert device.error(begun["device_code"]) == "access_denied"


def test_a_device_that_asks_too_often_must_slow_down(world: World) -> None:
    world.register()
    device = Television(world)
    begun = device.begin()
    assert device.error(begun["device_code"]) == "authorization_pending"
    world.clock.advance(2 * SECOND)
    assert device.error(begun["device_code"]) == "slow_down"
    world.clock.advance(5 * SECOND)
    assert device.error(begun["device_code"]) == "slow_down"  # ten seconds now
    world.clock.advance(15 * SECOND)
    assert device.error(begun["device_code"]) == "authorization_pending"
    connect(world, begun)
    assert device.poll(begun["device_code"]).status_code == 200


def test_a_code_expires(world: World) -> None:
    world.register()
    device = Television(world)
    begun = device.begin()
    world.clock.advance(20 * MINUTE)
    assert device.error(begun["device_code"]) == "expired_token"
    browser = at_link(world)
    browser.press("Continue", code=begun["user_code"])
    assert browser.page.problem == "This code is wrong or has expired. Check the device that shows it."


def test_a_code_that_expired_after_it_was_entered_is_not_allowed(world: World) -> None:
    world.register()
    device = Television(world)
    begun = device.begin()
    browser = at_link(world)
    browser.press("Continue", code=begun["user_code"])
    world.clock.advance(20 * MINUTE)
    browser.press("Allow")
    assert browser.page.problem == "This code is wrong or has expired. Check the device that shows it."
    assert device.error(begun["device_code"]) == "expired_token"


def test_a_code_is_decided_once(world: World) -> None:
    world.register()
    world.register("bob")
    device = Television(world)
    begun = device.begin()
    late = at_link(world, username="bob")
    late.press("Continue", code=begun["user_code"])
    connect(world, begun)
    late.press("Allow")
    assert late.page.status == 403
    tokens = as_tokens(device.poll(begun["device_code"]))
    assert whoami(world, tokens.access_token).json()["user_id"] == "@alice:example.org"


def test_an_app_that_did_not_register_for_it_is_rejected(world: World) -> None:
    app = App(world)
    answer = ask(world, "/oauth2/device", {"client_id": app.client_id, "scope": SCOPE})
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
    unknown = ask(world, "/oauth2/device", {"client_id": "unknown", "scope": SCOPE})
    assert (unknown.status_code, unknown.json()["error"]) == (401, "invalid_client")
    nothing = ask(world, "/oauth2/device", {"client_id": Television(world).client_id})
    assert (nothing.status_code, nothing.json()["error"]) == (400, "invalid_scope")


def test_another_app_cannot_poll_for_it(world: World) -> None:
    world.register()
    device, other = Television(world), Television(world, client_name="Other")
    begun = device.begin()
    connect(world, begun)
    assert other.error(begun["device_code"]) == "invalid_grant"
    assert device.poll(begun["device_code"]).status_code == 200


@pytest.mark.parametrize("answer", ["Allow"])
def test_the_administration_takes_an_administrator(world: World, answer: str) -> None:
    world.register()
    device = Television(world)
    begun = device.begin(scope=f"{SCOPE} {ADMIN}")
    browser = at_link(world)
    browser.press("Continue", code=begun["user_code"])
    assert browser.page.problem == "This account may not administer the server."
    assert answer not in browser.page.buttons
    fields = {"form_token": browser.page.fields["form_token"], "code": begun["user_code"], "decision": "allow"}
    browser.submit(fields, "/account/link/decide")
    assert browser.page.status == 403
    assert device.error(begun["device_code"]) == "authorization_pending"


def test_of_many_questions_at_once_one_gets_tokens(world: World) -> None:
    world.register()
    device = Television(world)
    begun = device.begin()
    connect(world, begun)
    form = {"grant_type": DEVICE_GRANT, "client_id": device.client_id, "device_code": begun["device_code"]}
    answers = world.together(*[lambda: world.http.post("/oauth2/token", data=form)] * 6)
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 5]


def test_a_device_that_a_homeserver_did_not_get_asks_again(database_url: str, tmp_path: Path) -> None:
    """Nobody has to enter a code again because the homeserver was away for a moment."""
    with beside_a_synapse(database_url, tmp_path) as both:
        both.world.register()
        device = Television(both.world)
        begun = device.begin()
        connect(both.world, begun)
        both.synapse.replies["upsert_device"] = 502, b""
        refused = device.poll(begun["device_code"])
        assert (refused.status_code, "access_token" in refused.text) == (503, False)
        both.synapse.replies.clear()
        both.world.clock.advance(5 * SECOND)
        assert as_tokens(device.poll(begun["device_code"])).scope == SCOPE
        assert "ABCDEFGHIJ" in both.synapse.users["alice"].devices
        assert device.error(begun["device_code"]) == "invalid_grant"


def test_a_device_whose_server_died_before_the_homeserver_had_it_asks_again(database_url: str, tmp_path: Path) -> None:
    with beside_a_synapse(database_url, tmp_path) as both:
        both.world.register()
        device = Television(both.world)
        begun = device.begin()
        connect(both.world, begun)
        opened = both.world.run(both.world.server.context.database.write(lambda tx: _open_grant(both, tx, begun)))
        assert opened
        assert device.error(begun["device_code"]) == "authorization_pending"
        both.world.clock.advance(3 * MINUTE)
        assert device.poll(begun["device_code"]).status_code == 200


def _open_grant(both: Beside, tx: Tx, begun: dict[str, Any]) -> bool:
    """What the process that died has committed."""
    context = both.world.server.context
    device_hash = context.vault.hash_token(begun["device_code"])
    return oauth.open_device_grant(tx, device_hash, context.clock.now())
