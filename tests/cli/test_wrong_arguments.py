"""Every command with arguments that are wrong, missing or hostile: one line, exit status 2, and nothing has changed."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
import typer

from forked import Done, forked
from threepid.cli import app

CONFIG = (
    '[server]\nname = "example.org"\npublic_base_url = "https://matrix.example.org"\n[accounts]\n[identity]\n'
    '[email]\nfrom = "noreply@example.org"\nvia = [{ transport = "mailbox" }]\n'
)
pytestmark = pytest.mark.timeout(300)  # all commands run in the setup of the first case
HOSTILE = "\x1b[31mx\n'; DROP TABLE accounts; --\N{RIGHT-TO-LEFT OVERRIDE}"
LONG = "a" * 5_000

WRONG: dict[str, list[list[str]]] = {
    "completion": [["nosuch"], [HOSTILE], []],
    "init": [["--yes"], ["--yes", "--name", HOSTILE], ["--yes", "--name", "a.example", "--roles", "all"]],
    "serve": [["--workers", "0"], ["--workers", "-1"], ["--workers", "many"]],
    "migrate": [["now"]],
    "doctor": [["--seconds", "0"], ["--homeserver-config", "nosuch"], ["--homeserver-config", "text"]],
    "bounce": [["mail"]],
    "resend": [["nosuch"], [HOSTILE], [LONG], []],
    "config check": [["threepid.toml"]],
    "config show": [["server"]],
    "config schema": [["server"]],
    "config example": [["server"]],
    "account create": [
        [],
        ["No Name", "--password-file", "text"],
        ["alice", "--password-file", "text"],
        ["bob", "--password-file", "short"],
        ["bob", "--password-file", "nosuch"],
        ["bob", "--password-file", "binary"],
        ["bob", "--password-file", "."],
        [HOSTILE, "--password-file", "text"],
        [LONG, "--password-file", "text"],
        ["", "--password-file", "text"],
    ],
    "account list": [["alice"]],
    "account contacts": [["nobody"], [HOSTILE], [LONG], []],
    "account lock": [["nobody"], [HOSTILE], []],
    "account unlock": [["nobody"], ["alice"], ["no@address@x"], [HOSTILE], []],
    "account deactivate": [["nobody", "--yes"], [HOSTILE, "--yes"], []],
    "account reactivate": [["nobody"], [HOSTILE], ["alice", "--password-file", "nosuch"], []],
    "account admin": [["nobody"], [HOSTILE], []],
    "account search": [[]],
    "account show": [["nobody"], [HOSTILE], [LONG], [""], []],
    "account export": [["nobody"], [HOSTILE], [LONG], [""], []],
    "account remains": [["nobody"], [HOSTILE], []],
    "account set-password": [
        ["alice", "--link", "--keep-devices"],
        ["alice", "--password-file", "short"],
        ["alice", "--password-file", "nosuch"],
        ["nobody", "--password-file", "text"],
        ["alice", "--link"],
        [],
    ],
    "account contact add": [
        ["alice", HOSTILE],
        ["alice", f"{LONG}@example.com"],
        ["nobody", "a@example.com"],
        ["alice"],
    ],
    "account contact verify": [["alice", "a@example.com"], ["alice", "no address"], []],
    "account contact remove": [["alice", "a@example.com"], ["nobody", "a@example.com"], []],
    "account devices list": [["nobody"], []],
    "account devices logout": [["alice"], ["alice", "NOSUCH"], ["alice", HOSTILE], ["alice", "X", "--all"], []],
    "account sessions list": [["nobody"], []],
    "account sessions end": [["alice", "nosuch"], ["alice"], []],
    "import synapse": [
        [],
        ["--config", "nosuch"],
        ["--config", "text"],
        ["--database", "sqlite:x"],
        ["--config", "text", "--server-name", "example.org"],
        ["--database", "sqlite:x", "--server-name", "example.org", "--pepper-file", "binary"],
    ],
    "import sydent": [
        [],
        ["--config", "nosuch"],
        ["--config", "text"],
        ["--database", "sqlite:x"],
        ["--config", "."],
    ],
    "import ma1sd": [
        [],
        ["--config", "nosuch"],
        ["--config", "binary"],
        ["--database", "sqlite:x"],
        ["--config", "."],
    ],
    "database copy": [
        [],
        ["--to", "text"],
        ["--to", "mysql:x"],
        ["--to", "sqlite:data/threepid.db"],
        ["--to", "sqlite:./data/threepid.db"],
        ["--to", HOSTILE],
        ["--to", "postgresql://u:secret@x/y"],
        ["--to", "postgresql://user@localhost/name", "--to-password-file", "nosuch"],
    ],
    "homeserver resync": [["x"]],
    "registration-token create": [
        ["--uses", "0"],
        ["--uses", "many"],
        ["--expires", "soon"],
        ["--expires", "2020-01-01"],
        ["--token", HOSTILE],
    ],
    "registration-token list": [["x"]],
    "registration-token delete": [["nosuch"], [HOSTILE], []],
    "invites list": [["--address", "nobody"], ["--address", HOSTILE]],
    "invites cancel": [["nosuch"], [HOSTILE], []],
    "outbox list": [["x"]],
    "outbox show": [["nosuch"], [HOSTILE], []],
    "outbox retry": [[], ["nosuch"], ["x", "--all"]],
    "outbox drop": [[], ["nosuch"], ["x", "--to", "a@example.com"], ["--to", "no@address@x"]],
    "suppressions list": [["x"]],
    "suppressions remove": [["nobody@example.com"], ["no address"], []],
    "limits clear": [[], ["--network", "nowhere"], ["--account", "nobody"], ["--address", HOSTILE]],
    "audit export": [
        ["--since", "yesterday"],
        ["--since", HOSTILE],
        ["--event", HOSTILE],
        ["--account", "nobody"],
        ["--account", HOSTILE],
    ],
    "operator-token create": [
        [],
        ["no name", "--scope", "accounts:read"],
        ["helpdesk", "--scope", "everything"],
        ["helpdesk", "--scope", "accounts:read", "--expires", "soon"],
        [HOSTILE, "--scope", "accounts:read"],
    ],
    "operator-token list": [["x"]],
    "operator-token revoke": [["nosuch"], []],
    "message preview": [["--message", "nosuch"], ["--language", "tlh"], ["--message", HOSTILE]],
    "message send-test": [["nobody"], [HOSTILE], ["+1"], []],
    "keys generate": [["x"]],
    "keys rotate": [["x"]],
    "keys import": [["nosuch"], ["text"], ["binary"], []],
    "keys list": [["x"]],
    "keys accept-new-secret": [["x"]],
    "pepper rotate": [["x"]],
    "proxy nginx": [["x"]],
    "proxy caddy": [["x"]],
    "proxy traefik": [["x"]],
    "proxy apache": [["x"]],
}
"""Wrong arguments of each command."""
WITHOUT_CONFIG = ("completion", "init", "config schema", "config example")
OTHERWISE = {f"import {system}": "--threepid-config" for system in ("synapse", "sydent", "ma1sd")}


def commands(group: typer.Typer = app, prefix: str = "") -> Iterator[str]:
    for command in group.registered_commands:
        assert command.callback is not None
        yield f"{prefix}{command.name or command.callback.__name__.replace('_', '-')}"
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from commands(inner.typer_instance, f"{prefix}{inner.name} ")


def test_every_command_is_here() -> None:
    assert sorted(WRONG) == sorted(commands())


def cases() -> list[list[str]]:
    found = []
    for name, wrong in WRONG.items():
        command = name.split()
        found += [[*command, *arguments] for arguments in wrong]
        found += [[*command, "--nosuch"], [*command, f"--{HOSTILE}"], [*command, *["x"] * 9]]
        if name not in WITHOUT_CONFIG:
            found.append([*command, *_enough(name), OTHERWISE.get(name, "--config"), "nosuch.toml"])
    return [*found, ["nosuch"], ["account", "nosuch"], [HOSTILE], ["--nosuch"]]


def _enough(name: str) -> list[str]:
    """Arguments with which only the configuration is missing."""
    return {
        "account create": ["bob", "--password-file", "text"],
        "account set-password": ["alice", "--password-file", "text"],
        "account deactivate": ["alice", "--yes"],
        "account contact add": ["alice", "a@example.com"],
        "account contact verify": ["alice", "a@example.com"],
        "account contact remove": ["alice", "a@example.com"],
        "account devices logout": ["alice", "--all"],
        "account sessions end": ["alice", "x"],
        "account list": [],
        "database copy": ["--to", "sqlite:new.db"],
        "homeserver resync": [],
        "import synapse": ["--database", "sqlite:x", "--server-name", "example.org"],
        "import sydent": ["--database", "sqlite:x", "--server-name", "example.org"],
        "import ma1sd": ["--database", "sqlite:x", "--server-name", "example.org"],
        "keys import": ["text"],
        "limits clear": ["--network", "192.0.2.1"],
        "message send-test": ["a@example.com"],
        "operator-token create": ["helpdesk", "--scope", "accounts:read"],
        "outbox retry": ["--all"],
        "outbox drop": ["--to", "a@example.com"],
        "suppressions remove": ["a@example.com"],
    }.get(name, ["alice"] if [] in WRONG[name] else [])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("wrong")
    (made / "threepid.toml").write_text(CONFIG)
    (made / "text").write_text("a long password\n")
    (made / "short").write_text("short\n")
    (made / "binary").write_bytes(b"\xff\xfe")
    (created,) = forked(
        [["account", "create", "alice", "--password-file", "text"]], cwd=made, THREEPID_CONFIG="threepid.toml"
    )
    assert created == Done(0, "created @alice:example.org\n", "")
    return made


def kept(directory: Path) -> tuple[list[Path], bytes, list[str]]:
    """The files, the configuration and all that the database has."""
    files = sorted(path for path in directory.rglob("*") if not path.name.startswith("threepid.db-"))
    with apsw.Connection(str(directory / "data" / "threepid.db")) as database:
        tables = [
            row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        ]
        rows = [repr((table, *database.execute(f"SELECT * FROM {table}"))) for table in tables]
    return files, (directory / "threepid.toml").read_bytes(), rows


@pytest.fixture(scope="module")
def results(directory: Path) -> dict[str, Done]:
    """What became of every case; nothing has changed after all of them."""
    before = kept(directory)
    asked = cases()
    done = forked(asked, cwd=directory, THREEPID_CONFIG="threepid.toml")
    assert kept(directory) == before
    return {repr(case): one for case, one in zip(asked, done, strict=True)}


@pytest.mark.parametrize("case", cases(), ids=lambda case: ascii(" ".join(case))[1:60])
def test_a_wrong_argument_is_one_line_and_status_2(results: dict[str, Done], case: list[str]) -> None:
    done = results[repr(case)]
    if case[:1] == ["bounce"] and case[-1] == "nosuch.toml":
        assert done.status == 75, "a mail server tries again"
    else:
        assert done.status == 2, done
    assert done.out == ""
    assert done.err.count("\n") == 1, done.err
    assert "Traceback" not in done.err
    assert "\x1b" not in done.err
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in done.err
