"""`/_threepid/health/live` and `ready`, for load balancers and supervisors."""

import asyncio
from pathlib import Path
from typing import Any

import apsw
import msgspec
import psycopg
import pytest

from databases import Around
from threepid.domain.health import Health
from threepid.spec.errors import Unavailable
from threepid.storage.engine.database import Busy, StorageError
from world import World

LIVE = "/_threepid/health/live"
READY = "/_threepid/health/ready"


def change(database_url: str, engine: str, statement: str) -> None:
    if engine == "sqlite":
        connection = apsw.Connection(database_url.removeprefix("sqlite:"))
        connection.execute(statement)
        connection.close()
        return
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(statement.encode())


def status(world: World, path: str = READY) -> int:
    answer = world.get(path)
    if answer.status_code != 200:
        assert answer.json()["errcode"] == "M_UNKNOWN"
        assert answer.headers["Retry-After"]
    return answer.status_code


def test_a_server_that_works_is_alive_and_ready(world: World) -> None:
    assert world.get(LIVE).json() == {"status": "alive"}
    assert world.get(READY).json() == {"status": "ready"}
    assert world.call("HEAD", READY).status_code == 200
    assert world.get(READY).headers["Cache-Control"] == "no-store"
    assert world.post(READY).status_code == 405


@pytest.mark.parametrize("role", ["accounts", "identity"])
def test_either_role_alone_has_them(database_url: str, tmp_path: Path, role: str) -> None:
    absent: dict[str, Any] = {{"accounts": "identity", "identity": "accounts"}[role]: None}
    with World(database_url, tmp_path, **absent) as world:
        assert [status(world, path) for path in (LIVE, READY)] == [200, 200]


def test_alive_asks_no_database(world: World) -> None:
    database = world.server.context.database
    reads = database.reads
    assert status(world, LIVE) == 200
    assert database.reads == reads
    fail(world, Busy("gone"))
    assert status(world, LIVE) == 200


def fail(world: World, error: Exception) -> None:
    async def broken() -> None:
        raise error

    world.database.before_reads = broken


@pytest.mark.parametrize("error", [Busy("secret-host is down"), StorageError("secret-host is down")])
def test_a_database_that_cannot_be_read_is_not_ready_and_recovers(world: World, error: Exception) -> None:
    fail(world, error)
    assert status(world) == 503
    assert "secret-host" not in world.get(READY).text
    world.database.before_reads = None
    assert status(world) == 200


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO schema_migrations (version, name, applied_at) VALUES (9999, 'of the future', 1)",
        "DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)",
        "DELETE FROM schema_migrations",
        "DROP TABLE schema_migrations",
    ],
)
def test_another_schema_is_not_ready(world: World, database_url: str, engine: str, statement: str) -> None:
    change(database_url, engine, statement)
    assert status(world) == 503


def test_a_server_that_stops_is_alive_and_not_ready(world: World) -> None:
    world.server.end_waiting()
    assert status(world) == 503
    assert status(world, LIVE) == 200


def test_a_database_that_hangs_is_not_ready_soon_and_is_asked_once(world: World) -> None:
    asked = 0
    release = asyncio.Event()

    async def hang() -> None:
        nonlocal asked
        asked += 1
        await release.wait()

    database = Around(world.database)
    database.before_reads = hang
    ready = Health(msgspec.structs.replace(world.server.context, database=database), read_seconds=0.5)

    async def check() -> bool:
        try:
            await ready.check()
        except Unavailable:
            return False
        return True

    assert world.together(*[check] * 20) == [False] * 20
    assert world.run(check()) is False
    assert asked == 1
    release.set()
    assert world.run(check()) is True


def test_it_is_not_ready_while_its_tables_are_locked_on_postgresql(
    world: World, database_url: str, engine: str
) -> None:
    if engine == "sqlite":
        change(database_url, engine, "BEGIN EXCLUSIVE; ROLLBACK")
        assert status(world) == 200
        return
    with psycopg.connect(database_url) as other:
        other.execute(b"LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE")
        assert status(world) == 503  # while the other one has the lock
        other.rollback()
    assert status(world) == 200
