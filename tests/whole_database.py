"""A database with rows in every table, and what is in a database."""

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from threepid.importers.copying.tables import all_tables
from threepid.importers.source import Row
from threepid.storage.audit import Entry

ROWS = 8
TEXTS = ["", "alice@example.org", "@Ålice:example.org", "علي", "愛", "a\tb\\N\nc", "NULL", "😀"]


@contextmanager
def silent(_: int) -> Iterator[Callable[[int], None]]:
    yield lambda _: None


def entry_of(rows: int) -> Entry:
    """The entry of the audit log about a copy."""
    details = json.dumps({"rows": rows})
    return Entry(uuid4().hex, 7, "database_copied", "", "operator", "test", "{}", details)


def but_for_copies(found: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """All rows without the entries of the audit log about copies."""
    return {**found, "audit_log": [row for row in found["audit_log"] if "database_copied" not in row]}


def fill(path: Path) -> None:
    """Put rows into every table: texts and bytes of all kinds, the smallest and largest numbers, nothing where that may be."""
    chosen = random.Random(7)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA foreign_keys = 1")
    for table in all_tables():
        required = {row[1]: bool(row[3]) for row in connection.execute(f"PRAGMA table_info({table.name})")}
        keys: dict[int, list[Any]] = {}
        for key in connection.execute(f"PRAGMA foreign_key_list({table.name})"):
            keys.setdefault(key[0], []).append(key)
        for number in range(ROWS):
            row: dict[str, Any] = {}
            for column, kind in zip(table.columns, table.types, strict=True):
                if kind == "TEXT":
                    row[column] = f"{chosen.choice(TEXTS)}{number}"
                elif kind == "BYTES":
                    row[column] = chosen.randbytes(31) + bytes([number])
                else:
                    row[column] = chosen.choice([0, -(2**63), 2**63 - 1 - number]) if number else 1
            for parts in sorted(keys.values(), key=len):
                columns = ", ".join(part[4] or part[3] for part in parts)
                parents = connection.execute(f"SELECT {columns} FROM {parts[0][2]} ").fetchall()
                row.update(zip([part[3] for part in parts], parents[number % len(parents)], strict=True))
            row.update({column: None for column in row if not required[column] and chosen.random() < 0.4})
            places = ", ".join("?" * len(row))
            connection.execute(
                f"INSERT OR IGNORE INTO {table.name} ({', '.join(row)}) VALUES ({places})", [*row.values()]
            )
        assert connection.execute(f"SELECT COUNT(*) FROM {table.name}").fetchone()[0], table.name
    connection.commit()
    connection.close()


def contents(url: str) -> dict[str, list[Row]]:
    """All rows of all tables."""
    tables = all_tables()
    if url.startswith("sqlite:"):
        connection = sqlite3.connect(url.removeprefix("sqlite:"))
        found = {table.name: connection.execute(table.select).fetchall() for table in tables}
        connection.close()
    else:
        with psycopg.connect(url) as other:
            found = {table.name: other.execute(table.select.encode()).fetchall() for table in tables}
    return {name: sorted(rows, key=repr) for name, rows in found.items()}
