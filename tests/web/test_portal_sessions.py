"""Sessions, security log, download and closing in the portal."""

import re
from pathlib import Path
from typing import Any

import pytest

from threepid import background
from threepid.clock import DAY, HOUR, MINUTE
from threepid.domain import audit
from threepid.domain.audit import MOST_FAILURES, MOST_OF_A_KIND
from threepid.domain.lifecycle.export import MEMBERS
from threepid.domain.origin import Origin
from threepid.spec.errors import Forbidden
from threepid.storage.engine.database import Tx
from web.portal_browser import Browser
from world import BASE, PASSWORD, World

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
ALICE = "@alice:example.org"
DATA_PAGE = Path(__file__).parents[2] / "docs" / "account-data.md"


@pytest.fixture
def token(world: World) -> str:
    """The access token of Alice, as an app has it."""
    return world.register()


@pytest.fixture
def browser(world: World, token: str) -> Browser:
    """Alice's browser, signed in."""
    assert token
    browser = Browser(world, "/account/", **{"User-Agent": FIREFOX})
    browser.sign_in()
    return browser


def log_in(world: World, name: str = "Phone") -> str:
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": PASSWORD,
        "initial_device_display_name": name,
    }
    return str(world.post("/_matrix/client/v3/login", body).json()["access_token"])


def is_alive(world: World, token: str) -> bool:
    return world.get("/_matrix/client/v3/account/whoami", token=token).status_code == 200


def events(browser: Browser) -> list[str]:
    """What the security log lists, newest first."""
    browser.open("/account/security")
    return browser.page.strong


def test_devices_and_browsers_are_listed_with_their_programs(world: World, browser: Browser) -> None:
    log_in(world)
    browser.open("/account/sessions")
    assert "Firefox on Linux This browser" in browser.page.text
    assert "Phone an unknown app" in browser.page.text


def test_one_device_is_signed_out_and_the_others_stay(world: World, browser: Browser, token: str) -> None:
    other = log_in(world)
    browser.open("/account/sessions")
    device = world.get("/_matrix/client/v3/account/whoami", token=other).json()["device_id"]
    browser.submit({"form_token": browser.page.fields["form_token"], "kind": "device", "id": device}, browser.path)
    assert "Signed out." in browser.page.text
    assert not is_alive(world, other)
    assert is_alive(world, token)


def test_everything_but_this_browser_is_signed_out(world: World, browser: Browser, token: str) -> None:
    other = Browser(world, "/account/")
    other.sign_in()
    browser.open("/account/sessions")
    browser.press("Sign out everything but this browser")
    assert browser.path == "/account/sessions?done=1"
    assert not is_alive(world, token)
    other.open("/account/")
    assert other.path.startswith("/account/sign-in")


def test_nobody_signs_out_the_session_of_another(world: World, browser: Browser, token: str) -> None:
    world.register("bob")
    bob = Browser(world, "/account/sessions")
    bob.sign_in("bob")
    form = {"form_token": bob.page.fields["form_token"]}
    device = world.get("/_matrix/client/v3/account/whoami", token=token).json()["device_id"]
    session = world.run(world.homeserver.web_sessions.list_of(ALICE))[0].session_id
    bob.submit({**form, "kind": "device", "id": device}, "/account/sessions")
    bob.submit({**form, "kind": "browser", "id": session}, "/account/sessions")
    assert is_alive(world, token)
    browser.open("/account/")
    assert browser.path == "/account/"


def rename(browser: Browser, device: str, name: str) -> None:
    browser.open("/account/sessions")
    form = {"form_token": browser.page.fields["form_token"], "id": device, "name": name}
    browser.submit(form, "/account/sessions/rename")


def test_a_device_gets_another_name_or_none(world: World, browser: Browser, token: str) -> None:
    device = world.get("/_matrix/client/v3/account/whoami", token=token).json()["device_id"]
    for name in (" Tablet in the kitchen ", ""):
        rename(browser, device, name)
        assert "The new name is saved." in browser.page.text
        shown = world.get(f"/_matrix/client/v3/devices/{device}", token=token).json()
        assert shown["display_name"] == name.strip()


def test_a_typed_name_comes_back_after_a_fresh_proof(world: World, browser: Browser, token: str) -> None:
    log_in(world)
    device = world.get("/_matrix/client/v3/account/whoami", token=token).json()["device_id"]
    browser.open("/account/sessions")
    form = {"form_token": browser.page.fields["form_token"], "id": device, "name": "Tablet in the kitchen"}
    world.clock.advance(11 * MINUTE)
    browser.submit(form, "/account/sessions/rename", Referer=f"{BASE}/account/sessions")
    browser.press("Continue", password=PASSWORD)
    assert (browser.path, browser.page.problem) == ("/account/sessions", "")
    (open_form,) = (values for values in browser.page.values if values.get("name") == "Tablet in the kitchen")
    assert open_form["id"] == device
    assert browser.page.html.count("<details open>") == 1
    browser.submit(open_form, "/account/sessions/rename")
    shown = world.get(f"/_matrix/client/v3/devices/{device}", token=token).json()
    assert shown["display_name"] == "Tablet in the kitchen"


@pytest.mark.parametrize("name", ["x" * 257, "a\x07b"])
def test_a_name_that_apps_cannot_show_is_refused(world: World, browser: Browser, token: str, name: str) -> None:
    device = world.get("/_matrix/client/v3/account/whoami", token=token).json()["device_id"]
    rename(browser, device, name)
    assert browser.page.status == 400
    assert browser.page.problem.startswith("This name is too long")
    assert world.get(f"/_matrix/client/v3/devices/{device}", token=token).json()["display_name"] == ""


def test_nobody_renames_the_device_of_another(world: World, browser: Browser, token: str) -> None:
    assert browser.path == "/account/"
    world.register("bob")
    bob = Browser(world, "/account/sessions")
    bob.sign_in("bob")
    device = world.get("/_matrix/client/v3/account/whoami", token=token).json()["device_id"]
    rename(bob, device, "Hello Alice")
    assert world.get(f"/_matrix/client/v3/devices/{device}", token=token).json()["display_name"] == ""


def test_a_permission_that_is_over_changes_no_session(world: World, browser: Browser, token: str) -> None:
    """The page asks first, but the person may sign out everywhere between the question and the change."""
    device = world.get("/_matrix/client/v3/account/whoami", token=token).json()["device_id"]
    (session,) = world.run(world.homeserver.web_sessions.list_of(ALICE))
    grant = world.homeserver.web_sessions.grant("tpw_of-nobody", ALICE, Origin())
    for change in (
        world.homeserver.web_sessions.end(ALICE, session.session_id, Origin(), grant=grant),
        world.homeserver.devices.rename(ALICE, device, "x", grant=grant),
        world.homeserver.devices.delete(ALICE, [device], grant),
        world.homeserver.sessions.end_others(ALICE, "", grant),
    ):
        with pytest.raises(Forbidden):
            world.run(change)
    browser.open("/account/")
    assert browser.path == "/account/"
    assert is_alive(world, token)


def test_a_long_list_has_several_pages(world: World, browser: Browser) -> None:
    for number in range(60):
        world.clock.advance(1)
        log_in(world, f"Phone{number:02}")
    browser.open("/account/sessions")
    assert "Phone59" in browser.page.text
    assert "Phone00" not in browser.page.text
    browser.follow("Older entries")
    assert "Phone00" in browser.page.text
    assert "Phone59" not in browser.page.text
    for strange in ("-1", "x", "9" * 5000, "9999"):
        browser.open(f"/account/sessions?from={strange}")
        assert browser.page.status == 200


def test_signing_out_after_a_while_asks_who_it_is(world: World, browser: Browser) -> None:
    browser.open("/account/sessions")
    world.clock.advance(11 * MINUTE)
    log_in(world)
    browser.open("/account/sessions")
    browser.press("Sign out everything but this browser")
    assert browser.page.heading == "Confirm that it is you"
    browser.press("Continue", password=PASSWORD)
    assert browser.path == "/account/sessions"


def test_the_log_says_what_happened_and_from_where(world: World, browser: Browser, token: str) -> None:
    world.add(token, world.validated(world.identity_token(token)), bind=True)
    world.post(
        "/_matrix/client/v3/account/3pid/delete", {"medium": "email", "address": "alice@example.com"}, token=token
    )
    stranger = Browser(world, "/account/")
    stranger.sign_in("alice", "wrong")
    assert events(browser) == [
        "Somebody tried to sign in with a wrong password",
        "People can't find you by a contact any more",
        "A contact was removed",
        "People can find you by a contact",
        "A contact was added",
        "Signed in",
        "Signed in",
        "The account was created",
    ]
    assert "Firefox on Linux" in browser.page.text
    assert "a***@example.com" in browser.page.text
    assert "alice@example.com" not in browser.page.html


def test_strangers_fill_the_log_with_no_more_than_a_bound(world: World, browser: Browser) -> None:
    stranger = Browser(world, "/account/")
    for _ in range(MOST_FAILURES + 5):
        stranger.sign_in("alice", "wrong")
    assert events(browser).count("Somebody tried to sign in with a wrong password") == MOST_FAILURES
    world.clock.advance(HOUR + MINUTE)
    stranger.sign_in("alice", "wrong")
    assert events(browser).count("Somebody tried to sign in with a wrong password") == MOST_FAILURES + 1


def test_a_wrong_password_for_a_change_is_no_failed_sign_in(world: World, browser: Browser, token: str) -> None:
    world.clock.advance(11 * MINUTE)
    browser.open("/account/close")
    browser.press("Continue", password="wrong")
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": "wrong"}
    world.post("/_matrix/client/v3/account/deactivate", {"auth": auth}, token=token, headers={"User-Agent": FIREFOX})
    log = world.run(audit.entries_of(world.server.context, ALICE, count=2))
    assert {entry.event for entry in log} == {audit.Event.CONFIRMATION_FAILED}
    assert {entry.origin.browser for entry in log} == {"Firefox"}
    assert events(browser)[0] == "A wrong password was entered for a change"


def test_an_app_that_guesses_at_another_account_is_a_stranger_there(world: World, token: str) -> None:
    world.register("bob")
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "bob"}, "password": "wrong"}
    world.post("/_matrix/client/v3/account/deactivate", {"auth": auth}, token=token)
    log = world.run(audit.entries_of(world.server.context, "@bob:example.org", count=9))
    assert (log[0].event, log[0].caller_kind) == (audit.Event.SIGN_IN_FAILED, audit.CallerKind.STRANGER)


def test_nothing_is_added_to_the_log_of_a_closed_account(world: World, browser: Browser) -> None:
    browser.open("/account/close")
    browser.press("Close my account for good", check=("understood", "erase"))
    browser.open("/account/sign-in")
    browser.sign_in()
    assert browser.page.status == 403
    assert world.run(audit.entries_of(world.server.context, ALICE, count=9)) == []


def test_the_owner_does_not_fill_the_log_and_hides_nothing_in_it(world: World, browser: Browser, token: str) -> None:
    for _ in range(MOST_OF_A_KIND + 5):
        world.post("/_matrix/client/v3/logout", token=log_in(world))
    world.add(token, world.validated(world.identity_token(token)))
    log = world.run(audit.entries_of(world.server.context, ALICE, count=1000))
    assert [entry.event for entry in log].count(audit.Event.SIGNED_OUT) == MOST_OF_A_KIND
    assert log[0].event == audit.Event.CONTACT_ADDED
    world.clock.advance(HOUR + MINUTE)
    log_in(world)
    assert events(browser)[0] == "Signed in"


def test_the_log_goes_on_over_several_pages(world: World, browser: Browser) -> None:
    for _ in range(60):
        log_in(world)
        world.clock.advance(1)
    first = events(browser)
    browser.follow("Older entries")
    assert len(first) == 50
    assert len(browser.page.strong) == 63 - 50
    assert "Older entries" not in browser.page.links


def test_entries_are_forgotten_after_their_time(world: World, browser: Browser) -> None:
    world.clock.advance(world.config.audit.retention_days * DAY + DAY)
    world.run(background.run_once(world.server.context))
    browser.open("/account/")
    browser.sign_in()
    assert events(browser) == ["Signed in"]


def test_the_download_has_everything_but_secrets(world: World, browser: Browser, token: str) -> None:
    world.add(token, world.validated(world.identity_token(token)))
    browser.open("/account/data")
    data: dict[str, Any] = browser.download("Download")
    assert data["format"] == 1
    account = {"user_id": ALICE, "created_at": world.clock.now(), "locked_at": None, "is_admin": False}
    assert data["account"] == account
    assert [contact["address"] for contact in data["contacts"]] == ["alice@example.com"]
    assert len(data["devices"]) == len(data["browser_sessions"]) == 1
    assert data["security_log"][0]["event"] == "data_downloaded"
    text = str(data)
    assert "hash" not in text
    assert token not in text
    assert browser.cookies["__Host-threepid-session"] not in text


def test_the_file_has_the_documented_shape(world: World, browser: Browser, token: str) -> None:
    world.add(token, world.validated(world.identity_token(token)), bind=True)
    browser.open("/account/data")
    data: dict[str, Any] = browser.download("Download")
    described = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", DATA_PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {member: re.findall(r"`(\w+)`", members) for member, members in described}
    assert documented == {member: list(members) for member, members in MEMBERS.items()}
    assert set(data) == {"format", "exported_at", *documented}
    for member, members in documented.items():
        objects = data[member] if isinstance(data[member], list) else [data[member]]
        # tests/test_retention.py fills them all.
        assert objects or member in {"accepted_terms", "apps", "proofs", "invitations", "suppressions"}, member
        assert all(sorted(one) == sorted(members) for one in objects), member
    assert data["exported_at"] == world.clock.now()


def test_the_file_has_nothing_of_operators_or_of_others(world: World, browser: Browser, token: str) -> None:
    bob = world.register("bob")
    world.add(bob, world.validated(world.identity_token(bob, "bob"), "bob@example.com"), bind=True)

    def step(tx: Tx) -> None:
        by = audit.Caller(audit.CallerKind.OPERATOR, "olga")
        audit.note(tx, world.server.context, audit.Event.PASSWORD_CHANGED, ALICE, Origin(), by=by)

    world.run(world.database.write(step))
    browser.open("/account/data")
    text = str(browser.download("Download"))
    assert "operator" in text
    assert "olga" not in text
    assert "bob" not in text
    assert token not in text


def test_a_download_takes_a_fresh_proof(world: World, browser: Browser) -> None:
    browser.open("/account/data")
    world.clock.advance(11 * MINUTE)
    browser.press("Download")
    assert browser.page.heading == "Confirm that it is you"
    browser.open("/account/security")
    assert "The data of the account was downloaded" not in browser.page.strong


@pytest.mark.parametrize("late", [False, True])
def test_who_wants_to_erase_need_not_tick_it_again(world: World, browser: Browser, late: bool) -> None:
    """Who forgets the other box, or the last proof is too old, would close the account and keep the data, for good."""
    ticked = 'name="erase" value="yes" checked'
    browser.open("/account/close")
    assert ticked not in browser.page.html
    if late:
        world.clock.advance(11 * MINUTE)
        browser.press("Close my account for good", check=("understood", "erase"))
        browser.press("Continue", password=PASSWORD)
        assert browser.page.heading == "Close your account"
    else:
        browser.press("Close my account for good", check=("erase",))
        assert browser.page.problem == "Tick the box first: this cannot be undone."
    assert ticked in browser.page.html
    assert 'name="understood" value="yes" checked' not in browser.page.html


def test_a_closed_account_is_gone_everywhere(world: World, browser: Browser, token: str) -> None:
    browser.open("/account/close")
    browser.press("Close my account for good")
    assert browser.page.problem == "Tick the box first: this cannot be undone."
    browser.press("Close my account for good", check=("understood", "erase"))
    assert browser.path == "/account/closed"
    assert browser.page.heading == "Your account is closed"
    assert not is_alive(world, token)
    browser.open("/account/")
    browser.sign_in()
    assert browser.page.problem == "The username or password is wrong."


@pytest.mark.parametrize("erase", [True, False])
def test_closing_erases_the_log_only_if_asked(world: World, browser: Browser, token: str, erase: bool) -> None:
    world.add(token, world.validated(world.identity_token(token)), bind=True)
    browser.open("/account/close")
    browser.press("Close my account for good", check=("understood", "erase") if erase else ("understood",))
    assert "__Host-threepid-session" not in browser.cookies
    log = world.run(audit.entries_of(world.server.context, ALICE, count=1000))
    assert [entry.event for entry in log][:1] == ([] if erase else [audit.Event.DEACTIVATED])
    bob = world.register("bob")
    assert world.look_up(world.identity_token(bob, "bob"), "alice@example.com") is None


def test_closing_is_told_to_the_contacts_as_through_the_api(world: World, browser: Browser, token: str) -> None:
    world.add(token, world.validated(world.identity_token(token)))
    world.mails()
    world.clock.advance(1)
    browser.open("/account/close")
    browser.press("Close my account for good", check=("understood",))
    assert "closed" in str(world.mail().message["subject"])
    assert world.mail().recipient == "alice@example.com"


def test_only_a_closed_account_is_called_closed(browser: Browser) -> None:
    browser.open("/account/closed")
    assert browser.path == "/account/"
