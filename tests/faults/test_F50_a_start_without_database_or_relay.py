"""F50: the server starts when its database or its relay is away, says so, and serves as soon as the database is there."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgres import PostgresServer
from rig import ServerProcess, free_port, wait_for, whole
from test_cli import threepid


def test_a_server_starts_without_its_relay_and_says_so(tmp_path: Path) -> None:
    away = free_port()
    via = (
        '{ transport = "smtp", host = "no-such-relay.invalid" }, '
        f'{{ transport = "smtp", host = "127.0.0.1", port = {away}, tls = "plain" }}'
    )
    with whole(ServerProcess(tmp_path / "server", via=via)) as server, server.client() as http:
        assert http.get("/_threepid/health/ready").status_code == 200
    log = (tmp_path / "server" / "log").read_text()
    assert "Warning: [email] via[0].host: no-such-relay.invalid does not resolve" in log
    assert f"Warning: [email] via[1]: the relay 127.0.0.1:{away} does not take our mails now (ConnectionRefused" in log


def test_config_check_finds_what_cannot_work_and_changes_nothing(tmp_path: Path) -> None:
    away = free_port()
    (tmp_path / "threepid.toml").write_text(
        f"""
        identity = {{}}
        [database]
        url = "postgresql://nobody@127.0.0.1:1/nothing"
        [email]
        from = "a@example.org"
        via = [{{ transport = "smtp", host = "127.0.0.1", port = {away}, tls = "plain" }}]
        """
    )
    checked = threepid("config", "check", "-c", "threepid.toml", cwd=tmp_path)
    assert (checked.returncode, checked.stdout) == (1, "")
    assert [line.partition(": ")[0] for line in checked.stderr.splitlines()] == ["[database] url", "[email] via[0]"]
    offline = threepid("config", "check", "--offline", "-c", "threepid.toml", cwd=tmp_path)
    assert (offline.returncode, offline.stdout) == (0, "The configuration is valid.\n")
    (tmp_path / "threepid.db").write_text("not a database at all")
    (tmp_path / "threepid.db").chmod(0o600)
    other = threepid(
        "config", "check", "-c", "threepid.toml", cwd=tmp_path,
        THREEPID__DATABASE__URL="sqlite:threepid.db", THREEPID__EMAIL__VIA="[{ transport = 'file', directory = 'out' }]",
    )  # fmt: skip
    assert other.stderr == f"[database] url: {tmp_path / 'threepid.db'} is not a SQLite database\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["threepid.db", "threepid.toml"]


def test_config_check_names_what_is_unsafe_and_what_cannot_work_in_one_run(tmp_path: Path) -> None:
    away = free_port()
    settings = f"""
        [server]
        data_dir = "data"
        metrics_listen = "9000"
        [identity]
        [database]
        url = "postgresql://nobody@127.0.0.1:1/nothing"
        [email]
        from = "a@example.org"
        via = [{{ transport = "smtp", host = "127.0.0.1", port = {away}, tls = "plain" }}]
        """
    (tmp_path / "threepid.toml").write_text(settings)
    keys = tmp_path / "data" / "keys"
    keys.mkdir(parents=True, mode=0o700)
    (tmp_path / "data").chmod(0o700)
    (keys / "ed25519_0.key").write_text("no key")
    (keys / "ed25519_0.key").chmod(0o600)
    checked = threepid("config", "check", "-c", "threepid.toml", cwd=tmp_path)
    assert (checked.returncode, checked.stdout) == (1, "")
    assert [line.partition(": ")[0] for line in checked.stderr.splitlines()] == [
        "[server] metrics_listen",
        f"{keys / 'ed25519_0.key'} is not a signing key of the form `ed25519 <version> <seed>`.",
        "[database] url",
        "[email] via[0]",
    ]
    # A relay whose settings are unsafe is not called.
    (tmp_path / "threepid.toml").write_text(settings.replace("a@example.org", "nobody"))
    places = [
        line.partition(": ")[0]
        for line in threepid("config", "check", "-c", "threepid.toml", cwd=tmp_path).stderr.splitlines()
    ]
    assert "[email] from" in places
    assert "[email] via[0]" not in places


@pytest.fixture
def stopped(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL with an empty database, which is stopped."""
    if not request.config.getoption("postgres"):
        pytest.skip("needs --postgres")
    server = PostgresServer(tmp_path)
    server.start()
    server.create_database("late")
    server.halt()
    yield server
    server.stop()


def test_a_server_that_starts_before_postgresql_waits_for_it(stopped: PostgresServer, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server", tables=f'[database]\nurl = "{stopped.url("late")}"\n')
    log = tmp_path / "server" / "log"
    began = server.begin()
    wait_for(lambda: "The server starts as soon as the database can be used." in log.read_text())
    assert began.poll() is None
    checked = threepid("config", "check", "-c", str(server.config), cwd=tmp_path)
    assert (checked.returncode, checked.stdout) == (1, "")
    assert checked.stderr.startswith("[database] url: PostgreSQL cannot be used: connection")
    stopped.restart()
    server.await_answer()
    assert log.read_text().count("[database] url") == 1
    assert threepid("config", "check", "-c", str(server.config), cwd=tmp_path).returncode == 0
    assert server.stop() == 0


def test_a_server_that_waits_for_its_database_can_be_stopped(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server", tables='[database]\nurl = "postgresql://nobody@127.0.0.1:1/nothing"\n')
    began = server.begin()
    wait_for(lambda: "Warning: [database] url" in (tmp_path / "server" / "log").read_text())
    began.send_signal(signal.SIGTERM)
    assert began.wait(60) in {-signal.SIGTERM, 143}
