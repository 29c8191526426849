"""The console: an operator finds a person, sees why a mail did not arrive, and acts."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from operators import operator_token, root, world_of_operators
from threepid.background import run_once
from threepid.clock import DAY, HOUR, MINUTE
from threepid.domain.audit import Caller, CallerKind, Event, note
from threepid.domain.operators.console import IDLE, LIFE
from threepid.domain.origin import Origin
from threepid.spec.operator_scopes import Scope
from threepid.storage import accounts, audit, outbox, suppressions
from web.console_pages import ALICE, COOKIE, operator_browser
from web.portal_browser import Browser
from world import PASSWORD, World

C = "/_matrix/client/v3"
ADDRESS = "alice@example.com"


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_of_operators(database_url, tmp_path, sms__countries=["GB"]) as made:
        token = made.register()
        made.add(token, made.validated(made.identity_token(token)))
        made.clock.advance(1)
        yield made


@pytest.fixture
def desk(world: World) -> Browser:
    """The browser of the help desk."""
    return operator_browser(world)


def events(world: World) -> list[tuple[str, str, str]]:
    """The newest entries of the audit log, newest first: what, about whom, by whom."""
    found = world.run(world.database.read(lambda tx: audit.recent(tx, audit.Which(), before=None, count=20)))
    return [(one.kind, one.user_id, one.caller) for one in found]


def date(world: World) -> str:
    return datetime.fromtimestamp(world.clock.now() / 1000, UTC).date().isoformat()


def contacts(world: World) -> list[str]:
    return [one.address for one in world.run(world.homeserver.directory.show(ALICE)).contacts]


def log_in(world: World, password: str = PASSWORD, **more: Any) -> int:
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": password}
    return world.post(f"{C}/login", body, **more).status_code


def test_a_token_opens_the_console_and_the_log_says_so(world: World, desk: Browser) -> None:
    assert desk.page.heading == "Accounts"
    assert "HttpOnly; SameSite=Lax; Secure" in desk.attributes[COOKIE]
    assert "Max-Age" not in desk.attributes[COOKIE]
    assert events(world)[0] == (Event.CONSOLE_OPENED, "", "helpdesk")


def test_a_wrong_token_is_named_wrong(world: World) -> None:
    browser = Browser(world, "/admin/")
    browser.press("Sign in", operator_token="tpo_nosuch")
    assert browser.page.status == 401
    assert browser.page.problem == "This token is unknown, expired or revoked."
    assert COOKIE not in browser.cookies
    world.run(world.server.services.sums.write())
    sums = world.run(world.server.services.trail.sums(since=0))
    assert [(one.event, one.count) for one in sums] == [("operator_token_rejected", 1)]


def test_the_sign_in_leads_to_the_page_that_was_wanted(world: World) -> None:
    browser = operator_browser(world, path="/admin/account?user=%40alice%3Aexample.org")
    assert browser.page.heading == "Account"
    assert ALICE in browser.page.text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("alice", {ALICE}),
        ("ALI", {ALICE}),
        ("@al", {ALICE}),
        (ALICE, {ALICE}),
        (ADDRESS, {ALICE}),
        ("ALICE@Example.com", {ALICE}),
        ("", {ALICE, "@bob:example.org"}),
        ("b", {"@bob:example.org"}),
        ("example", set()),
        ("%", set()),
        ("_", set()),
    ],
)
def test_a_person_is_found_by_address_and_the_beginning_of_a_name(world: World, text: str, found: set[str]) -> None:
    world.register("bob")
    desk = operator_browser(world)
    desk.open("/admin/?q=" + Browser.escaped(text))
    assert set(desk.page.strong) == found


@pytest.mark.parametrize(("text", "found"), [("LIC", {ALICE}), ("o", {"@bob:example.org"}), ("example", set())])
def test_the_middle_of_names_is_searched_where_an_operator_asks_for_it(
    world: World, text: str, found: set[str]
) -> None:
    world.register("bob")
    desk = operator_browser(world)
    desk.open("/admin/?q=" + Browser.escaped(text))
    assert set(desk.page.strong) == set()
    desk.follow("Search in the middle of usernames, too")
    assert set(desk.page.strong) == found
    assert desk.page.attributes["q"]["value"] == text
    desk.open("/admin/?q=" + Browser.escaped(ADDRESS))
    assert "Search in the middle of usernames, too" not in desk.page.links


def test_a_broken_address_is_named_broken(desk: Browser) -> None:
    desk.open("/admin/?q=a%40b%40c")
    assert desk.page.problem == "This is not a valid email address."


@pytest.mark.parametrize(
    ("text", "status", "problem"),
    [
        ("nobody", 404, "There is no such account."),
        ("a@b@c", 400, "This is not a valid email address."),
        ("", 404, "There is no such account."),
    ],
)
def test_an_account_that_does_not_exist_leads_to_another_search(
    desk: Browser, text: str, status: int, problem: str
) -> None:
    desk.open("/admin/account?user=" + Browser.escaped(text))
    assert (desk.page.status, desk.page.heading, desk.page.problem) == (status, "Accounts", problem)
    assert desk.page.attributes["q"]["value"] == text
    assert "Audit log" in desk.page.links


def test_a_list_goes_on_on_the_next_page(world: World) -> None:
    for number in range(60):
        world.register(f"user{number:02}")
    desk = operator_browser(world)
    first = list(desk.page.strong)
    desk.follow("Next page")
    assert (len(first), len(desk.page.strong)) == (50, 11)
    assert "Next page" not in desk.page.links
    assert not set(first) & set(desk.page.strong)


def open_alice(desk: Browser) -> None:
    desk.open("/admin/account?user=alice")


def test_an_account_is_shown_with_contacts_devices_and_last_use(world: World, desk: Browser) -> None:
    Browser(world).sign_in()
    open_alice(desk)
    assert ADDRESS in desk.page.text
    assert "A browser, in these pages" in desk.page.text
    assert desk.page.text.count("Last used") == 2


def test_a_link_is_sent_by_which_the_person_chooses_a_password(world: World, desk: Browser) -> None:
    open_alice(desk)
    desk.press("Send a link for a new password")
    assert "A link for a new password was sent" in desk.page.text
    assert world.mail().message["To"] == ADDRESS
    assert (Event.LINK_SENT, ALICE, "helpdesk") in events(world)


def test_an_account_is_locked_and_unlocked(world: World, desk: Browser) -> None:
    open_alice(desk)
    desk.press("Lock the account")
    assert "The account was locked" in desk.page.text
    assert log_in(world) == 401
    assert events(world)[0] == (Event.LOCKED, ALICE, "helpdesk")
    desk.press("Unlock the account")
    assert log_in(world) == 200
    assert (Event.UNLOCKED, ALICE, "helpdesk") in events(world)


def test_devices_are_logged_out_one_by_one_and_all(world: World, desk: Browser) -> None:
    log_in(world)
    portal = Browser(world)
    portal.sign_in()
    open_alice(desk)
    desk.press("Sign it out")  # of the last row, which is the browser
    portal.open("/account/")
    assert portal.page.heading == "Sign in"
    desk.press("Sign it out")
    assert len(world.run(world.homeserver.directory.show(ALICE)).devices) == 1
    desk.press("Sign out everywhere")
    assert world.run(world.homeserver.directory.show(ALICE)).devices == []


def test_a_contact_is_added_and_removed(world: World, desk: Browser) -> None:
    open_alice(desk)
    desk.press("Add a contact", address="new@example.com")
    assert contacts(world) == [ADDRESS, "new@example.com"]
    desk.press("Add a contact", address="no address")
    assert desk.page.problem == "This is not a valid email address."
    assert desk.page.attributes["address"]["value"] == "no address"
    open_alice(desk)
    desk.press("Remove it")
    assert len(contacts(world)) == 1
    assert {(Event.CONTACT_ADDED, ALICE, "helpdesk"), (Event.CONTACT_REMOVED, ALICE, "helpdesk")} <= set(events(world))


def test_an_address_of_somebody_else_is_not_added(world: World, desk: Browser) -> None:
    world.register("bob")
    desk.open("/admin/account?user=bob")
    desk.press("Add a contact", address=ADDRESS)
    assert desk.page.status == 400
    assert desk.page.problem
    assert contacts(world) == [ADDRESS]


def test_used_up_limits_are_named_and_cleared(database_url: str, tmp_path: Path) -> None:
    limits = {"all": "on", "guesses_at_account_from_client": {"burst": 3, "per_hour": 1}}
    away = {"X-Forwarded-For": "203.0.113.7"}
    with world_of_operators(database_url, tmp_path, limits=limits) as world:
        world.register()
        for _ in range(3):
            assert log_in(world, "a wrong password", headers=away) == 403
        assert log_in(world, headers=away) == 429
        desk = operator_browser(world)
        open_alice(desk)
        assert "There were too many wrong passwords." in desk.page.text
        desk.press("Clear the limits")
        assert "Limits were cleared" in desk.page.text
        assert log_in(world, headers=away) == 200


def insert(world: World, *, state: str, error: str = "", created_at: int = 0, recipient: str = ADDRESS) -> str:
    """A message to Alice that waits, is retried, was sent, has failed or came back."""
    now = world.clock.now()
    order_id = world.entropy.id(now)

    def step(tx: Any) -> None:
        outbox.insert(
            tx,
            job_id=order_id,
            channel="email",
            recipient=recipient,
            language="en",
            template="validation",
            params="x",
            created_at=created_at or now,
            due_at=created_at or now,
            expires_at=now + HOUR,
            destination="email:example.com",
        )
        if state == "waiting":
            return
        (order,) = outbox.claim(tx, [order_id], worker="w", now=now)
        if state == "retrying":
            outbox.retry_later(tx, order, now=now, due_at=now + MINUTE, last_error=error)
        elif state == "failed":
            outbox.failed(tx, order, now=now, last_error=error)
        else:
            outbox.sent(tx, order_id, now)
        if state == "returned":
            outbox.returned(tx, order_id, status=error, now=now)

    world.run(world.database.write(step))
    return order_id


@pytest.mark.parametrize(
    ("state", "error", "sentence"),
    [
        ("waiting", "", "It waits for its first attempt."),
        ("retrying", "relay.example.org:587: 451 greylisted", "It failed so far (attempts: 1). The next attempt is on"),
        ("failed", "relay.example.org:587: 550 no such user", "It failed for good on"),
        ("sent", "", "It was handed over on"),
        ("returned", "5.1.1", "5.1.1"),
    ],
)
def test_the_page_says_why_a_mail_did_not_arrive(
    world: World, desk: Browser, state: str, error: str, sentence: str
) -> None:
    insert(world, state=state, error=error)
    open_alice(desk)
    assert sentence in desk.page.text
    assert error in desk.page.text


def test_a_message_is_tried_again_at_once(world: World, desk: Browser) -> None:
    message = insert(world, state="retrying", error="451 greylisted")
    open_alice(desk)
    desk.press("Try it now")
    assert "A message was sent again" in desk.page.text
    job = world.run(world.server.services.queue.get(message))
    assert job.due_at == world.clock.now()
    assert events(world)[0] == (Event.MESSAGE_RESENT, "", "helpdesk")


def test_the_queue_shows_its_oldest_message_and_failures_by_cause(world: World, desk: Browser) -> None:
    for _ in range(3):
        insert(world, state="failed", error="relay.example.org:587: 550 no such user")
    insert(world, state="retrying", error="relay.example.org:587: timeout", created_at=world.clock.now() - HOUR)
    desk.open("/admin/queue")
    assert "Messages that wait: 1." in desk.page.text
    assert "3 × email:example.com" in desk.page.strong
    assert "550 no such user" in desk.page.text
    assert "a***@example.com" in desk.page.text
    assert ADDRESS not in desk.page.text
    desk.press("Try it now")
    assert "A message was sent again" in desk.page.text
    desk.open("/admin/queue?failed=1")
    assert desk.page.text.count("It failed for good on") == 3


def test_a_suppressed_address_gets_mails_again(database_url: str, tmp_path: Path) -> None:
    bounces = {"email__bounce_address": "bounces@example.org"}
    with world_of_operators(database_url, tmp_path, **bounces) as world:
        token = world.register()
        world.add(token, world.validated(world.identity_token(token)))
        now = world.clock.now()
        world.run(
            world.database.write(
                lambda tx: suppressions.record(
                    tx, canonical=ADDRESS, kind="bounce", status="5.1.1", message_id="m", now=now
                )
            )
        )
        desk = operator_browser(world)
        open_alice(desk)
        assert "no mails are sent to this address" in desk.page.text
        desk.press("Send mails again")
        assert "no mails are sent to this address" not in desk.page.text
        assert events(world)[0] == (Event.SUPPRESSION_REMOVED, "", "helpdesk")


def test_an_account_is_closed_after_a_confirmation(world: World, desk: Browser) -> None:
    open_alice(desk)
    desk.follow("Close the account")
    desk.press("Close the account")
    assert desk.page.problem == "Tick the box first: this cannot be undone."
    assert log_in(world) == 200
    desk.open("/admin/account/deactivate?user=alice")
    desk.press("Close the account", check=("understood",))
    assert "The account was closed" in desk.page.text
    assert "Lock the account" not in desk.page.buttons
    assert log_in(world) == 403
    assert (Event.DEACTIVATED, ALICE, "helpdesk") in events(world)


def test_invitations_to_an_address_are_listed(world: World, desk: Browser) -> None:
    invite = {"medium": "email", "address": "new@example.com", "room_id": "!room:example.org", "sender": ALICE}
    identity = world.identity_token(world.register("carol"), "carol")
    answer = world.post("/_matrix/identity/v2/store-invite", {**invite, "sender": "@carol:example.org"}, token=identity)
    assert answer.status_code == 200
    desk.open("/admin/invitations?address=new%40example.com")
    assert desk.page.strong == ["@carol:example.org"]
    assert "!room:example.org" in desk.page.text
    desk.open("/admin/invitations?address=new")
    assert desk.page.status == 400


def test_the_audit_log_is_filtered_and_paged(world: World, desk: Browser) -> None:
    for _ in range(60):
        open_alice(desk)
        desk.press("Lock the account")
        desk.press("Unlock the account")
    desk.open("/admin/audit?event=locked")
    assert desk.page.strong == ["The account was locked"] * 50
    desk.follow("Next page")
    assert desk.page.strong == ["The account was locked"] * 10
    desk.open("/admin/audit?user=%40bob%3Aexample.org")
    assert desk.page.strong == []
    open_alice(desk)
    desk.follow("Security log")
    assert ALICE in desk.page.text
    assert "The console was opened" not in desk.page.strong
    assert "operator helpdesk" in desk.page.text
    desk.open("/admin/audit?before=nosuch")
    assert desk.page.status == 404


def test_the_audit_log_is_read_by_days_and_by_any_name_of_an_account(world: World, desk: Browser) -> None:
    open_alice(desk)
    desk.press("Lock the account")
    first = date(world)
    world.clock.advance(DAY)
    desk = operator_browser(world, name="later")
    open_alice(desk)
    desk.press("Unlock the account")
    last = date(world)
    for since, until, found in (
        (first, first, ["locked"]),
        (last, "", ["unlocked"]),
        ("", first, ["locked"]),
        (first, last, ["unlocked", "locked"]),
        (last, first, []),
        ("0001-01-01", "9999-12-31", ["unlocked", "locked"]),
    ):
        desk.open(f"/admin/audit?user={Browser.escaped(ADDRESS)}&since={since}&until={until}")
        shown = [one for one in desk.page.strong if "locked" in one]
        assert shown == [f"The account was {event}" for event in found], (since, until)
        assert desk.page.attributes["since"]["value"] == since
    desk.open(f"/admin/audit?since={last}&until={first}")
    assert (desk.page.status, desk.page.problem) == (400, "The period must end after it begins.")
    desk.open("/admin/audit?since=yesterday")
    assert (desk.page.status, desk.page.problem) == (400, "Write a day as in 2027-12-31.")
    desk.open("/admin/audit?user=nobody")
    assert (desk.page.status, desk.page.problem) == (404, "There is no such account.")


def test_the_log_does_not_tell_whose_an_address_is(world: World) -> None:
    """Who may read the log alone sees masked addresses there, and must not learn whose they are by asking for them."""
    desk = operator_browser(world, Scope.AUDIT_READ)
    desk.open(f"/admin/audit?user={Browser.escaped(ADDRESS)}")
    assert (desk.page.status, desk.page.strong) == (200, [])
    desk.open(f"/admin/audit?user={Browser.escaped(ALICE)}")
    assert desk.page.strong


def test_the_audit_log_has_no_milliseconds(world: World, desk: Browser) -> None:
    desk.open("/admin/audit?event=operator_token_created")
    expires = datetime.fromtimestamp((world.clock.now() + 30 * DAY) / 1000, UTC)
    assert f"expires_at: {expires.day} {expires:%B %Y}" in desk.page.text


def test_an_event_of_a_newer_version_is_shown_by_its_name(world: World, desk: Browser) -> None:
    portal = Browser(world)
    portal.sign_in()
    now = world.clock.now()
    entry = audit.Entry("later", now, "teleported", ALICE, "robot", "", "{}", "{}")
    world.run(world.database.write(lambda tx: audit.append(tx, entry)))
    desk.open("/admin/audit")
    assert desk.page.strong[0] == "teleported"
    portal.open("/account/security")
    assert portal.page.strong[0] == "teleported"
    assert world.run(world.homeserver.support.export(ALICE, root(world)))["security_log"][1]["event"] == "teleported"


def test_a_cancelled_invitation_has_its_own_sentence(world: World, desk: Browser) -> None:
    origin, by = Origin(world.clock.now()), Caller(CallerKind.OPERATOR, "helpdesk")
    context = world.server.context
    world.run(world.database.write(lambda tx: note(tx, context, Event.INVITE_CANCELLED, "", origin, by=by)))
    desk.open("/admin/audit?event=invite_cancelled")
    assert desk.page.strong == ["An invitation was cancelled"]


# -- sessions


def is_open(world: World, browser: Browser) -> bool:
    browser.open("/admin/")
    return browser.page.heading == "Accounts"


def test_a_session_ends_without_use_and_at_its_age(world: World, desk: Browser) -> None:
    for _ in range(2):
        world.clock.advance(IDLE - MINUTE)
        assert is_open(world, desk)
    world.clock.advance(IDLE)
    assert not is_open(world, desk)
    second = operator_browser(world, name="second")
    for _ in range(LIFE // (20 * MINUTE) - 1):
        world.clock.advance(20 * MINUTE)
        assert is_open(world, second)
    world.clock.advance(20 * MINUTE)
    assert not is_open(world, second)


def test_a_session_ends_with_the_end_of_its_token(world: World) -> None:
    browser = Browser(world, "/admin/")
    token = operator_token(world, days=1)
    world.clock.advance(DAY - MINUTE)
    browser.press("Sign in", operator_token=token)
    assert is_open(world, browser)
    world.clock.advance(MINUTE)
    assert not is_open(world, browser)


def test_signing_out_ends_the_session(world: World, desk: Browser) -> None:
    stolen = dict(desk.cookies)
    desk.press("Sign out")
    assert desk.page.heading == "Console"
    thief = Browser(world, "/admin/sign-in")
    thief.cookies = stolen
    assert not is_open(world, thief)


def test_expired_sessions_are_deleted(world: World, desk: Browser) -> None:
    world.clock.advance(LIFE + MINUTE)
    assert world.run(run_once(world.server.context)) >= 1
    assert not is_open(world, desk)


# -- an administrator's account


def make_admin(world: World, *, is_admin: bool = True) -> None:
    now = world.clock.now() if is_admin else None
    world.run(world.database.write(lambda tx: accounts.set_admin(tx, ALICE, now)))


def test_an_administrators_account_opens_the_console(world: World) -> None:
    make_admin(world)
    browser = Browser(world, "/admin/sign-in")
    browser.follow("Use my account instead")
    browser.sign_in()
    assert browser.page.heading == "Open the console?"
    browser.press("Continue")
    assert browser.page.heading == "Accounts"
    assert events(world)[0] == (Event.CONSOLE_OPENED, ALICE, ALICE)
    world.register("bob")
    browser.open("/admin/account?user=bob")
    browser.press("Lock the account")
    assert events(world)[0] == (Event.LOCKED, "@bob:example.org", ALICE)


def test_an_ordinary_account_does_not_open_the_console(world: World) -> None:
    browser = Browser(world, "/admin/by-account")
    browser.sign_in()
    browser.press("Continue")
    assert browser.page.status == 403
    assert COOKIE not in browser.cookies


def test_an_administrator_confirms_who_it_is_first(world: World) -> None:
    make_admin(world)
    browser = Browser(world)
    browser.sign_in()
    world.clock.advance(11 * MINUTE)
    browser.open("/admin/by-account")
    assert browser.page.heading == "Confirm that it is you"
    browser.press("Continue", password=PASSWORD)
    assert browser.page.heading == "Open the console?"


def test_the_console_of_an_administrator_ends_with_the_right_and_the_browser_session(world: World) -> None:
    make_admin(world)

    def opened() -> Browser:
        browser = Browser(world, "/admin/by-account")
        browser.sign_in()
        browser.press("Continue")
        assert browser.page.heading == "Accounts"
        return browser

    first = opened()
    make_admin(world, is_admin=False)
    assert not is_open(world, first)
    make_admin(world)
    second = opened()
    world.run(world.homeserver.administration.lock(ALICE))
    assert not is_open(world, second)
    world.run(world.homeserver.administration.unlock(ALICE))
    third = opened()
    third.open("/account/")
    third.press("Sign out")
    assert not is_open(world, third)


def test_an_administrator_changes_no_administrators_account(world: World) -> None:
    make_admin(world)
    browser = Browser(world, "/admin/by-account")
    browser.sign_in()
    browser.press("Continue")
    open_alice(browser)
    browser.press("Lock the account")
    assert browser.page.status == 403
    assert "admins:write" in browser.page.problem


def test_a_scope_that_is_missing_hides_its_forms(world: World) -> None:
    reader = operator_browser(world, Scope.ACCOUNTS_READ, name="reader")
    assert "Queue" not in reader.page.links
    open_alice(reader)
    assert set(reader.page.buttons) == {"Sign out"}
    writer = operator_browser(world, Scope.MESSAGES_READ, name="writer")
    assert writer.page.heading == "Accounts"
    assert ALICE not in writer.page.text
