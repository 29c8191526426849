"""Whatever a command changes is in the audit log, and what only reads changes nothing.

The endpoints and the console stand in tests/test_noted_acts.py.
"""

import getpass
import json
from pathlib import Path
from typing import NamedTuple

import pytest

from cli.test_wrong_arguments import commands
from forked import Done, forked
from ma1sd_database import Ma1sdDatabase, write_keys
from noted import GONE, Made, furnish
from sydent_database import SydentDatabase
from synapse_database import SynapseDatabase
from threepid.clock import Clock
from threepid.domain.audit import Event
from threepid.storage.engine.migrate import migrate
from whole_database import contents
from world import HandClock, World

pytestmark = pytest.mark.timeout(300)  # all commands run in the setup of the first case

SEED = "E" * 43
CONFIG = """\
[server]
name = "example.org"
public_base_url = "https://matrix.example.org"
data_dir = "data"
[accounts]
[identity]
[email]
from = "noreply@example.org"
via = [{ transport = "smtp", host = "127.0.0.1", port = 1, tls = "plain" }]
"""
BESIDE = """\
[homeserver]
kind = "synapse"
url = "http://127.0.0.1:1"
secret_file = "synapse.secret"
"""

WITHOUT_ENTRY = {
    "init": "there is no database yet",
    "serve": "what a server does by itself is no act of an operator",
    "migrate": "the database has a list of its migrations",
    "doctor": "it reads, and asks other servers",
    "bounce": "a mail server calls it, and `suppressions list` shows the reports",
    "message send-test": "nothing that is kept changes",
    "keys generate": "the first key is made by the first start, if not by this",
}
"""Commands that change or send something without an entry, and why."""


class Act(NamedTuple):
    """A command line, and the events that the log has of it."""

    command: str
    more: list[str]
    events: list[Event]


def acts(made: Made) -> list[Act]:
    """Every command that changes something, in an order in which each has something to do."""
    retry, resend, drop = made.messages
    return [
        Act("database copy", ["--to", "sqlite:copied.db"], []),
        Act("account export", ["alice"], [Event.DATA_DOWNLOADED]),
        Act("account devices logout", ["alice", made.device], [Event.SIGNED_OUT]),
        Act("account sessions end", ["alice", "--", made.session], [Event.SIGNED_OUT]),
        Act("account create", ["bob", "--no-password"], [Event.REGISTERED]),
        Act("account set-password", ["alice", "--password-file", "password"], [Event.PASSWORD_CHANGED]),
        Act("account set-password", ["alice", "--link"], [Event.LINK_SENT]),
        Act("account contact add", ["alice", "more@example.com"], [Event.CONTACT_ADDED]),
        Act("account contact verify", ["alice", "more@example.com"], [Event.CONTACT_VERIFIED]),
        Act("account contact remove", ["alice", "more@example.com"], [Event.CONTACT_REMOVED]),
        Act("account devices logout", ["alice", "--all"], [Event.SIGNED_OUT_EVERYWHERE]),
        Act("account lock", ["alice"], [Event.LOCKED]),
        Act("account unlock", ["alice"], [Event.UNLOCKED]),
        Act("account admin", ["alice"], [Event.ADMIN_GRANTED]),
        Act("account admin", ["alice", "--remove"], [Event.ADMIN_REVOKED]),
        Act("account deactivate", ["bob", "--yes"], [Event.DEACTIVATED]),
        Act("account reactivate", ["bob"], [Event.REACTIVATED]),
        Act("limits clear", ["--account", "alice"], [Event.LIMITS_CLEARED]),
        Act("outbox retry", ["--", retry], [Event.MESSAGE_RESENT]),
        Act("resend", ["--", resend], [Event.MESSAGE_RESENT]),
        Act("outbox drop", ["--", drop], [Event.MESSAGE_DROPPED]),
        Act("suppressions remove", [GONE], [Event.SUPPRESSION_REMOVED]),
        Act("invites cancel", ["--", made.invite], [Event.INVITE_CANCELLED]),
        Act("registration-token create", ["--token", "a-party-token"], [Event.REGISTRATION_TOKEN_CREATED]),
        Act("registration-token delete", ["a-party-token"], [Event.REGISTRATION_TOKEN_DELETED]),
        Act("operator-token create", ["helpdesk", "--scope", "audit:read"], [Event.OPERATOR_TOKEN_CREATED]),
        Act("operator-token revoke", ["helpdesk"], [Event.OPERATOR_TOKEN_REVOKED]),
        Act("pepper rotate", [], [Event.PEPPER_ROTATION_BEGAN]),
        Act("keys rotate", [], [Event.SIGNING_KEY_ROTATED]),
        Act("keys import", ["other.key"], [Event.SIGNING_KEYS_IMPORTED]),
        Act(
            "import synapse",
            ["--database", "sqlite:synapse.db", "--server-name", "example.org"],
            [Event.IMPORT_BEGAN, Event.IMPORT_FINISHED],
        ),
        Act(
            "import sydent",
            ["--database", "sqlite:sydent.db", "--server-name", "matrix.example.org"],
            [Event.PEPPER_ROTATION_BEGAN, Event.IMPORT_BEGAN, Event.IMPORT_FINISHED],
        ),
        Act(
            "import ma1sd",
            ["--database", "sqlite:ma1sd.db", "--server-name", "matrix.example.org", "--keys", "ma1sd"],
            [Event.SIGNING_KEYS_IMPORTED, Event.IMPORT_BEGAN, Event.IMPORT_FINISHED],
        ),
        Act("homeserver resync", ["--config", "beside.toml"], [Event.HOMESERVER_RESYNCED]),
        Act("keys accept-new-secret", ["--yes", "--config", "lost.toml"], [Event.SECRET_ACCEPTED]),
    ]


def readings(made: Made) -> dict[str, list[str]]:
    """Every command that only reads, with arguments."""
    return {
        "completion": ["bash"],
        "config check": ["--offline"],
        "config show": [],
        "config schema": [],
        "config example": [],
        "account list": [],
        "account contacts": ["alice"],
        "account search": ["alice"],
        "account show": ["alice"],
        "account remains": ["alice"],
        "account devices list": ["alice"],
        "account sessions list": ["alice"],
        "registration-token list": [],
        "operator-token list": [],
        "invites list": [],
        "outbox list": [],
        "outbox show": ["--", made.messages[0]],
        "suppressions list": [],
        "audit export": [],
        "message preview": [],
        "keys list": [],
        "proxy nginx": [],
        "proxy caddy": [],
        "proxy traefik": [],
        "proxy apache": [],
    }


class Server(NamedTuple):
    """The folder of a server's configuration, its database, and what is in it."""

    directory: Path
    url: str
    made: Made

    def run(self, *lines: list[str]) -> list[Done]:
        return forked(lines, cwd=self.directory, THREEPID_CONFIG="threepid.toml")


@pytest.fixture
def server(tmp_path: Path, empty_url: str) -> Server:
    url = empty_url  # not one that is lent to many tests: a connection to it stays open, and nothing may use what is copied
    migrate(url, password=None, clock=Clock())
    with World(url, tmp_path / "data", clock=HandClock(Clock().now())) as world:
        made = furnish(world)
    database = f'[database]\nurl = "{url}"\n'
    (tmp_path / "threepid.toml").write_text(CONFIG + database)
    (tmp_path / "beside.toml").write_text(CONFIG + database + BESIDE)
    (tmp_path / "lost.toml").write_text((CONFIG + database).replace('"data"', '"lost"'))
    (tmp_path / "new.toml").write_text(CONFIG + '[database]\nurl = "sqlite:copied.db"\n')
    (tmp_path / "password").write_text("another long password\n")
    (tmp_path / "synapse.secret").write_text("a-secret-of-thirty-two-characters-or-more\n")
    (tmp_path / "synapse.secret").chmod(0o600)
    (tmp_path / "other.key").write_text(f"ed25519 other {SEED}\n")
    synapse = SynapseDatabase(f"sqlite:{tmp_path}/synapse.db")
    synapse.user("@carol:example.org", "password")
    synapse.close()
    sydent = SydentDatabase(tmp_path / "sydent.db")
    sydent.bind("@dora:elsewhere.example", "dora@example.com")
    sydent.close()
    ma1sd = Ma1sdDatabase(f"sqlite:{tmp_path}/ma1sd.db")
    ma1sd.account("@dora:elsewhere.example", "token-of-dora-at-ma1sd")
    ma1sd.close()
    write_keys(tmp_path / "ma1sd", "AAA", regular={"AAA": b"1" * 32}, ephemeral={"e": b"2" * 32})
    return Server(tmp_path, url, made)


def test_every_command_is_here() -> None:
    nobody = Made("", "", ["", "", ""], "")
    changing = {act.command for act in acts(nobody)}
    named = [*changing, *readings(nobody), *WITHOUT_ENTRY]
    assert sorted(named) == sorted(commands())


def test_a_command_that_reads_changes_nothing(server: Server) -> None:
    lines = [[*name.split(), *more] for name, more in readings(server.made).items()]
    before = contents(server.url)
    for line, done in zip(lines, server.run(*lines), strict=True):
        assert (done.status, "Traceback" in done.err) == (0, False), (line, done)
    assert contents(server.url) == before


def copy_unused(server: Server, act: Act) -> Done:
    """The copy, repeated until PostgreSQL has forgotten the connection of the command before, which takes a moment."""
    for _ in range(50):
        (done,) = server.run([*act.command.split(), *act.more])
        if "The database is in use" not in done.err:
            break
    return done


def test_every_command_that_changes_something_is_noted_with_its_user(server: Server) -> None:
    done = acts(server.made)
    export = ["audit", "export", "--config"]
    (before,) = server.run([*export, "threepid.toml"])
    copied = copy_unused(server, done[0])
    *results, after = server.run(*([*act.command.split(), *act.more] for act in done[1:]), [*export, "lost.toml"])
    for act, result in zip(done, [copied, *results], strict=True):
        assert result.status == 0, (act, result)
    known = before.out.splitlines()
    found = [json.loads(line) for line in after.out.splitlines() if line not in known]
    for act in done:
        # Two entries of a command may have the same time, and then any order.
        mine, found = found[: len(act.events)], found[len(act.events) :]
        assert sorted(one["event"] for one in mine) == sorted(act.events), act
        who = {(one["caller_kind"], one["caller"]) for one in mine}
        assert who <= {("operator", f"command line: {getpass.getuser()}")}, act
    assert found == []
    (copied,) = server.run(["audit", "export", "--event", "database_copied", "--config", "new.toml"])
    (line,) = copied.out.splitlines()
    assert json.loads(line)["details"]["rows"] > 0


def noted(directory: Path) -> list[tuple[str, dict[str, str]]]:
    """The events and details of all entries."""
    (done,) = forked([["audit", "export"]], cwd=directory, THREEPID_CONFIG="threepid.toml")
    return [(one["event"], one["details"]) for one in map(json.loads, done.out.splitlines())]


def keys(directory: Path) -> dict[str, str]:
    """The key files and what is in them."""
    return {file.name: file.read_text() for file in (directory / "data" / "keys").glob("*.key")}


def test_an_entry_says_which_keys_came_and_which_went(tmp_path: Path) -> None:
    (tmp_path / "threepid.toml").write_text(CONFIG)
    (tmp_path / "other.key").write_text(f"ed25519 0 {SEED}\ned25519 old {'I' * 43}\n")
    lines = [["keys", "import", "other.key"], ["keys", "import", "other.key"], ["keys", "rotate"]]
    done = forked(lines, cwd=tmp_path, THREEPID_CONFIG="threepid.toml")
    assert [one.status for one in done] == [0, 2, 0], done
    assert len(keys(tmp_path)) == 3, "before the first start, no key of ours is in the way"
    found = [
        (Event.SIGNING_KEYS_IMPORTED, {"added": "ed25519:0 ed25519:old"}),
        (Event.SIGNING_KEY_ROTATED, {"added": "ed25519:1", "retired": "ed25519:0"}),
    ]
    assert noted(tmp_path) == found

    killed = tmp_path / "data" / "keys" / "ed25519_0.key"
    killed.write_text(killed.read_text().partition("retired")[0])
    (again,) = forked([["keys", "rotate"]], cwd=tmp_path, THREEPID_CONFIG="threepid.toml")
    assert again.err.startswith("The interrupted rotation is complete.\n")
    assert noted(tmp_path) == [*found, (Event.SIGNING_KEY_ROTATED, {"retired": "ed25519:0"})]


def test_keys_do_not_change_while_nothing_can_be_noted(tmp_path: Path) -> None:
    (tmp_path / "threepid.toml").write_text(CONFIG)
    (tmp_path / "away.toml").write_text(CONFIG + '[database]\nurl = "postgresql://nobody@127.0.0.1:1/nothing"\n')
    (tmp_path / "other.key").write_text(f"ed25519 other {SEED}\n")
    forked([["keys", "generate"]], cwd=tmp_path, THREEPID_CONFIG="threepid.toml")
    before = keys(tmp_path)
    lines = [["keys", "rotate"], ["keys", "import", "other.key"]]
    for done in forked(lines, cwd=tmp_path, THREEPID_CONFIG="away.toml"):
        assert (done.status, done.out, done.err.count("\n")) == (1, "", 1), done
        assert "PostgreSQL" in done.err
    assert keys(tmp_path) == before
