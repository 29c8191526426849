"""An operator in the console, in a real browser, with and without JavaScript."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser

from browser.portal import Portal
from browser.served import OPEN, PASSWORD, Site
from browser.window import Window, new_context
from rig import ServerProcess

NEAR = """
[admin]
networks = ["127.0.0.0/8"]
[oauth]
enabled = true
"""
ADDRESS = "bob@example.com"
LATE = 1_800_000_000_000
OUTCOMES = (
    ("retrying", "UPDATE outbox SET sent_at = NULL, attempts = 2, due_at = created_at + 3600000, last_error = ?"),
    ("failed", "UPDATE outbox SET sent_at = NULL, failed_at = created_at, last_error = ?"),
    ("returned", "UPDATE outbox SET returned_at = sent_at, returned_status = '5.1.1 (bounce)', last_error = ?"),
)
ANSWER = (
    "relay.example.org:587: SMTPRecipientRefused 550 5.1.1 No such user here, see https://example.org/why?id=1234567890"
)


@pytest.fixture(scope="module")
def helped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a console, an administrator and a person to whom mails did not arrive."""
    process = ServerProcess(tmp_path_factory.mktemp("console"), tables=OPEN + NEAR)
    with Site(process) as made:
        made.register("alice")
        made.register("bob")
        made.register("root")
        command(made, "account", "admin", "root")
        yield made


def command(site: Site, *arguments: str) -> str:
    """What a command prints."""
    run = [sys.executable, "-m", "threepid", *arguments, "--config", str(site.process.config)]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()


def operator_token(site: Site, name: str) -> str:
    scopes = ("accounts:read", "accounts:write", "messages:read", "messages:write", "audit:read")
    return command(
        site, "operator-token", "create", name, *(part for scope in scopes for part in ("--scope", scope))
    ).split()[-1]


def give_outcomes(site: Site) -> None:
    """Let three messages to Bob be retried, have failed and come back."""
    with closing(sqlite3.connect(site.process.directory / "data" / "threepid.db", timeout=20)) as database, database:
        ids = [row[0] for row in database.execute("SELECT id FROM outbox WHERE recipient = ? ORDER BY id", (ADDRESS,))]
        for (_, statement), one in zip(OUTCOMES, ids, strict=False):
            database.execute(f"{statement} WHERE id = ?", (ANSWER, one))


@pytest.fixture(params=["en", "en without JavaScript", "de", "ar"])
def portal(request: pytest.FixtureRequest, chromium: Browser, helped: Site) -> Iterator[Portal]:
    language, _, without = request.param.partition(" ")
    with new_context(chromium, language, java_script_enabled=not without) as context:
        act = request.node.originalname.removeprefix("test_an_operator_helps_a_").replace("_", "-")
        window = Window(context, language, name=f"{'plain-' if without else ''}console-{act}", scripts=not without)
        yield Portal(window, helped)
        assert window.trouble == []


@pytest.mark.timeout(240)
def test_an_operator_helps_a_person(portal: Portal) -> None:
    site = portal.site
    name = f"desk-{portal.window.name}-{portal.window.language}"
    portal.open("/admin/")
    portal.see("Console")
    portal.type("Operator token", "tpo_wrong")
    portal.press("Sign in")
    portal.expect_said("This token is unknown, expired or revoked.")
    portal.see("Console")
    portal.type("Operator token", operator_token(site, name))
    portal.press("Sign in")
    portal.see("Accounts")
    portal.type("Email address, phone number with +, or the beginning of a username", "LIC")
    portal.press("Search")
    portal.expect_said("Nothing was found.")
    portal.follow("Search in the middle of usernames, too")
    portal.page.get_by_role("link", name="@alice:").click()
    portal.see("Account")
    portal.page.get_by_text(portal.window.say("Add a contact"), exact=True).first.click()
    portal.type("Email address, or phone number with +", f"{portal.window.language}@example.com")
    portal.page.get_by_role("button", name=portal.window.say("Add a contact"), exact=True).click()
    portal.see("Account")
    portal.press("Lock the account")
    portal.expect_said("The account was locked")
    portal.see("Account")
    portal.press("Unlock the account")
    portal.press("Send a link for a new password")
    portal.expect_said("A link for a new password was sent")
    portal.see("Account")
    portal.follow("Close the account")
    portal.see("Close the account")
    portal.press("Close the account")
    portal.expect_said("Tick the box first: this cannot be undone.")
    portal.see("Close the account")
    portal.follow("Leave it as it is")
    portal.follow("Security log")
    portal.see("Audit log")
    portal.type("From this day (UTC)", "2020-01-01")
    portal.type("To this day (UTC)", "2020-12-31")
    portal.press("Search")
    portal.expect_said("Nothing was found.")
    portal.see("Audit log")
    portal.follow("Queue")
    portal.see("Queue")
    portal.follow("Invitations")
    portal.type("Email address, or phone number with +", "new@example.com")
    portal.press("Search")
    portal.see("Invitations")
    portal.press("Sign out")
    portal.see("Console")


@pytest.mark.timeout(240)
def test_an_operator_helps_a_new_person(portal: Portal) -> None:
    name = f"{portal.window.name}-{portal.window.language}"
    portal.open("/admin/")
    portal.type("Operator token", operator_token(portal.site, f"new-{name}"))
    portal.press("Sign in")
    portal.follow("Create an account")
    portal.see("Create an account")
    portal.type("Username", "two words")
    portal.press("Create the account")
    portal.see("Create an account")
    portal.type("Username", f"new-{name}")
    portal.press("Create the account")
    portal.expect_said("The account has no password")
    portal.page.get_by_text(portal.window.say("Add a contact"), exact=True).first.click()
    portal.type("Email address, or phone number with +", f"new-{name}@example.com")
    portal.page.get_by_role("button", name=portal.window.say("Add a contact"), exact=True).click()
    portal.press("It is still theirs")
    portal.expect_said("A contact was confirmed")
    portal.see("Account")
    portal.follow("Clear the limits of a network")
    portal.type("IP address or network", "203.0.113.7")
    portal.press("Clear the limits")
    portal.expect_said("No limit was used up.")
    portal.see("Limits")
    portal.type("IP address or network", "here")
    portal.press("Clear the limits")
    portal.expect_said("This is not an IP address or a network.")
    portal.see("Limits")
    portal.open(f"/admin/account?user=new-{name}")
    portal.follow("Close the account")
    portal.field("I understand that this cannot be undone").check()
    portal.press("Close the account")
    portal.see("Account")
    portal.press("Open the account again")
    portal.expect_said("The account was opened again")


def add_contact(site: Site, token: str) -> None:
    """Bob gets a contact and mails."""
    headers = {"Authorization": f"Bearer {token}"}
    body = {"medium": "email", "address": ADDRESS}
    answer = site.http.post("/_threepid/admin/v1/accounts/bob/contacts/add", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    for _ in range(3):
        answer = site.http.post("/_threepid/admin/v1/accounts/bob/password_link", json={}, headers=headers)
        assert answer.status_code == 200, answer.text


def suppress_and_invite(site: Site) -> None:
    """Two addresses that get no mails and are invited to rooms, one with a long name."""
    long = "a-room-id-that-is-longer-than-any-column-of-a-narrow-screen-and-goes-on-and-on"
    with closing(sqlite3.connect(site.process.directory / "data" / "threepid.db", timeout=20)) as database, database:
        for number, address in enumerate(("new@example.com", f"{long[:40]}@example.com")):
            database.execute("INSERT INTO suppressions VALUES (?, 'bounce', '5.1.1', 'm', ?, ?)", (address, LATE, LATE))
            database.execute(
                "INSERT INTO invites (id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at) "
                "VALUES (?, ?, 'email', ?, ?, '@bob:example.org', 'k', ?, ?)",
                (f"invite{number}", f"token{number}", address, f"!{long}:example.org", LATE, LATE + 9**13),
            )


@pytest.mark.parametrize("window", ["en", "ar"], indirect=True)
@pytest.mark.timeout(120)
def test_an_operator_sends_mails_again_and_cancels_an_invitation(window: Window, helped: Site) -> None:
    portal = Portal(window, helped)
    if window.language == "en":
        suppress_and_invite(helped)
    portal.open("/admin/suppressions")
    portal.type("Operator token", operator_token(helped, f"lists-{window.language}"))
    portal.press("Sign in")
    portal.see("Addresses that get no mails")
    portal.page.get_by_role("button", name=window.say("Send mails again")).first.click()
    portal.expect_said("An address gets mails again")
    portal.see("Addresses that get no mails")
    portal.follow("Invitations")
    portal.see("Invitations")
    portal.page.get_by_role("button", name=window.say("Cancel the invitation")).first.click()
    portal.expect_said("An invitation was cancelled")
    portal.see("Invitations")


@pytest.mark.parametrize("window", ["en", "ar"], indirect=True)
@pytest.mark.timeout(120)
def test_an_operator_reads_why_mails_did_not_arrive(window: Window, helped: Site) -> None:
    portal = Portal(window, helped)
    token = operator_token(helped, f"reasons-{window.language}")
    if window.language == "en":
        add_contact(helped, token)
        helped.mail(ADDRESS)
        give_outcomes(helped)
    portal.open("/admin/account?user=bob")
    portal.type("Operator token", token)
    portal.press("Sign in")
    portal.see("Account")
    assert ANSWER in portal.page.content().replace("&amp;", "&")
    portal.open("/admin/queue?failed=1")
    portal.see("Queue")


@pytest.mark.parametrize("window", ["en", "ar"], indirect=True)
def test_an_administrator_opens_the_console_with_an_account(window: Window, helped: Site) -> None:
    portal = Portal(window, helped)
    portal.open("/admin/")
    portal.follow("Use my account instead")
    portal.type("Username, email address or phone number", "root")
    portal.type("Password", PASSWORD)
    portal.press("Sign in")
    portal.see("Open the console?")
    portal.press("Continue")
    portal.see("Accounts")
