"""`database copy`: everything arrives, in both directions, or nothing."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from postgres import PostgresServer
from threepid.clock import Clock
from threepid.importers.copying.run import Contents, Place, copy_database
from threepid.importers.source import Row, SourceError
from threepid.storage.engine.database import StorageError
from threepid.storage.engine.lock import InUse, only_server
from whole_database import contents, silent


def test_every_row_of_every_table_arrives_and_comes_back(filled_url: str, empty_url: str, tmp_path: Path) -> None:
    before = contents(filled_url)
    back = f"sqlite:{tmp_path / 'back.db'}"

    copied = copy_database(Place(filled_url), Place(empty_url), Clock(), silent)
    copy_database(Place(empty_url), Place(back), Clock(), silent)

    assert contents(empty_url) == before == contents(back) == contents(filled_url)
    assert copied == {name: len(rows) for name, rows in before.items()}
    assert min(copied.values()) > 0


def test_a_database_with_contents_is_not_overwritten(filled_url: str, empty_url: str) -> None:
    copy_database(Place(filled_url), Place(empty_url), Clock(), silent)
    before = contents(empty_url)

    with pytest.raises(SourceError, match="not empty"):
        copy_database(Place(filled_url), Place(empty_url), Clock(), silent)

    assert contents(empty_url) == before


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_file_that_a_server_uses_is_left_alone(side: str, filled_url: str, tmp_path: Path) -> None:
    new = f"sqlite:{tmp_path / 'new.db'}"
    with only_server(filled_url if side == "source" else new), pytest.raises(InUse):
        copy_database(Place(filled_url), Place(new), Clock(), silent)


def test_a_postgresql_database_that_a_server_uses_is_left_alone(
    filled_url: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    url = postgres_server.create_database(f"copy_{uuid4().hex}")
    copy_database(Place(filled_url), Place(url), Clock(), silent)
    with psycopg.connect(url), pytest.raises(SourceError, match="in use: its role has 1 other"):
        copy_database(Place(url), Place(f"sqlite:{tmp_path / 'new.db'}"), Clock(), silent)


def test_another_schema_is_not_copied(filled_url: str, tmp_path: Path) -> None:
    connection = sqlite3.connect(filled_url.removeprefix("sqlite:"))
    connection.execute("DELETE FROM schema_migrations WHERE version = (SELECT MAX(version) FROM schema_migrations)")
    connection.commit()
    connection.close()
    new = tmp_path / "new.db"

    with pytest.raises(SourceError, match="threepid migrate"):
        copy_database(Place(filled_url), Place(f"sqlite:{new}"), Clock(), silent)

    assert not new.exists()


def test_a_source_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    with pytest.raises(SourceError, match="does not exist"):
        copy_database(Place(f"sqlite:{missing}"), Place(f"sqlite:{tmp_path / 'new.db'}"), Clock(), silent)
    assert not missing.exists()


def test_the_same_database_twice_is_refused(filled_url: str) -> None:
    with pytest.raises(SourceError, match="the same"):
        copy_database(Place(filled_url), Place(filled_url), Clock(), silent)


def test_a_text_that_postgresql_cannot_keep_is_named(filled_url: str, postgres_server: PostgresServer) -> None:
    connection = sqlite3.connect(filled_url.removeprefix("sqlite:"))
    connection.execute("UPDATE devices SET display_name = 'a' || char(0) || 'b'")
    connection.commit()
    connection.close()
    url = postgres_server.create_database(f"copy_{uuid4().hex}")

    with pytest.raises(StorageError, match="table devices has a character"):
        copy_database(Place(filled_url), Place(url), Clock(), silent)

    assert not any(contents(url).values())


def test_a_text_that_is_not_utf_8_is_named(filled_url: str, tmp_path: Path) -> None:
    connection = sqlite3.connect(filled_url.removeprefix("sqlite:"))
    connection.execute("UPDATE devices SET display_name = CAST(x'ff41' AS TEXT)")
    connection.commit()
    connection.close()
    new = f"sqlite:{tmp_path / 'new.db'}"

    with pytest.raises(SourceError, match="table devices is not UTF-8"):
        copy_database(Place(filled_url), Place(new), Clock(), silent)

    assert not any(contents(new).values())


@pytest.mark.parametrize(
    "changed",
    [[(1, "a"), (2, "c")], [(1, "a")], [(1, "a"), (2, "b"), (2, "b")], [(1, "a"), ("2", "b")], [("a", 1), ("b", 2)]],
)
def test_contents_that_differ_in_anything_but_the_order_are_not_equal(changed: list[Row]) -> None:
    def of(rows: Iterable[Row]) -> Contents:
        found = Contents()
        for _ in found.count(rows):
            pass
        return found

    rows: list[Row] = [(1, "a"), (2, "b")]
    assert of(rows) == of(reversed(rows))
    assert of(rows) != of(changed)
