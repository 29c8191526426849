"""`database copy`: everything arrives, in both directions, or nothing."""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from postgres import PostgresServer
from threepid.clock import Clock
from threepid.importers.copying.run import Contents, Place, copy_database
from threepid.importers.copying.tables import all_tables
from threepid.importers.source import NoSuchSource, Row, SourceError
from threepid.storage.engine.database import StorageError
from threepid.storage.engine.lock import InUse, only_server
from whole_database import but_for_copies, contents, entry_of, silent


def test_every_row_of_every_table_arrives_and_comes_back(filled_url: str, empty_url: str, tmp_path: Path) -> None:
    before = contents(filled_url)
    back = f"sqlite:{tmp_path / 'back.db'}"

    copied = copy_database(Place(filled_url), Place(empty_url), Clock(), silent, entry_of)
    copy_database(Place(empty_url), Place(back), Clock(), silent, entry_of)

    assert but_for_copies(contents(empty_url)) == before == but_for_copies(contents(back)) == contents(filled_url)
    assert copied == {name: len(rows) for name, rows in before.items()}
    assert min(copied.values()) > 0


def test_the_new_database_has_an_entry_about_the_copy_and_the_old_one_has_none(
    filled_url: str, empty_url: str, tmp_path: Path
) -> None:
    back = f"sqlite:{tmp_path / 'back.db'}"
    copied = copy_database(Place(filled_url), Place(empty_url), Clock(), silent, entry_of)
    again = copy_database(Place(empty_url), Place(back), Clock(), silent, entry_of)

    assert entries(filled_url) == []
    assert entries(empty_url) == [(1, sum(copied.values()))]
    assert entries(back) == [(1, sum(copied.values())), (2, sum(copied.values()) + 1)]
    assert sum(again.values()) == sum(copied.values()) + 1


def entries(url: str) -> list[tuple[Any, int]]:
    """The numbers of the entries about copies, and how many rows these copied."""
    (columns,) = [table.columns for table in all_tables() if table.name == "audit_log"]
    found = [dict(zip(columns, row, strict=True)) for row in contents(url)["audit_log"] if "database_copied" in row]
    return sorted((one["number"], json.loads(one["details"])["rows"]) for one in found)


def test_a_database_with_contents_is_not_overwritten(filled_url: str, empty_url: str) -> None:
    copy_database(Place(filled_url), Place(empty_url), Clock(), silent, entry_of)
    before = contents(empty_url)

    with pytest.raises(SourceError, match="not empty"):
        copy_database(Place(filled_url), Place(empty_url), Clock(), silent, entry_of)

    assert contents(empty_url) == before


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_file_that_a_server_uses_is_left_alone(side: str, filled_url: str, tmp_path: Path) -> None:
    new = f"sqlite:{tmp_path / 'new.db'}"
    with only_server(filled_url if side == "source" else new), pytest.raises(InUse):
        copy_database(Place(filled_url), Place(new), Clock(), silent, entry_of)


def test_a_postgresql_database_that_a_server_uses_is_left_alone(
    filled_url: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    url = postgres_server.create_database(f"copy_{uuid4().hex}")
    copy_database(Place(filled_url), Place(url), Clock(), silent, entry_of)
    with psycopg.connect(url), pytest.raises(SourceError, match=r"in use: other connections of its role: 1\."):
        copy_database(Place(url), Place(f"sqlite:{tmp_path / 'new.db'}"), Clock(), silent, entry_of)


def test_another_schema_is_not_copied(filled_url: str, tmp_path: Path) -> None:
    connection = sqlite3.connect(filled_url.removeprefix("sqlite:"))
    connection.execute("DELETE FROM schema_migrations WHERE version = (SELECT MAX(version) FROM schema_migrations)")
    connection.commit()
    connection.close()
    new = tmp_path / "new.db"

    with pytest.raises(SourceError, match="threepid migrate"):
        copy_database(Place(filled_url), Place(f"sqlite:{new}"), Clock(), silent, entry_of)

    assert not new.exists()


def test_a_source_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    with pytest.raises(SourceError, match="does not exist"):
        copy_database(Place(f"sqlite:{missing}"), Place(f"sqlite:{tmp_path / 'new.db'}"), Clock(), silent, entry_of)
    assert not missing.exists()


def test_a_mistyped_folder_of_the_new_database_is_not_made(filled_url: str, tmp_path: Path) -> None:
    with pytest.raises(NoSuchSource, match="mistyped/deeper"):
        copy_database(Place(filled_url), Place(f"sqlite:{tmp_path}/mistyped/deeper/new.db"), Clock(), silent, entry_of)
    assert not (tmp_path / "mistyped").exists()


def test_the_same_database_twice_is_refused(filled_url: str) -> None:
    with pytest.raises(SourceError, match="the same"):
        copy_database(Place(filled_url), Place(filled_url), Clock(), silent, entry_of)


def test_a_text_that_postgresql_cannot_keep_is_named(filled_url: str, postgres_server: PostgresServer) -> None:
    connection = sqlite3.connect(filled_url.removeprefix("sqlite:"))
    connection.execute("UPDATE devices SET display_name = 'a' || char(0) || 'b'")
    connection.commit()
    connection.close()
    url = postgres_server.create_database(f"copy_{uuid4().hex}")

    with pytest.raises(StorageError, match="table devices has a character"):
        copy_database(Place(filled_url), Place(url), Clock(), silent, entry_of)

    assert not any(contents(url).values())


def test_a_text_that_is_not_utf_8_is_named(filled_url: str, tmp_path: Path) -> None:
    connection = sqlite3.connect(filled_url.removeprefix("sqlite:"))
    connection.execute("UPDATE devices SET display_name = CAST(x'ff41' AS TEXT)")
    connection.commit()
    connection.close()
    new = f"sqlite:{tmp_path / 'new.db'}"

    with pytest.raises(SourceError, match="table devices is not UTF-8"):
        copy_database(Place(filled_url), Place(new), Clock(), silent, entry_of)

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
