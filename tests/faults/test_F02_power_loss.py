"""F02: a write is on the disk before it is answered; a log cut anywhere after that opens as a prefix of history."""

import functools
import random
import re
import shutil
import sqlite3
from pathlib import Path

import psycopg
import pytest

from rig import ServerProcess, free_port
from threepid.storage.engine.database import StorageError, Tx

SAMPLES = 40


def test_every_answer_to_a_write_comes_after_a_sync_of_the_log(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is missing: run scripts/system-packages strace")
    trace = tmp_path / "trace"
    server = ServerProcess(tmp_path / "server", port=free_port())
    server.start(
        "strace",
        "-f",
        "-qq",
        "-y",
        "-s",
        "64",
        "-e",
        "trace=fdatasync,fsync,pwrite64,sendto,write,writev",
        "-o",
        str(trace),
    )
    with server.client() as http:
        for number in range(SAMPLES):
            body = {"username": f"sample{number}", "password": "long enough", "auth": {"type": "m.login.dummy"}}
            assert http.post("/_matrix/client/v3/register", json=body).status_code == 200
    server.stop(group=True)
    written = synced = False
    answered = 0
    for line in trace.read_text(errors="replace").splitlines():
        if "threepid.db-wal" in line and "pwrite64" in line:
            written, synced = True, False
        elif "threepid.db-wal" in line and ("fdatasync" in line or "fsync" in line):
            synced = True
        elif re.search(r'(?:sendto|writev?)\(\d+<(?:socket|TCP)[^>]*>.*"HTTP/1.1 200', line) and written:
            assert synced, line
            answered += 1
            written = False
    assert answered >= SAMPLES


def test_a_log_that_is_cut_anywhere_opens_as_a_prefix_of_history(tmp_path: Path) -> None:
    import asyncio

    from threepid.clock import Clock
    from threepid.storage import accounts
    from threepid.storage.engine.connect import open_database
    from threepid.storage.engine.migrate import migrate

    url = f"sqlite:{tmp_path / 'live.db'}"
    migrate(url, password=None, clock=Clock())
    copies = tmp_path / "copy"
    copies.mkdir()

    def insert(number: int, tx: Tx) -> None:
        accounts.insert(tx, user_id=f"@u{number:03}:x", password_hash=None, created_at=1)

    async def fill() -> None:
        database = open_database(url, pool_size=1, password=None)
        for number in range(60):
            await database.write(functools.partial(insert, number))
        shutil.copy(tmp_path / "live.db", copies / "base.db")
        shutil.copy(tmp_path / "live.db-wal", copies / "base.db-wal")
        await database.close()

    asyncio.run(fill())
    wal = (copies / "base.db-wal").read_bytes()
    assert len(wal) > 50_000
    chance = random.Random(2)
    longest = 0
    for _ in range(200):
        cut = chance.randrange(len(wal) + 1)
        shutil.copy(copies / "base.db", copies / "cut.db")
        (copies / "cut.db-wal").write_bytes(wal[:cut])
        (copies / "cut.db-shm").unlink(missing_ok=True)
        connection = sqlite3.connect(copies / "cut.db")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        users = [row[0] for row in connection.execute("SELECT user_id FROM accounts ORDER BY user_id")]
        connection.close()
        assert users == [f"@u{number:03}:x" for number in range(len(users))]
        longest = max(longest, len(users))
    assert longest > 40


def test_each_connection_syncs_at_every_commit(tmp_path: Path) -> None:
    from threepid.storage.engine.sqlite import connect

    connection = connect(tmp_path / "x.db", wait_ms=10)
    assert connection.execute("PRAGMA synchronous").get == 2
    assert connection.execute("PRAGMA journal_mode").get == "wal"
    assert connection.execute("PRAGMA foreign_keys").get == 1
    connection.close()


def test_a_postgresql_that_would_lose_writes_is_refused(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("postgres"):
        pytest.skip("needs --postgres")
    from threepid.storage.engine.connect import open_database

    name, url = request.getfixturevalue("postgres_server").copy_database("template_threepid")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    with pytest.raises(StorageError, match="would lose writes"):
        open_database(url, pool_size=1, password=None)
