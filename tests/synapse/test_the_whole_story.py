"""One story: a new Synapse with its section, threepid, nginx, a real Chromium, today's app and an old one, from birth to end."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from playwright.sync_api import Browser, expect

from browser.portal import Portal
from browser.served import PASSWORD, Site
from browser.test_account_portal import add_contact, create_account
from browser.window import Window, new_context
from clients.web_app import WebApp, web_app
from federated_synapse import Person
from one_origin import OneOrigin
from real_synapse import cross_signing_keys
from rig import wait_for

ALICE, FRIEND = "alice", "friend"
FRIENDS_ADDRESS = "friend@example.net"
PHONE = "447700900123"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[str]:
    with web_app(tmp_path) as address:
        yield address


class Resident(Portal):
    """Somebody in the portal who does not look at pages, as tests/browser does."""

    def __init__(self, window: Window, origin: OneOrigin) -> None:
        super().__init__(window, cast(Site, origin))  # of which only `base` and `code` are needed

    def see(self, heading: str) -> None:
        expect(self.page.locator("h1")).to_have_text(self.window.say(heading))


def person(chromium: Browser, origin: OneOrigin, name: str) -> Portal:
    """Somebody with a browser of their own."""
    return Resident(Window(new_context(chromium), name=f"story-{name}"), origin)


def add_phone(portal: Portal) -> None:
    portal.open("/account/contacts")
    portal.follow("Add a phone number")
    portal.see("Add a phone number")
    portal.type("Phone number", f"+{PHONE}")
    portal.press("Send me a code")
    portal.see("Enter the code")
    portal.type("Code", portal.site.code(PHONE))
    portal.press("Continue")
    portal.expect_said("Your phone number was added.")


def sign_in_to_the_app(portal: Portal, address: str, origin: OneOrigin) -> tuple[WebApp, str]:
    """The way of Element: the app asks in the browser where the person is signed in. Returns the app and its token."""
    app = WebApp(portal.window.context, address)
    with app.page.expect_navigation(url="**/oauth2/authorize*"):
        app.page.evaluate("(base) => void app.signIn(base)", origin.base)
    expect(app.page.get_by_role("heading", name="Let Story use your account?")).to_be_visible()
    with app.page.expect_navigation(url=f"{address}/callback*"):
        app.page.get_by_role("button", name="Allow", exact=True).click()
    found = app.do("finish")
    assert (found["user_id"], found["device_id"]) == (f"@{ALICE}:{origin.name}", found["expected"])
    return app, found["access_token"]


def talk(app: WebApp, room_id: str, friend: Person, name: str) -> None:
    """The friend joins where the app is, and each reads what the other says."""
    friend.join(room_id, name)
    friend.say(room_id, "Thank you")
    wait_for(lambda: "Thank you" in app.do("heard", room_id), 20, what="the answer of the friend")
    app.do("say", room_id, "You are welcome")
    friend.reads(room_id, "You are welcome")


def sign_out(portal: Portal, device_id: str) -> None:
    """Sign one device out on the pages."""
    portal.open(f"/account/?action=org.matrix.device_view&device_id={device_id}")
    portal.see("Where you're signed in")
    portal.press("Sign it out")
    portal.expect_said("Signed out.")


def reset_keys(portal: Portal, mine: Person) -> None:
    """Replace the cross-signing keys, as the homeserver's answer says."""

    def upload(seed: str) -> int:
        return mine.ask("POST", "keys/device_signing/upload", cross_signing_keys(mine.user_id, seed)).status_code

    assert upload("first") == 200
    refused = mine.ask("POST", "keys/device_signing/upload", cross_signing_keys(mine.user_id, "second"))
    assert refused.status_code == 401
    portal.page.goto(refused.json()["params"]["m.oauth"]["url"])
    portal.see("Reset your identity")
    portal.press("Allow the reset")
    expect(portal.page.get_by_role("status")).to_be_visible()
    assert [upload("second"), upload("third")] == [200, 401]


def close_account(portal: Portal) -> None:
    portal.open("/account/?action=org.matrix.account_deactivate")
    portal.see("Close your account")
    portal.field("I understand that this cannot be undone").check()
    portal.press("Close my account for good")
    portal.see("Your account is closed")


@pytest.mark.timeout(240)
def test_people_live_at_one_address(origin: OneOrigin, chromium: Browser, app: str) -> None:
    portal = person(chromium, origin, ALICE)
    create_account(portal, ALICE)
    add_contact(portal, "alice@example.com")
    add_phone(portal)
    told = wait_for(lambda: origin.synapse.query_user(ALICE), 30, what="the account at Synapse")
    assert not told["is_deactivated"]

    element, token = sign_in_to_the_app(portal, app, origin)
    element.do("sync")
    room_id = element.do("createRoom", "Garden")
    element.do("say", room_id, "Is anybody here?")

    old = origin.log_in(ALICE, "OLDAPP")
    old.reads(room_id, "Is anybody here?")
    assert [one["medium"] for one in old.do("GET", "account/3pid")["threepids"]] == ["email", "msisdn"]

    element.do("inviteByEmail", room_id, FRIENDS_ADDRESS)
    assert "Garden" in origin.post.invitation(FRIENDS_ADDRESS)
    other = person(chromium, origin, FRIEND)
    create_account(other, FRIEND)
    add_contact(other, FRIENDS_ADDRESS)
    friend = origin.log_in(FRIEND, "FRIENDSAPP")
    wait_for(lambda: friend.invited_to(room_id), 20, what="the invitation of the friend")
    talk(element, room_id, friend, origin.name)

    assert not origin.is_dead(old.token)
    sign_out(portal, "OLDAPP")
    wait_for(lambda: origin.is_dead(old.token), 20, what="the end of the old app")
    assert not origin.is_dead(token)

    mine = Person(origin, f"@{ALICE}:{origin.name}", token)
    reset_keys(portal, mine)

    phone = origin.log_in(ALICE, "PHONE")
    element.do("logout")
    wait_for(lambda: origin.is_dead(token), 20, what="the end of the app")
    assert not origin.is_dead(phone.token)

    close_account(portal)
    wait_for(lambda: origin.is_dead(phone.token), 20, what="the end of the account")
    assert (origin.synapse.query_user(ALICE) or {})["is_deactivated"]
    refused = origin.request("POST", "/_matrix/client/v3/login", None, json=_password(ALICE))
    assert (refused.status_code, refused.json()["errcode"]) == (403, "M_FORBIDDEN")
    assert not origin.is_dead(friend.token)
    assert portal.window.trouble == other.window.trouble == []


def _password(localpart: str) -> dict[str, object]:
    identifier = {"type": "m.id.user", "user": localpart}
    return {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
