"""The schema comes up to date whatever happens meanwhile."""

import multiprocessing
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from threepid.clock import Clock
from threepid.storage.engine.database import Busy, SchemaError, StorageError
from threepid.storage.engine.migrate import Migration, known_migrations, migrate

KILLS = 20
CHILD = "import sys; from threepid.clock import Clock; from threepid.storage.engine.migrate import migrate; migrate(sys.argv[1], password=None, clock=Clock())"


def tables(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        found = [
            row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        ]
    connection.close()
    return found


def test_a_new_database_gets_everything_and_a_second_run_nothing(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'deep' / 'x.db'}"
    assert migrate(url, password=None, clock=Clock()) == [migration.name for migration in known_migrations()]
    assert migrate(url, password=None, clock=Clock()) == []
    assert (tmp_path / "deep" / "x.db").stat().st_mode & 0o077 == 0
    assert "accounts" in tables(tmp_path / "deep" / "x.db")


def test_a_newer_schema_is_refused_and_untouched(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'x.db'}"
    migrate(url, password=None, clock=Clock())
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (9999, 'from the future', 1)")
    connection.close()
    with pytest.raises(SchemaError, match="9999"):
        migrate(url, password=None, clock=Clock())


def test_a_migration_that_is_killed_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    chance = random.Random(14)
    whole = tmp_path / "whole.db"
    migrate(f"sqlite:{whole}", password=None, clock=Clock())
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", CHILD, f"sqlite:{tmp_path / 'timed.db'}"], check=True)
    duration = time.monotonic() - started
    for number in range(KILLS):
        path = tmp_path / f"killed{number}.db"
        process = subprocess.Popen([sys.executable, "-c", CHILD, f"sqlite:{path}"])
        time.sleep(duration * (0.5 + 0.55 * chance.random()))
        process.send_signal(signal.SIGKILL)
        process.wait()
        migrate(f"sqlite:{path}", password=None, clock=Clock())
        assert tables(path) == tables(whole)


def test_servers_that_start_at_once_all_succeed(database_url: str, engine: str, tmp_path: Path) -> None:
    if engine == "sqlite":
        url = f"sqlite:{tmp_path / 'together.db'}"
    else:
        import psycopg

        url = database_url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(b"DROP SCHEMA public CASCADE")
            connection.execute(b"CREATE SCHEMA public")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_migrate, args=(url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert migrate(url, password=None, clock=Clock()) == []


def _migrate(url: str) -> None:
    migrate(url, password=None, clock=Clock())


def test_a_script_is_run_as_it_stands_with_the_engines_name_for_bytes() -> None:
    text = "-- a; comment\nCREATE TABLE a (b TEXT DEFAULT ';', \"c;d\" BYTES); -- x;\nINSERT INTO a VALUES ('it''s; fine', NULL);\n"
    migration = Migration(1, "x", text)
    assert "BYTEA" in migration.script("postgresql")
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(migration.script("sqlite"))
        assert connection.execute("SELECT * FROM a").fetchall() == [("it's; fine", None)]
    connection.close()


def test_a_table_in_the_order_of_its_key_is_one_where_the_engine_has_such() -> None:
    migration = Migration(1, "x", "-- BYTES and CLUSTERED are words.\nCREATE TABLE a (b BYTES PRIMARY KEY) CLUSTERED;")
    assert migration.script("sqlite") == (
        "-- BYTES and CLUSTERED are words.\nCREATE TABLE a (b BLOB PRIMARY KEY) WITHOUT ROWID;"
    )
    assert migration.script("postgresql").endswith("(b BYTEA PRIMARY KEY) ;")


def test_a_line_for_one_engine_is_a_comment_on_the_other() -> None:
    migration = Migration(1, "x", "-- For ON_POSTGRESQL only.\nON_POSTGRESQL CREATE INDEX a ON b (c);\nSELECT 1;")
    assert migration.script("sqlite") == "-- For ON_POSTGRESQL only.\n-- CREATE INDEX a ON b (c);\nSELECT 1;"
    assert migration.script("postgresql") == "-- For ON_POSTGRESQL only.\n CREATE INDEX a ON b (c);\nSELECT 1;"


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/x\.db cannot be created"):
        migrate(f"sqlite:{tmp_path / 'file' / 'x.db'}", password=None, clock=Clock())


def test_a_server_that_does_not_answer_is_busy_and_its_password_is_not_told() -> None:
    with pytest.raises(Busy) as caught:
        migrate("postgresql://someone@127.0.0.1:1/x", password="not to be told", clock=Clock())
    assert "not to be told" not in str(caught.value)


def test_a_url_that_cannot_be_read_is_not_quoted() -> None:
    with pytest.raises(StorageError) as caught:
        migrate("postgresql://someone:secret@[::1/x", password=None, clock=Clock())
    assert "secret" not in str(caught.value)


@pytest.fixture
def before_tokens(engine: str, database_url: str, tmp_path: Path) -> Iterator[tuple[str, Callable[[str], list[Any]]]]:
    """The URL of a database as it was before migration 11, and what runs a statement on it."""
    earlier = [migration for migration in known_migrations() if migration.version < 11]
    versions = "CREATE TABLE schema_migrations (version BIGINT PRIMARY KEY, name TEXT, applied_at BIGINT);"
    versions += "".join(f"INSERT INTO schema_migrations VALUES ({one.version}, '{one.name}', 1);" for one in earlier)
    script = versions + "\n".join(migration.script(engine) for migration in earlier)
    if engine == "sqlite":
        path = tmp_path / "before.db"
        connection = sqlite3.connect(path, isolation_level=None)
        connection.executescript(script)
        yield f"sqlite:{path}", lambda statement: connection.execute(statement).fetchall()
        connection.close()
        return
    import psycopg

    with psycopg.connect(database_url, autocommit=True) as postgresql:
        postgresql.execute(b"DROP SCHEMA public CASCADE")
        postgresql.execute(b"CREATE SCHEMA public")
        postgresql.execute(script.encode())

        def run(statement: str) -> list[Any]:
            cursor = postgresql.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

        yield database_url, run


def test_identity_tokens_that_are_there_stay_good_and_are_fifty_a_user(
    before_tokens: tuple[str, Callable[[str], list[Any]]], engine: str
) -> None:
    url, run = before_tokens

    def bytes_of(text: str) -> str:
        return f"X'{text.encode().hex()}'" if engine == "sqlite" else f"'\\x{text.encode().hex()}'::bytea"

    run("INSERT INTO accounts (user_id, created_at) VALUES ('@a:example.org', 1)")
    run("INSERT INTO devices (user_id, device_id, created_at) VALUES ('@a:example.org', 'D', 1)")
    for number in range(60):
        token = f"({bytes_of(f'{number:02}')}, '@a:example.org', {number}, NULL)"
        run(f"INSERT INTO identity_tokens (token_hash, user_id, created_at, expires_at) VALUES {token}")
    run(
        "INSERT INTO identity_tokens (token_hash, user_id, created_at, expires_at) "
        f"VALUES ({bytes_of('zoe')}, '@z:elsewhere.org', 7, 1000)"
    )
    for table in ("openid_tokens", "login_tokens"):
        run(f"INSERT INTO {table} (token_hash, user_id, expires_at) VALUES ({bytes_of('x')}, '@a:example.org', 9)")
    expected = [migration.name for migration in known_migrations() if migration.version >= 11]
    assert migrate(url, password=None, clock=Clock()) == expected
    found = run(
        "SELECT token_hash, number, created_at, device_id FROM identity_tokens WHERE user_id LIKE '@a%' ORDER BY number"
    )
    assert [(bytes(row[0]), *row[1:]) for row in found] == [
        (f"{number:02}".encode(), number + 1, number, None) for number in range(10, 60)
    ]
    assert run("SELECT created_at, expires_at FROM identity_tokens WHERE user_id LIKE '@z%'") == [(7, 1000)]
    assert run("SELECT COUNT(*) FROM openid_tokens") == run("SELECT COUNT(*) FROM login_tokens") == [(0,)]


def test_authentication_sessions_of_before_go_on_under_their_new_subjects(database_url: str) -> None:
    import apsw

    from threepid.storage.engine.connect import sqlite_path

    before = [step for step in known_migrations() if step.version < 8]
    step = next(step for step in known_migrations() if step.version == 8)
    insert = (
        "INSERT INTO uia_sessions (id_hash, operation, subject, request_mac, request, flows, consumer, completed, "
        "created_at, used_at, expires_at) VALUES ({}, 'x', '{}', {}, {}, '[]', 'REGISTER_STAGE', '{{}}', 0, 0, 0)"
    )
    subjects = ["", "@alice:example.org PHONE", "@alice:example.org MY PHONE", '@alice:example.org A","B']
    wanted = [
        "",
        '["@alice:example.org","PHONE"]',
        '["@alice:example.org","MY","PHONE"]',
        '["@alice:example.org","A","B"]',
    ]
    if database_url.startswith("sqlite:"):
        connection: Any = apsw.Connection(str(sqlite_path(database_url).with_suffix(".old")))
        run = connection.execute
        engine, blob = "sqlite", "x'{}'"
    else:
        import psycopg

        url = database_url
        connection = psycopg.connect(url, autocommit=True)
        connection.execute("CREATE SCHEMA old; SET search_path TO old")
        run = connection.execute
        engine, blob = "postgresql", "'\\x{}'::bytea"
    try:
        for one in before:
            run(one.script(engine))
        for number, subject in enumerate(subjects):
            value = blob.format(f"{number:02}")
            run(insert.format(value, subject, value, value))
        run(step.script(engine))
        found = [row[0] for row in run("SELECT subject FROM uia_sessions ORDER BY id_hash")]
        assert found == wanted
    finally:
        if engine == "postgresql":
            run("DROP SCHEMA old CASCADE")
        connection.close()
