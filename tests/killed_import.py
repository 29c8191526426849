"""An import into a SQLite database that is killed when a table has got so many rows."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def count(directory: Path, query: str) -> int:
    """The number that a query of the database answers."""
    with sqlite3.connect(directory / "data" / "threepid.db") as database:
        return int(database.execute(query).fetchone()[0])


def rows(directory: Path, table: str) -> int:
    return count(directory, f"SELECT COUNT(*) FROM {table}")


def killed_at(directory: Path, arguments: Sequence[str], table: str, wanted: int) -> bool:
    """Run `threepid …` and kill it as soon as `table` has `wanted` rows; False if it ended before."""
    process = subprocess.Popen(
        [sys.executable, "-m", "threepid", *arguments],
        cwd=directory,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and rows(directory, table) < wanted:
        time.sleep(0.002)
    is_running = process.poll() is None
    process.kill()
    process.wait(30)
    return is_running
