"""The commands that help people, as an operator types them."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

CONFIG = (
    '[server]\nname = "example.org"\npublic_base_url = "https://matrix.example.org"\n[accounts]\n[identity]\n'
    '[email]\nfrom = "noreply@example.org"\nvia = [{ transport = "mailbox" }]\n[admin]\nnetworks = ["192.0.2.0/24"]\n'
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "threepid.toml").write_text(CONFIG)
    (tmp_path / "password").write_text("a long password\n")
    run(tmp_path, "account", "create", "alice", "--password-file", "password")
    return tmp_path


def threepid(directory: Path, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "THREEPID_CONFIG": "threepid.toml", "COLUMNS": "200", "NO_COLOR": "1", **changed}
    return subprocess.run(
        [sys.executable, "-m", "threepid", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=180,
        env=environment,
    )


def run(directory: Path, *arguments: str) -> str:
    done = threepid(directory, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), arguments
    return done.stdout


def events(directory: Path) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in run(directory, "audit", "export").splitlines()]
    return [(line["event"], line["user_id"]) for line in lines]


ALICE = "@alice:example.org"


def test_a_person_is_found_shown_and_helped(directory: Path) -> None:
    assert run(directory, "account", "contact", "add", "alice", "alice@example.com") == (
        "added alice@example.com to @alice:example.org\n"
    )
    assert run(directory, "account", "search", "alice@example.com").splitlines()[1].startswith(ALICE)
    (found,) = json.loads(run(directory, "account", "search", "al", "--json"))
    assert (found["user_id"], found["contacts"]) == (ALICE, 1)
    assert json.loads(run(directory, "account", "search", "LIC", "--json")) == []
    (found,) = json.loads(run(directory, "account", "search", "LIC", "--anywhere", "--json"))
    assert found["user_id"] == ALICE
    (shown,) = json.loads(run(directory, "account", "show", "alice@example.com", "--json"))
    assert [one["address"] for one in shown["contacts"]] == ["alice@example.com"]
    assert "alice@example.com" in run(directory, "account", "show", "alice")
    assert run(directory, "account", "contact", "verify", "alice", "alice@example.com").startswith("verified")
    (directory / "new").write_text("another long password")
    assert (
        run(directory, "account", "set-password", ALICE, "--password-file", "new") == f"set the password of {ALICE}\n"
    )
    assert run(directory, "account", "set-password", "alice", "--link").startswith(f"sent a link for {ALICE} to alice@")
    assert json.loads(run(directory, "account", "devices", "list", "alice", "--json")) == []
    assert json.loads(run(directory, "account", "sessions", "list", "alice", "--json")) == []
    assert run(directory, "account", "devices", "logout", "alice", "--all").startswith("logged all")
    assert run(directory, "limits", "clear", "--account", "alice", "--network", "192.0.2.1").startswith("cleared ")
    assert run(directory, "account", "contact", "remove", "alice", "alice@example.com").startswith("removed")
    assert run(directory, "invites", "list", "--address", "alice@example.com", "--json") == "[]\n"
    assert [event for event, user_id in events(directory) if user_id == ALICE] == [
        "registered",
        "contact_added",
        "contact_verified",
        "password_changed",
        "link_sent",
        "signed_out_everywhere",
        "limits_cleared",
        "contact_removed",
    ]


def test_operator_tokens_are_made_listed_and_revoked(directory: Path) -> None:
    token = run(directory, "operator-token", "create", "helpdesk", "--scope", "accounts:read", "--expires", "12h")
    assert token.startswith("tpo_")
    (listed,) = json.loads(run(directory, "operator-token", "list", "--json"))
    assert (listed["name"], listed["scopes"], listed["used_at"]) == ("helpdesk", ["accounts:read"], None)
    assert listed["expires_at"] - listed["created_at"] == 12 * 3600 * 1000
    assert token.strip() not in run(directory, "operator-token", "list")
    assert run(directory, "operator-token", "revoke", "helpdesk") == "revoked helpdesk\n"
    assert [event for event, _ in events(directory)][-2:] == ["operator_token_created", "operator_token_revoked"]


def test_a_token_that_opens_nothing_is_made_with_a_warning(directory: Path) -> None:
    (directory / "off.toml").write_text(CONFIG.partition("[admin]")[0])
    create = ("operator-token", "create", "helpdesk", "--scope", "accounts:read", "--config", "off.toml")
    done = threepid(directory, *create)
    assert (done.returncode, done.stdout[:4]) == (0, "tpo_")
    assert done.stderr == (
        "Warning: [admin] networks is empty, so there is no admin API and no console to use the token at.\n"
    )


WRONG = [
    ("account", "show", "nobody"),
    ("account", "show", ""),
    ("account", "show", "@alice:elsewhere.example"),
    ("account", "contact", "add", "alice", "no address"),
    ("account", "contact", "verify", "alice", "a@example.com"),
    ("account", "contact", "add", "alice", "a@example.com\r\nBcc: b@example.com"),
    ("account", "set-password", "alice", "--password-file", "short"),
    ("account", "set-password", "alice", "--link"),
    ("account", "devices", "logout", "alice"),
    ("account", "devices", "logout", "alice", "NOSUCH"),
    ("account", "sessions", "end", "alice", "nosuch"),
    ("limits", "clear"),
    ("limits", "clear", "--network", "nowhere"),
    ("limits", "clear", "--account", "nobody"),
    ("resend", "nosuch"),
    ("suppressions", "remove", "nobody@example.com"),
    ("audit", "export", "--since", "yesterday"),
    ("audit", "export", "--until", "tomorrow"),
    ("audit", "export", "--event", "nosuch"),
    ("audit", "export", "--account", "nobody"),
    ("account", "create", "bob", "--no-password", "--password-file", "password"),
    ("invites", "cancel", "nosuch"),
    ("operator-token", "create", "no name", "--scope", "accounts:read"),
    ("operator-token", "create", "helpdesk", "--scope", "everything"),
    ("operator-token", "create", "helpdesk", "--scope", "accounts:read", "--expires", "soon"),
    ("operator-token", "revoke", "nosuch"),
]


def test_a_wrong_argument_is_one_sentence_and_changes_nothing(directory: Path) -> None:
    (directory / "short").write_text("short")
    before = run(directory, "audit", "export")
    for arguments in WRONG:
        done = threepid(directory, *arguments)
        assert done.returncode == 2, (arguments, done)
        assert done.stdout == "", arguments
        assert done.stderr.count("\n") == 1, (arguments, done.stderr)
        assert done.stderr.endswith(".\n"), (arguments, done.stderr)
    assert run(directory, "audit", "export") == before


def test_an_account_without_a_password_waits_for_its_owner(directory: Path) -> None:
    assert run(directory, "account", "create", "bob", "--no-password") == "created @bob:example.org\n"
    assert run(directory, "account", "contact", "add", "bob", "bob@example.com").startswith("added")
    assert run(directory, "account", "set-password", "bob", "--link").endswith("to bob@example.com\n")
    lines = [json.loads(line) for line in run(directory, "audit", "export").splitlines()]
    assert {line["caller"].partition(":")[0] for line in lines if line["user_id"] == "@bob:example.org"} == {
        "command line"
    }


def test_the_audit_log_ends_before_a_time(directory: Path) -> None:
    whole = run(directory, "audit", "export")
    assert run(directory, "audit", "export", "--until", "2000-01-01") == ""
    assert run(directory, "audit", "export", "--since", "2000-01-01", "--until", "9999-12-31T23:59:59Z") == whole


def test_the_audit_log_is_exported_by_event_and_account(directory: Path) -> None:
    run(directory, "account", "create", "bob", "--no-password")
    run(directory, "account", "contact", "add", "bob", "bob@example.com")
    run(directory, "account", "lock", "bob")

    def exported(*arguments: str) -> list[tuple[str, str]]:
        lines = [json.loads(line) for line in run(directory, "audit", "export", *arguments).splitlines()]
        return [(line["event"], line["user_id"]) for line in lines]

    bob = "@bob:example.org"
    assert exported("--account", "bob@example.com") == [("registered", bob), ("contact_added", bob), ("locked", bob)]
    assert exported("--event", "registered") == [("registered", ALICE), ("registered", bob)]
    assert exported("--event", "registered", "--account", "bob", "--since", "2000-01-01") == [("registered", bob)]
    assert exported("--event", "login_failed") == []


def test_an_identity_server_alone_takes_user_ids_for_entries_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "threepid.toml").write_text(CONFIG.replace("[accounts]\n", ""))
    run(tmp_path, "limits", "clear", "--network", "192.0.2.1")
    assert run(tmp_path, "audit", "export", "--account", ALICE) == ""
    assert len(run(tmp_path, "audit", "export", "--account", "").splitlines()) == 1


def test_every_command_takes_an_account_by_any_of_its_names(directory: Path) -> None:
    run(directory, "account", "contact", "add", "alice", "alice@example.com")
    name = "Alice@Example.com"
    assert "alice@example.com" in run(directory, "account", "contacts", name)
    assert run(directory, "account", "lock", name) == f"locked {ALICE}\n"
    assert "\nlocked: 2" in run(directory, "account", "show", "@alice")
    assert run(directory, "account", "search", "alice").split()[-1] == "locked"
    again = threepid(directory, "account", "lock", name)
    assert (again.returncode, again.stderr) == (2, f"{ALICE} is locked already, or deactivated.\n")
    assert run(directory, "account", "unlock", name) == f"unlocked {ALICE}\n"
    assert run(directory, "account", "admin", name) == f"{ALICE} is an administrator\n"
    assert run(directory, "account", "deactivate", name, "--yes") == f"deactivated {ALICE}\n"
    closed = threepid(directory, "account", "admin", "alice")
    assert (closed.returncode, closed.stderr) == (2, f"{ALICE} is deactivated.\n")
    assert run(directory, "account", "reactivate", "Alice") == f"reactivated {ALICE}\n"
    lines = [json.loads(line) for line in run(directory, "audit", "export", "--account", "alice").splitlines()]
    assert {(line["event"], line["caller"].partition(":")[0]) for line in lines[2:]} == {
        (event, "command line") for event in ("locked", "unlocked", "admin_granted", "deactivated", "reactivated")
    }


def test_tokens_and_messages_that_an_operator_changes_are_in_the_log(directory: Path) -> None:
    run(directory, "registration-token", "create", "--token", "party-at-noon")
    run(directory, "registration-token", "delete", "party-at-noon")
    run(directory, "account", "contact", "add", "alice", "alice@example.com")
    run(directory, "account", "set-password", "alice", "--link")
    messages = json.loads(run(directory, "outbox", "list", "--json"))
    run(directory, "outbox", "drop", "--", messages[0]["id"])
    assert "count" not in run(directory, "audit", "export", "--event", "message_dropped")
    run(directory, "account", "set-password", "alice", "--link")
    run(directory, "outbox", "retry", "--all")
    dropped = json.loads(run(directory, "outbox", "drop", "--to", "alice@example.com", "--yes", "--json"))
    assert threepid(directory, "outbox", "drop", "--", messages[0]["id"]).returncode == 2
    lines = [json.loads(line) for line in run(directory, "audit", "export").splitlines()]
    assert {line["caller"].partition(":")[0] for line in lines} == {"command line"}
    found = [(line["event"], line["details"]) for line in lines if not line["user_id"]]
    hint = found[0][1]["hint"]
    assert found == [
        ("registration_token_created", {"hint": hint}),
        ("registration_token_deleted", {"hint": hint}),
        ("message_dropped", {"message_id": messages[0]["id"]}),
        ("message_dropped", {"count": dropped[0]["dropped"]}),
    ]
    assert hint != "party-at-noon"


def test_a_password_without_a_terminal_comes_from_a_file(directory: Path) -> None:
    for command in (("account", "set-password", "alice"), ("account", "create", "bob")):
        done = subprocess.run(
            [sys.executable, "-m", "threepid", *command, "--config", "threepid.toml"],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=180,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert (done.returncode, done.stderr) == (
            2,
            "There is no terminal to enter a password at: use --password-file.\n",
        )


def test_wrong_arguments_are_said_before_a_password_is_asked_for(directory: Path) -> None:
    run(directory, "account", "create", "gone", "--no-password")
    run(directory, "account", "deactivate", "gone", "--yes")
    for arguments, sentence in (
        (("create", "alice"), "This user ID is already taken."),
        (("create", "no name"), "A username must have"),
        (("set-password", "nobody"), "There is no such account."),
        (("set-password", "gone"), "This account has been deactivated."),
        (("create", "bob", "--config", "nowhere.toml"), "nowhere.toml"),
        (("set-password", "alice", "--config", "nowhere.toml"), "nowhere.toml"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "threepid", "account", *arguments],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=180,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "THREEPID_CONFIG": "threepid.toml"},
        )
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert sentence in done.stderr
        assert "Password" not in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("added", "again"), [("alice@example.com", "Alice@Example.com"), ("Alice@Example.com", "alice@example.com")]
)
def test_a_contact_that_the_account_has_is_not_added_again(directory: Path, added: str, again: str) -> None:
    first = run(directory, "account", "contact", "add", "alice", added)
    stored = first.removeprefix("added ").removesuffix(f" to {ALICE}\n")
    before = events(directory), run(directory, "account", "contacts", "alice", "--json")
    refused = threepid(directory, "account", "contact", "add", "alice", again)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"{ALICE} has this contact already, as {stored}. Nothing was changed.\n"
    assert (events(directory), run(directory, "account", "contacts", "alice", "--json")) == before


@pytest.mark.parametrize("until", ["2027-12-31", "2027-12-30T23:59"])
def test_an_export_that_ends_before_it_begins_is_refused(directory: Path, until: str) -> None:
    refused = threepid(directory, "audit", "export", "--since", "2027-12-31", "--until", until)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "--until must be later than --since.\n"


def test_all_invitations_to_an_address_are_listed_oldest_first(directory: Path) -> None:
    many = 10_050
    rows = [
        (f"invite{number:05}", f"token{number}", "email", "a@example.com", "!room:b", "@bob:b", "k", number // 2, 9**14)
        for number in range(many)
    ]
    with closing(sqlite3.connect(directory / "data" / "threepid.db", timeout=20)) as database, database:
        database.executemany(
            "INSERT INTO invites (id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [*rows, ("other", "t", "email", "b@example.com", "!room:b", "@bob:b", "k", 7, 9**14)],
        )
    found = json.loads(run(directory, "invites", "list", "--address", "a@example.com", "--json"))
    assert [one["id"] for one in found] == [row[0] for row in rows]
