"""F23: a database is used with another secret than before, or by two servers that may not share it."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from rig import ServerProcess, free_port, register
from threepid.clock import Clock, Entropy
from threepid.domain.secrets.files import KeyFileError
from threepid.domain.secrets.fingerprint import accept, differs, recognise
from threepid.domain.secrets.vault import Vault
from threepid.storage import fingerprints
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Database, Tx
from threepid.storage.engine.lock import InUse, only_server
from world import World

COMMAND = "threepid keys accept-new-secret"


def threepid(config: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "threepid", *arguments, "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=180,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "NO_COLOR": "1", **environment},
    )


@pytest.fixture
def config(tmp_path: Path, engine: str, database_url: str) -> Path:
    table = "" if engine == "sqlite" else f'[database]\nurl = "{database_url}"\n'
    return ServerProcess(tmp_path / "server", tables=table).config


def lose_secret(config: Path) -> bytes:
    file = config.parent / "data" / "keys" / "vault.secret"
    secret = file.read_bytes()
    file.unlink()
    return secret


# -- the secret


def test_another_secret_is_refused_by_everything_that_uses_it(config: Path) -> None:
    made = threepid(config, "registration-token", "create", "--token", "event")
    assert made.returncode == 0, made.stderr
    secret = config.parent / "data" / "keys" / "vault.secret"
    old = secret.read_bytes()
    secret.write_text("A" * 43 + "\n")
    for arguments in (
        ("registration-token", "create"),
        ("account", "list"),
        ("pepper", "rotate"),
        ("serve",),
    ):
        refused = threepid(config, *arguments)
        assert refused.returncode == 1, arguments
        assert COMMAND in refused.stderr
        assert "vault.secret" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert refused.stderr.count("\n") == 1
    secret.write_bytes(old)
    assert "never" in threepid(config, "registration-token", "list").stdout


def test_who_lost_the_secret_accepts_that_and_goes_on(tmp_path: Path, engine: str, database_url: str) -> None:
    table = "" if engine == "sqlite" else f'[database]\nurl = "{database_url}"\n'
    server = ServerProcess(tmp_path / "server", tables=table).start()
    with server.client() as http:
        token = register(http, "alice")
    if engine == "sqlite":
        busy = threepid(server.config, "keys", "accept-new-secret", "--yes")
        assert busy.returncode == 1
        assert "Stop it first" in busy.stderr
    server.stop()
    nothing = threepid(server.config, "keys", "accept-new-secret")
    assert (nothing.returncode, nothing.stderr) == (0, "")
    old = lose_secret(server.config)
    asked = threepid(server.config, "keys", "accept-new-secret")
    assert asked.returncode == 1
    assert "registration tokens" in asked.stderr
    assert "Nothing was changed" in asked.stderr
    assert COMMAND in threepid(server.config, "account", "list").stderr
    done = threepid(server.config, "keys", "accept-new-secret", "--yes")
    assert (done.returncode, done.stdout) == (0, "The new secret is accepted.\n")
    assert "registration tokens" in done.stderr
    server.start()
    with server.client() as http:
        answer = http.get("/_matrix/client/v3/account/whoami", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200
    server.stop()
    (server.config.parent / "data" / "keys" / "vault.secret").write_bytes(old)
    assert COMMAND in threepid(server.config, "account", "list").stderr


def vault(secret: bytes) -> Vault:
    return Vault(secret * 32, Entropy())


def open_twice(url: str) -> tuple[Database, Database]:
    return open_database(url, pool_size=2, password=None), open_database(url, pool_size=2, password=None)


def test_a_database_of_before_takes_the_first_secret_also_of_two_at_once(database_url: str) -> None:
    async def run() -> None:
        one, other = open_twice(database_url)
        results = await asyncio.gather(
            recognise(one, vault(b"a"), Clock(), "data"),
            recognise(other, vault(b"b"), Clock(), "data"),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == ["KeyFileError", "NoneType"]
        winner = b"a" if results[0] is None else b"b"
        await asyncio.gather(*(recognise(one, vault(winner), Clock(), "data") for _ in range(3)))
        await one.close()
        await other.close()

    asyncio.run(run())


def test_accepting_is_done_once_and_can_be_repeated(database_url: str) -> None:
    async def run() -> None:
        one, other = open_twice(database_url)
        await recognise(one, vault(b"a"), Clock(), "data")
        assert await differs(other, vault(b"b"), Clock())
        noted: list[Tx] = []
        await asyncio.gather(*(accept(each, vault(b"b"), Clock(), noted.append) for each in (one, other)))
        assert len(noted) == 1
        assert not await differs(one, vault(b"b"), Clock())
        assert await differs(one, vault(b"a"), Clock())
        await one.close()
        await other.close()

    asyncio.run(run())


def test_a_worker_does_not_start_with_another_secret(world: World) -> None:
    database, clock = world.server.context.database, world.clock
    world.run(accept(database, vault(b"x"), clock, lambda _: None))
    with pytest.raises(KeyFileError):
        world.run(world.server.start())


def test_the_fingerprint_is_a_keyed_hash_that_nothing_else_is(world: World) -> None:
    found = world.run(world.server.context.database.read(fingerprints.recorded))
    ours = world.server.context.vault
    assert found == ours.fingerprint()
    assert found is not None
    assert len(found) == 32
    assert found != vault(b"t").fingerprint()
    assert found not in (ours.hash_client_secret(""), ours.hash_code("", ""), ours.hash_token("s" * 32))


# -- a database without its keys


def test_a_database_that_was_restored_without_its_keys_makes_no_new_ones(config: Path) -> None:
    assert threepid(config, "account", "list").returncode == 0
    keys = config.parent / "data" / "keys"
    keys.rename(keys.with_name("elsewhere"))
    for arguments in (("account", "list"), ("registration-token", "create"), ("config", "check"), ("serve",)):
        refused = threepid(config, *arguments)
        assert (refused.returncode, refused.stdout) == (1, ""), arguments
        (sentence,) = (line for line in refused.stderr.splitlines() if not line.startswith("Warning: "))
        assert sentence.startswith(f"The keys of this database are missing: there is no vault.secret in {keys}. ")
        assert "together with the database" in sentence
        assert COMMAND in sentence
        assert not keys.exists(), arguments
    asked = threepid(config, "keys", "accept-new-secret")
    assert (asked.returncode, keys.exists()) == (1, False)
    keys.with_name("elsewhere").rename(keys)
    assert threepid(config, "account", "list").returncode == 0
    assert threepid(config, "config", "check").returncode == 0


def test_config_check_notices_another_secret(config: Path) -> None:
    assert threepid(config, "account", "list").returncode == 0
    assert threepid(config, "config", "check").returncode == 0
    secret = config.parent / "data" / "keys" / "vault.secret"
    secret.write_text("A" * 43 + "\n")
    refused = threepid(config, "config", "check")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{secret} is not the secret that this database was used with" in refused.stderr
    assert threepid(config, "config", "check", "--offline").returncode == 0


def test_config_check_compares_the_secret_beside_a_running_server_and_leaves_no_file(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server").start()
    data = server.config.parent / "data"
    before = sorted(data.iterdir())
    assert (data / "threepid.db-wal").stat().st_size > 0
    secret = data / "keys" / "vault.secret"
    ours = secret.read_text()
    assert threepid(server.config, "config", "check").returncode == 0
    secret.write_text("A" * 43 + "\n")
    assert "is not the secret" in threepid(server.config, "config", "check").stderr
    secret.write_text(ours)
    assert sorted(data.iterdir()) == before
    server.stop()
    stopped = sorted(data.iterdir())
    assert threepid(server.config, "config", "check").returncode == 0
    assert sorted(data.iterdir()) == stopped


# -- two servers


def start_elsewhere(tmp_path: Path, url: str) -> subprocess.CompletedProcess[str]:
    """A server with a data directory and a port of its own, on the database at `url`."""
    other = ServerProcess(tmp_path / "other", tables=f'[database]\nurl = "{url}"\n')
    return threepid(other.config, "serve", THREEPID__SERVER__LISTEN=f"127.0.0.1:{free_port()}")


def test_two_servers_on_one_sqlite_file_are_refused_whatever_they_call_it(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server").start()
    file = tmp_path / "server" / "data" / "threepid.db"
    (tmp_path / "link.db").symlink_to(file)
    os.link(file, tmp_path / "hard.db")
    for name in (file, tmp_path / "link.db", tmp_path / "hard.db"):
        refused = start_elsewhere(tmp_path, f"sqlite:{name}")
        assert refused.returncode == 1
        assert f"Another server is using {name}" in refused.stderr
        assert "Traceback" not in refused.stderr
    # Commands work beside the server, and the lock outlives that they open and close the file.
    assert threepid(server.config, "account", "list").returncode == 0
    with pytest.raises(InUse), only_server(f"sqlite:{file}"):
        pass
    with server.client() as http:
        register(http, "alice")
    server.stop()
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_two_servers_with_different_keys_on_one_database_are_refused(
    tmp_path: Path, engine: str, database_url: str
) -> None:
    table = f'[database]\nurl = "{database_url}"\n'
    server = ServerProcess(tmp_path / "server", tables=table).start()
    refused = start_elsewhere(tmp_path, database_url)
    assert refused.returncode == 1
    assert ("Another server is using" if engine == "sqlite" else COMMAND) in refused.stderr
    server.stop()
    assert COMMAND in start_elsewhere(tmp_path, database_url).stderr


def test_the_lock_ends_with_the_server_and_makes_no_file_beside_the_database(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'deep' / 'x.db'}"
    for _ in range(2):
        with only_server(url):
            with pytest.raises(InUse), only_server(url):
                pass
            with sqlite3.connect(tmp_path / "deep" / "x.db") as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS a (b)")
            connection.close()
            with pytest.raises(InUse), only_server(url):
                pass
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["x.db"]
    assert (tmp_path / "deep" / "x.db").stat().st_mode & 0o777 == 0o600
