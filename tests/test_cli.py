"""The commands, as an operator types them."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
import typer

from rig import free_port
from threepid.cli import app
from threepid.storage.engine.migrate import known_migrations


def threepid(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "threepid", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environment},
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "threepid.toml").write_text(
        '[server]\nname = "example.org"\npublic_base_url = "https://matrix.example.org"\n[accounts]\n[identity]\n'
    )
    (tmp_path / "password").write_text("a long password\n")
    return tmp_path


def test_commands_that_need_no_server_import_none() -> None:
    """A second for each press of Tab, and for each `--help`, is what the modules of the server take."""
    server = [
        "aiohttp",
        "apsw",
        "granian",
        "jinja2",
        "psycopg",
        "threepid.api.endpoints",
        "threepid.app",
        "threepid.web.site",
    ]
    code = f"import sys, threepid.cli; print(*(name for name in {server} if name in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_a_database_that_may_not_be_written_is_named_with_what_it_needs(directory: Path) -> None:
    """As after a command of root: also root writes only where the mode allows it, once it has lost the right to pass over modes."""
    assert threepid("account", "list", "--config", "threepid.toml", cwd=directory).returncode == 0
    database = Path("data", "threepid.db")
    (directory / database).chmod(0o400)
    mortal = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    command = ["account", "create", "bob", "--password-file", "password", "--config", "threepid.toml"]
    done = subprocess.run(
        [*mortal, sys.executable, "-m", "threepid", *command],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"{database}: attempt to write a readonly database. The user who runs threepid must be able to write to the file, "
        "to its `-wal` and `-shm`, and to the folder.\n"
    )


def test_accounts_are_made_listed_and_shown(directory: Path) -> None:
    made = threepid(
        "account", "create", "alice", "--password-file", "password", "--config", "threepid.toml", cwd=directory
    )
    assert made.stdout == "created @alice:example.org\n"
    again = threepid("account", "create", "alice", "--password-file", "password", "-c", "threepid.toml", cwd=directory)
    assert again.returncode == 2
    assert again.stderr == "This user ID is already taken.\n"
    bad = threepid("account", "create", "No Name", "--password-file", "password", "-c", "threepid.toml", cwd=directory)
    assert bad.returncode == 2
    listed = threepid("account", "list", "-c", "threepid.toml", cwd=directory)
    assert [line.split() for line in listed.stdout.splitlines()][1][0] == "@alice:example.org"
    assert "active" in listed.stdout
    assert threepid("account", "contacts", "alice", "-c", "threepid.toml", cwd=directory).returncode == 0
    nobody = threepid("account", "contacts", "nobody", "-c", "threepid.toml", cwd=directory)
    assert (nobody.returncode, nobody.stderr) == (2, "There is no such account.\n")


def test_an_account_becomes_an_administrator_and_an_ordinary_one_again(directory: Path) -> None:
    config = ("-c", "threepid.toml")
    threepid("account", "create", "alice", "--password-file", "password", *config, cwd=directory)
    made = threepid("account", "admin", "alice", *config, cwd=directory)
    assert made.stdout == "@alice:example.org is an administrator\n"
    back = threepid("account", "admin", "@alice:example.org", "--remove", *config, cwd=directory)
    assert back.stdout == "@alice:example.org is an ordinary account\n"
    nobody = threepid("account", "admin", "nobody", *config, cwd=directory)
    assert (nobody.returncode, nobody.stderr) == (2, "There is no such account.\n")


def test_a_password_that_is_too_short_is_refused(directory: Path) -> None:
    (directory / "short").write_text("short\n")
    made = threepid("account", "create", "alice", "--password-file", "short", "-c", "threepid.toml", cwd=directory)
    assert made.returncode == 2
    assert "at least 8" in made.stderr


def test_migrate_says_what_it_did(directory: Path) -> None:
    first = threepid("migrate", "-c", "threepid.toml", cwd=directory)
    assert first.stdout.splitlines() == [f"applied {migration.name}" for migration in known_migrations()]
    assert threepid("migrate", "-c", "threepid.toml", cwd=directory).stdout == "The database schema is up to date.\n"
    assert (directory / "data" / "threepid.db").exists()


LONG = "a-room-id-that-is-longer-than-any-column-of-a-narrow-terminal-and-goes-on-and-on-and-on"


def test_lists_are_whole_in_a_pipe_and_json_for_programs(directory: Path) -> None:
    name = "a" * 60

    def run(*arguments: str) -> str:
        done = threepid(*arguments, "-c", "threepid.toml", cwd=directory, COLUMNS="20")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    run("account", "create", name, "--password-file", "password")
    run("registration-token", "create", "--token", "event-berlin", "--uses", "3")
    with apsw.Connection(str(directory / "data" / "threepid.db")) as database:
        database.execute(
            "INSERT INTO invites (id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at) VALUES "
            "('invite000001', 't', 'email', 'a@example.com', ?, '@bob:example.org', 'k', 1800000000000, 1900000000000)",
            (f"!{LONG}\x1b[31m\n:example.org",),
        )
        database.execute(
            "INSERT INTO threepids (medium, canonical, user_id, address, validated_at, added_at) VALUES "
            "('email', ?, ?, ?, 1800000000000, 1800000000000)",
            (f"{LONG}@example.com", f"@{name}:example.org", f"{LONG}@example.com"),
        )
    assert f"@{name}:example.org  " in run("account", "list")
    assert f"email   {LONG}@example.com  2027-01-15 08:00  2027-01-15 08:00\n" in run("account", "contacts", name)
    assert "even  0     3             " in run("registration-token", "list")
    listed = run("invites", "list")
    assert len(listed.splitlines()) == 2
    assert (
        f"invite000001  email   a@example.com  @bob:example.org  !{LONG}\\x1b[31m\\n:example.org  2027-01-15 08:00"
        in listed
    )
    key = run("keys", "list").splitlines()[1].split()
    assert len(key[1]) == 43

    (account,) = json.loads(run("account", "list", "--json"))
    assert account.pop("created_at") > 1_700_000_000_000
    assert account == {"user_id": f"@{name}:example.org", "deactivated_at": None, "locked_at": None, "contacts": 1}
    at = 1_800_000_000_000
    assert json.loads(run("account", "contacts", name, "--json")) == [
        {"medium": "email", "address": f"{LONG}@example.com", "validated_at": at, "added_at": at}
    ]
    (token,) = json.loads(run("registration-token", "list", "--json"))
    assert token.pop("created_at") > 1_700_000_000_000
    assert token == {"hint": "even", "used": 0, "uses_allowed": 3, "expires_at": None, "state": "usable"}
    (invite,) = json.loads(run("invites", "list", "--json"))
    assert invite["room_id"] == f"!{LONG}\x1b[31m\n:example.org"
    assert json.loads(run("invites", "list", "--address", "A@example.com", "--json")) == [invite]
    assert json.loads(run("invites", "list", "--address", "b@example.com", "--json")) == []
    assert (invite["id"], invite["created_at"], invite["expires_at"]) == ("invite000001", at, 1_900_000_000_000)
    assert json.loads(run("keys", "list", "--json")) == [{"key_id": key[0], "public_key": key[1], "retired_at": None}]


def test_a_list_of_nothing_is_its_header_or_an_empty_array(directory: Path) -> None:
    assert threepid("invites", "list", "-c", "threepid.toml", cwd=directory).stdout.split()[:2] == ["id", "medium"]
    assert threepid("account", "list", "--json", "-c", "threepid.toml", cwd=directory).stdout == "[]\n"


def commands(group: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands with their names, also those of groups in groups."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


def test_every_command_that_lists_has_json() -> None:
    found = dict(commands(typer.main.get_command(app)))
    lists = {
        path for path, command in found.items() if command.help.startswith("List ") or path[-1] in {"list", "search"}
    }
    assert ("account", "devices", "list") in lists
    for path in lists | {("account", "show"), ("account", "remains"), ("outbox", "show")}:
        assert "--json" in {name for parameter in found[path].params for name in parameter.opts}, path


@pytest.mark.parametrize(
    ("arguments", "file", "message"),
    [
        (
            ("account", "create", "alice", "--password-file"),
            "missing",
            "missing cannot be read: No such file or directory.\n",
        ),
        (("account", "create", "alice", "--password-file"), ".", ". cannot be read: Is a directory.\n"),
        (("account", "create", "alice", "--password-file"), "binary", "binary is not a text file.\n"),
        (("keys", "import"), "missing", "missing cannot be read: No such file or directory.\n"),
        (("account", "list", "--config"), "missing", "missing: No such file or directory\n"),
        (("serve", "--config"), ".", ".: Is a directory\n"),
        (("config", "check", "--config"), "binary", "binary: is not UTF-8 text\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(
    directory: Path, arguments: tuple[str, ...], file: str, message: str
) -> None:
    (directory / "binary").write_bytes(b"\xff\xfe")
    refused = threepid(*arguments, file, cwd=directory, THREEPID_CONFIG="threepid.toml")
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", message)


@pytest.mark.parametrize("command", [("migrate",), ("account", "list"), ("invites", "list"), ("pepper", "rotate")])
def test_a_setting_that_cannot_be_used_is_one_sentence_in_every_command(
    directory: Path, command: tuple[str, ...]
) -> None:
    settings = {
        "THREEPID__DATABASE__URL": "postgresql://u@127.0.0.1:1/d",
        "THREEPID__DATABASE__PASSWORD_FILE": "missing",
    }
    refused = threepid(*command, cwd=directory, THREEPID_CONFIG="threepid.toml", **settings)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"{directory}/missing: No such file or directory\n"


def test_a_template_that_cannot_be_used_is_one_sentence(directory: Path) -> None:
    (directory / "templates" / "nonsense").mkdir(parents=True)
    refused = threepid(
        "account", "list", cwd=directory, THREEPID_CONFIG="threepid.toml", THREEPID__WEB__TEMPLATE_DIR="templates"
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "there is no message nonsense" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_config_check_looks_at_the_keys_as_a_start_does(directory: Path) -> None:
    threepid("keys", "generate", "-c", "threepid.toml", cwd=directory)
    assert threepid("config", "check", "-c", "threepid.toml", cwd=directory).returncode == 0
    (directory / "data" / "keys" / "ed25519_0.key").chmod(0o640)
    refused = threepid("config", "check", "-c", "threepid.toml", cwd=directory)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "chmod 600" in refused.stderr


@pytest.fixture
def table(engine: str, database_url: str, directory: Path) -> dict[str, str]:
    listen = f"127.0.0.1:{free_port()}"
    return {
        "THREEPID_CONFIG": "threepid.toml",
        "THREEPID__DATABASE__URL": database_url,
        "THREEPID__SERVER__LISTEN": listen,
    }


def test_a_server_does_not_start_on_accounts_of_another_name(directory: Path, table: dict[str, str]) -> None:
    def run(*arguments: str, name: str = "example.org") -> subprocess.CompletedProcess[str]:
        return threepid(*arguments, cwd=directory, THREEPID__SERVER__NAME=name, **table)

    create = ("account", "create", "--password-file", "password")
    assert run(*create, "alice").returncode == 0
    for name, commands in (("example.com", (("serve",), (*create, "bob"))), ("Example.org", (("serve",),))):
        for command in commands:
            refused = run(*command, name=name)
            assert (refused.returncode, refused.stdout) == (1, "")
            *warned, sentence = refused.stderr.splitlines()
            assert all(line.startswith("Warning: [accounts] recover_with: ") for line in warned)
            assert sentence == (
                "[server] name: the database has accounts of example.org, such as @alice:example.org, which could not log in to "
                f'{name}. A server cannot be renamed. Set name = "example.org", or use another database.'
            )
    assert run("account", "list", name="example.com").returncode == 0
    assert run(*create, "carol").returncode == 0
    listed = json.loads(run("account", "list", "--json").stdout)
    assert [account["user_id"] for account in listed] == ["@alice:example.org", "@carol:example.org"]


def test_keys_are_made_rotated_and_listed(directory: Path) -> None:
    missing = threepid("keys", "list", "-c", "threepid.toml", cwd=directory)
    assert missing.returncode == 1
    assert "keys generate" in missing.stderr
    made = threepid("keys", "generate", "-c", "threepid.toml", cwd=directory)
    assert "ed25519:0" in made.stdout
    assert "in force" in made.stdout
    same = threepid("keys", "generate", "-c", "threepid.toml", cwd=directory)
    assert same.stdout == made.stdout
    done = threepid("keys", "rotate", "-c", "threepid.toml", cwd=directory)
    assert "Invitations that were sent before can no longer be accepted by binding the address" in done.stderr
    rotated = done.stdout
    assert "ed25519:1" in rotated
    assert rotated.count("in force") == 1
    assert rotated.count("retired") == 1
    key = directory / "data" / "keys" / "ed25519_1.key"
    assert key.stat().st_mode & 0o777 == 0o600
    seed = key.read_text().split()[2]
    assert seed not in rotated
    key.chmod(0o644)
    open_to_all = threepid("keys", "list", "-c", "threepid.toml", cwd=directory)
    assert open_to_all.returncode == 1
    assert "chmod 600" in open_to_all.stderr


def test_the_configuration_commands(directory: Path) -> None:
    assert threepid("config", "check", "-c", "threepid.toml", cwd=directory).stdout == "The configuration is valid.\n"
    assert json.loads(threepid("config", "schema", cwd=directory).stdout)["$defs"]["Config"]
    assert tomllib.loads(threepid("config", "example", cwd=directory).stdout)["server"] == {}
    assert threepid("--version", cwd=directory).stdout.startswith("threepid ")
    (directory / "threepid.toml").write_text('[server]\nname = "example.org"\nport = 1\n')
    wrong = threepid("config", "check", "-c", "threepid.toml", cwd=directory)
    assert wrong.returncode == 1
    assert "[server]" in wrong.stderr
    assert "port" in wrong.stderr
    assert threepid("serve", "-c", "nosuch.toml", cwd=directory).returncode == 2


def test_a_misspelt_command_is_told_what_may_be_meant(directory: Path) -> None:
    answer = threepid("account", "sho", cwd=directory)
    assert (answer.returncode, answer.stderr) == (
        2,
        "No such command 'sho'. Did you mean 'show'? See `threepid account --help`.\n",
    )


def test_a_value_that_is_none_of_the_choices_is_one_sentence(directory: Path) -> None:
    answer = threepid("completion", "tcsh", cwd=directory)
    assert (answer.returncode, answer.stderr) == (
        2,
        "Invalid value for 'shell': 'tcsh' is not one of 'bash', 'zsh', 'fish': see `threepid completion --help`.\n",
    )


def test_a_database_that_is_not_there_is_one_sentence(directory: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    answer = threepid("migrate", "-c", "threepid.toml", cwd=directory, THREEPID__DATABASE__URL=url)
    assert answer.returncode == 1
    assert answer.stderr.startswith("PostgreSQL is unavailable")
    assert answer.stderr.count("\n") == 1
    assert "Connection refused. Is the server running" in answer.stderr


def test_serve_refuses_what_cannot_be_safe(directory: Path) -> None:
    (directory / "threepid.toml").write_text(
        '[server]\nname = "example.org"\npublic_base_url = "http://matrix.example.org"\n[accounts]\nregistration = "open"\n'
    )
    refused = threepid("serve", "-c", "threepid.toml", cwd=directory)
    assert refused.returncode == 1
    assert "[server] public_base_url" in refused.stderr
    assert "[accounts] registration" in refused.stderr


def test_registration_tokens_are_made_listed_and_ended(directory: Path) -> None:
    def tokens(*arguments: str) -> subprocess.CompletedProcess[str]:
        return threepid("registration-token", *arguments, cwd=directory, THREEPID_CONFIG="threepid.toml")

    made = tokens("create")
    assert re.fullmatch(r"[a-z0-9]{26}\n", made.stdout)
    chosen = tokens("create", "--token", "event-berlin", "--uses", "3", "--expires", "30d")
    assert chosen.stdout == "event-berlin\n"
    dated = tokens("create", "--token=-x-", "--expires", "2999-12-31")
    assert dated.stdout == "-x-\n"
    listed = tokens("list").stdout
    rows = [re.split(r" {2,}", line.strip()) for line in listed.splitlines()]
    assert rows[0] == ["hint", "used", "uses allowed", "created", "expires", "state"]
    assert rows[1][:3] == [made.stdout[:6], "0", "any number"]
    assert rows[1][4:] == ["never", "usable"]
    assert rows[2][:3] == ["even", "0", "3"]
    assert rows[3][:3] == ["-", "0", "any number"]
    assert rows[3][4] == "2999-12-31 00:00"
    assert made.stdout.strip() not in listed
    assert "event-berlin" not in listed
    kept = b"".join(file.read_bytes() for file in (directory / "data").glob("threepid.db*"))
    assert made.stdout.strip().encode() not in kept
    assert b"event-berlin" not in kept
    assert tokens("delete", "even").stdout == "deleted even\n"
    assert tokens("delete", made.stdout.strip()).stdout == f"deleted {made.stdout[:6]}\n"
    assert tokens("delete", "--", "-x-").stdout == "deleted -\n"
    again = tokens("delete", "event-berlin")
    assert (again.returncode, again.stderr) == (2, "This token does not exist.\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--expires", "soon"), "--expires must be a duration"),
        (("--expires", "2020-01-01"), "in the future"),
        (("--expires", "0d"), "in the future"),
        (("--uses", "0"), "at least one use"),
        (("--uses", "99999999999999999999"), "less than or equal to 9007199254740991"),
        (("--token", "with space"), "1 to 64 of the characters"),
    ],
)
def test_a_registration_token_that_makes_no_sense_is_one_sentence(
    directory: Path, arguments: tuple[str, str], sentence: str
) -> None:
    refused = threepid("registration-token", "create", *arguments, "-c", "threepid.toml", cwd=directory)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert sentence in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_the_outbox_is_listed_and_changed(directory: Path) -> None:
    by = ("-c", "threepid.toml")
    threepid("migrate", *by, cwd=directory)
    database = apsw.Connection(str(directory / "data" / "threepid.db"))
    database.execute(
        "INSERT INTO outbox (id, channel, recipient, language, template, params, created_at, due_at, expires_at, attempts, "
        "last_error) VALUES ('job1', 'email', 'ann@example.com', 'en', 'confirm_address', 'sealed', 1, 9999999999999, "
        "9999999999999, 2, 'the relay hung up')"
    )
    database.close()
    listed = threepid("outbox", "list", *by, cwd=directory).stdout
    assert "job1" in listed
    assert "a***@example.com" in listed
    assert "ann@example.com" not in listed
    (job,) = json.loads(threepid("outbox", "list", "--json", *by, cwd=directory).stdout)
    assert (job["state"], job["last_error"]) == ("retrying", "the relay hung up")
    assert "sealed" not in threepid("outbox", "show", "job1", *by, cwd=directory).stdout
    assert threepid("outbox", "retry", *by, cwd=directory).stderr == "Name a job, or use --all.\n"
    assert threepid("outbox", "retry", "--all", *by, cwd=directory).stdout == "1 job is tried now\n"
    assert json.loads(threepid("outbox", "retry", "job1", "--json", *by, cwd=directory).stdout) == [{"retried": 1}]
    assert threepid("outbox", "drop", "job1", *by, cwd=directory).stdout == "dropped job1\n"
    again = threepid("outbox", "drop", "job1", *by, cwd=directory)
    assert again.returncode == 2
    assert again.stderr.startswith("This job has failed for good")


def test_jobs_are_dropped_by_recipient_and_message(directory: Path) -> None:
    by = ("-c", "threepid.toml")
    threepid("migrate", *by, cwd=directory)
    database = apsw.Connection(str(directory / "data" / "threepid.db"))
    for number, (channel, recipient, template) in enumerate(
        [
            ("email", "ann@example.com", "confirm_address"),
            ("email", "ann@example.com", "contact_added"),
            ("email", "bob@example.com", "contact_added"),
            ("sms", "+4915112345678", "confirm_address"),
            ("unbind", "id.example", "unbind"),
        ]
    ):
        database.execute(
            "INSERT INTO outbox (id, channel, recipient, language, template, params, created_at, due_at, expires_at, "
            "attempts) VALUES (?, ?, ?, 'en', ?, 'sealed', 1, 9999999999999, 9999999999999, 0)",
            (f"job{number}", channel, recipient, template),
        )
    database.close()

    def drop(*arguments: str) -> subprocess.CompletedProcess[str]:
        return threepid("outbox", "drop", *arguments, *by, cwd=directory)

    for wrong in ((), ("job1", "--to", "ann@example.com"), ("--yes",)):
        assert drop(*wrong).stderr == "Name a job, or use --to or --message.\n"
    listed = drop("--to", "Ann@EXAMPLE.com")
    assert (listed.returncode, listed.stderr) == (1, "Nothing was dropped. Use --yes to drop these 2 jobs.\n")
    assert "job0" in listed.stdout
    assert "job1" in listed.stdout
    assert "job2" not in listed.stdout
    assert "ann@example.com" not in listed.stdout
    (kept,) = json.loads(drop("--to", "ann@example.com", "--json").stdout)
    assert (kept["dropped"], [job["id"] for job in kept["kept"]]) == (0, ["job0", "job1"])
    assert drop("--to", "ann@example.com", "--message", "contact_added").stdout == "dropped 1 job\n"
    assert drop("--to", "+49 1511 2345678").stdout == "dropped 1 job\n"
    assert drop("--to", "id.example").stdout == "dropped 1 job\n"
    assert json.loads(drop("--to", "carol@example.com", "--json").stdout) == [{"dropped": 0, "kept": []}]
    assert drop("--to", "@").returncode == 2
    assert drop("--message", "confirm_address", "--yes").stdout == "dropped 1 job\n"
    (left,) = json.loads(threepid("outbox", "list", "--json", *by, cwd=directory).stdout)
    assert left["id"] == "job2"


def test_suppressed_addresses_are_listed_shown_and_removed(directory: Path) -> None:
    by = ("-c", "threepid.toml")
    config = directory / "threepid.toml"
    text = config.read_text()
    email = (
        "[email]\nfrom = 'x@example.org'\nvia = [{ transport = 'mailbox' }]\nbounce_address = 'bounces@example.org'\n"
    )
    config.write_text(text + email)
    threepid("migrate", *by, cwd=directory)
    with apsw.Connection(str(directory / "data" / "threepid.db")) as database:
        at = 1_800_000_000_000
        database.execute(
            "INSERT INTO outbox (id, channel, recipient, language, template, params, created_at, due_at, expires_at, attempts, "
            "sent_at, returned_at, returned_status) VALUES ('job1', 'email', 'Ann@example.com', 'en', 'bound', '', ?, ?, ?, 1, ?, ?, "
            "'5.1.1')",
            (at, at, at, at, at),
        )
        database.execute(
            "INSERT INTO suppressions VALUES ('ann@example.com', 'bounce', '5.1.1', 'job1', ?, ?)", (at, at + 60_000)
        )
    database.close()
    (found,) = json.loads(threepid("suppressions", "list", "--json", *by, cwd=directory).stdout)
    assert found == {
        "address": "ann@example.com", "kind": "bounce", "status": "5.1.1", "message_id": "job1",
        "first_at": at, "latest_at": at + 60_000,
    }  # fmt: skip
    listed = threepid("suppressions", "list", *by, cwd=directory).stdout.splitlines()
    assert listed[1].split() == [
        "ann@example.com",
        "bounce",
        "5.1.1",
        *["2027-01-15", "08:00"],
        *["2027-01-15", "08:01"],
        "job1",
    ]
    shown = threepid("outbox", "show", "job1", *by, cwd=directory).stdout
    assert "returned at: 2027-01-15 08:00\nreturned status: 5.1.1\nsuppressed since: 2027-01-15 08:00\n" in shown
    (job,) = json.loads(threepid("outbox", "show", "job1", "--json", *by, cwd=directory).stdout)
    assert (job["returned_at"], job["returned_status"], job["suppressed_since"]) == (at, "5.1.1", at)
    removed = threepid("suppressions", "remove", "ANN@example.com", *by, cwd=directory)
    assert (removed.stdout, removed.returncode) == ("removed ann@example.com\n", 0)
    again = threepid("suppressions", "remove", "ann@example.com", *by, cwd=directory)
    assert (again.stderr, again.returncode) == ("No report is recorded for this address.\n", 2)
    assert "suppressed" not in threepid("outbox", "show", "job1", *by, cwd=directory).stdout
    for mail in ("", "junk", "Content-Type: multipart/report\n\n", "x" * 1_000_000):
        done = subprocess.run(
            [sys.executable, "-m", "threepid", "bounce", "--recipient", "x", *by],
            cwd=directory,
            input=mail,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_messages_are_shown_in_every_language(directory: Path) -> None:
    shown = threepid("message", "preview", "--message", "confirm_address", "-c", "threepid.toml", cwd=directory).stdout
    assert "Subject: " in shown
    assert "@matrix.example.org #042917" in shown
    written = ("--language", "de", "--language", "en", "--folder", "shown")
    threepid("message", "preview", *written, "-c", "threepid.toml", cwd=directory)
    names = {path.name for path in (directory / "shown").iterdir()}
    assert {"reset_password.de.txt", "reset_password.en.html", "invitation.de.sms"} <= names
    assert "Hallo" in (directory / "shown" / "reset_password.de.txt").read_text()
    with (directory / "threepid.toml").open("a") as settings:
        settings.write('[web]\ndefault_language = "de"\n')
    shown = threepid("message", "preview", "--message", "confirm_address", "-c", "threepid.toml", cwd=directory).stdout
    assert "Hallo" in shown
    unknown = threepid("message", "preview", "--language", "xx", "-c", "threepid.toml", cwd=directory)
    assert (unknown.returncode, "There is no language xx" in unknown.stderr) == (2, True)


def test_a_test_message_is_sent_now_or_it_is_said_why_not(directory: Path) -> None:
    config = directory / "threepid.toml"
    nothing = threepid("message", "send-test", "ann@example.com", "-c", "threepid.toml", cwd=directory)
    assert nothing.stderr == "The configuration has no [email]: nothing can be sent.\n"
    start = config.read_text()
    (directory / "out").mkdir()
    config.write_text(
        start + '[email]\nfrom = "A <a@example.org>"\nvia = [{ transport = "file", directory = "out" }]\n'
    )
    sent = threepid("message", "send-test", "ann@example.com", "-c", "threepid.toml", cwd=directory)
    assert sent.stdout == "sent a test to ann@example.com through file\n", sent.stderr
    (mail,) = (path for path in (directory / "out").rglob("*") if path.is_file())
    assert "Its mails arrive." in mail.read_text()
    config.write_text(
        start + '[email]\nfrom = "A <a@example.org>"\n'
        'via = [{ transport = "smtp", host = "127.0.0.1", port = 1, tls = "plain" }, { transport = "file", directory = "out" }]\n'
    )
    second = threepid("message", "send-test", "ann@example.com", "-c", "threepid.toml", cwd=directory)
    assert second.stdout == "sent a test to ann@example.com through file\n"
    assert second.stderr == "127.0.0.1:1 did not take it: ConnectionRefusedError.\n"
    config.write_text(
        start + '[email]\nfrom = "A <a@example.org>"\n'
        'via = [{ transport = "smtp", host = "127.0.0.1", port = 1, tls = "plain" }]\n'
    )
    failed = threepid("message", "send-test", "ann@example.com", "-c", "threepid.toml", cwd=directory)
    assert failed.returncode == 1
    assert failed.stderr == "127.0.0.1:1 did not take it: ConnectionRefusedError.\nThe test was not sent.\n"
    wrong = threepid("message", "send-test", "nonsense", "-c", "threepid.toml", cwd=directory)
    assert wrong.stderr.startswith("This is neither an email address")


def test_an_operator_locks_deactivates_and_reactivates_accounts(directory: Path, table: dict[str, str]) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        done = threepid("account", *arguments, cwd=directory, **table)
        return done.returncode, done.stdout.strip()

    alice = "@alice:example.org"
    run("create", "--password-file", "password", "alice")
    assert run("lock", "alice") == (0, f"locked {alice}")
    assert run("lock", alice)[0] == 2
    assert " locked" in run("list")[1]
    assert run("unlock", "alice") == (0, f"unlocked {alice}")
    assert run("deactivate", "alice")[0] == 1, "it asks"
    assert run("deactivate", "--yes", "alice") == (0, f"deactivated {alice}")
    assert run("reactivate", "--password-file", "password", "alice") == (0, f"reactivated {alice}")
