"""Imports from a Synapse and a Sydent, each against a bare loop that reads the same rows and inserts them into the same tables.

The floor writes the same rows in transactions of as many users, as durably. It checks nothing, and records nothing of the import.
"""

import hashlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any, Final

import apsw
import psycopg

from threepid.clock import Clock
from threepid.storage.engine.migrate import migrate
from tools import HERE, Figures, Setup

sys.path.append(str(HERE.parent / "tests"))
from sydent_database import NAME, SydentDatabase
from synapse_database import SynapseDatabase

_BATCH: Final = 500
_BINDINGS: Final = 1000
_READ: Final = {
    "accounts": "SELECT name, password_hash, creation_ts FROM users",
    "threepids": "SELECT medium, address, address, user_id, validated_at, added_at FROM user_threepids",
    "devices": "SELECT user_id, device_id, display_name, 0, last_seen, ip, ip, user_agent FROM devices",
    "access_tokens": "SELECT token, user_id, device_id, 0 FROM access_tokens",
}
_WRITE: Final = {
    "accounts": "INSERT INTO accounts (user_id, password_hash, created_at) VALUES (?, ?, ?)",
    "threepids": "INSERT INTO threepids (medium, canonical, address, user_id, validated_at, added_at) VALUES (?, ?, ?, ?, ?, ?)",
    "devices": "INSERT INTO devices (user_id, device_id, display_name, created_at, seen_at, seen_from, network, user_agent) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "access_tokens": "INSERT INTO access_tokens (token_hash, user_id, device_id, created_at) VALUES (?, ?, ?, ?)",
}


def measure(setup: Setup) -> Figures:
    """Users per second of a first import, and of a second one that finds nothing changed."""
    users = setup.accounts
    with tempfile.TemporaryDirectory(prefix="threepid-bench-import-") as folder:
        directory = Path(folder)
        synapse = directory / "homeserver.db"
        fill(synapse, users)
        bare = floor(synapse, target(setup, directory, "floor"))
        url = target(setup, directory, "threepid")
        config = directory / "threepid.toml"
        config.write_text(
            f'[server]\nname = "bench.example"\npublic_base_url = "http://localhost:1"\ndata_dir = "{directory}/data"\n'
            f'[database]\nurl = "{url}"\n[accounts]\n',
            encoding="utf-8",
        )
        first, second = bring(synapse, config), bring(synapse, config)
        of_sydent = sydent(setup, directory)
    return {
        **of_sydent,
        "floor of an import: read and insert (users/s)": (users / bare, ""),
        "first import (users/s)": (users / first, ""),
        "first import / floor": (bare / first, ">= 0.30"),
        "second import, nothing changed (users/s)": (users / second, ""),
    }


def sydent(setup: Setup, directory: Path) -> Figures:
    """Associations per second of an import from a Sydent."""
    associations = 2 * setup.accounts
    path = directory / "sydent.db"
    fill_sydent(path, associations)
    bare = floor_of_sydent(path, target(setup, directory, "sydent_floor"))
    url = target(setup, directory, "of_sydent")
    config = directory / "identity.toml"
    config.write_text(
        f'[server]\nname = "bench.example"\npublic_base_url = "http://localhost:1"\ndata_dir = "{directory}/identity"\n'
        f'[database]\nurl = "{url}"\n[identity]\nname = "{NAME}"\n',
        encoding="utf-8",
    )
    took = run_import(config, "sydent", "--database", f"sqlite:{path}", "--server-name", NAME)
    return {
        "floor of an import from Sydent: read, hash and insert (associations/s)": (associations / bare, ""),
        "import from Sydent (associations/s)": (associations / took, ""),
        "import from Sydent / floor": (bare / took, ">= 0.30"),
    }


def fill_sydent(path: Path, associations: int) -> None:
    """Associations, of which every fifth is one of a phone number."""
    made = SydentDatabase(path)
    made.do("BEGIN")
    for number in range(associations):
        if number % 5 == 0:
            made.bind(f"@user{number:07}:hs.example", f"49151{20_000_000 + number}", "msisdn")
        else:
            made.bind(f"@user{number:07}:hs.example", f"user{number}@mails.example.com")
    made.do("COMMIT")
    made.close()


def floor_of_sydent(path: Path, url: str) -> float:
    """Seconds of a bare loop that reads, hashes and inserts associations and hashes, in transactions of as many rows."""
    source = sqlite3.connect(path)
    rows = source.execute("SELECT medium, address, mxid, ts, notBefore, notAfter FROM local_threepid_associations")
    first = (
        "INSERT INTO associations (medium, canonical, mxid, bound_at, not_before, not_after) VALUES (?, ?, ?, ?, ?, ?)"
    )
    second = "INSERT INTO association_hashes (key, pepper, hash, mxid, not_after) VALUES (?, 1, ?, ?, ?)"
    start = time.monotonic()
    if url.startswith("sqlite:"):
        into = apsw.Connection(url.removeprefix("sqlite:"))
        into.execute("PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA foreign_keys = 1")
        while batch := rows.fetchmany(_BINDINGS):
            with into:
                into.executemany(first, batch)
                into.executemany(second, [_hashed(row) for row in batch])
        into.close()
    else:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            while batch := rows.fetchmany(_BINDINGS):
                cursor.executemany(first.replace("?", "%s"), batch)
                cursor.executemany(second.replace("?", "%s"), [_hashed(row) for row in batch])
                connection.commit()
    return time.monotonic() - start


def _hashed(row: tuple[Any, ...]) -> tuple[Any, ...]:
    digest = hashlib.sha256(f"{row[1]} {row[0]} pepper".encode()).digest()
    return int.from_bytes(digest[:8]) >> 4, urlsafe_b64encode(digest).decode()[:-1], row[2], row[5]


def fill(path: Path, users: int) -> None:
    """Users with a password, an email address, every fifth a phone number, and two devices with a token each."""
    synapse = SynapseDatabase(f"sqlite:{path}")
    synapse.do("BEGIN")
    for number in range(users):
        user_id = f"@user{number:07}:bench.example"
        synapse.user(user_id, password_hash="$2b$12$" + f"{number:053}")
        synapse.contact(user_id, "email", f"user{number}@mails.example.com")
        if number % 5 == 0:
            synapse.contact(user_id, "msisdn", f"49151{20_000_000 + number}")
        for device in ("PHONE", "LAPTOP"):
            seen: dict[str, Any] = {
                "last_seen": 1_700_000_000_000 + number,
                "ip": f"198.51.{number % 200}.{number % 250}",
            }
            synapse.device(
                user_id, f"{device}{number}", f"syt_{device}_{number:020}", user_agent="Element/1.11 (Android)", **seen
            )
    synapse.do("COMMIT")
    synapse.close()


def target(setup: Setup, directory: Path, name: str) -> str:
    """The URL of an empty database of ours."""
    url = f"sqlite:{directory}/{name}.db"
    if setup.engine == "postgresql":
        with psycopg.connect(setup.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE bench_{name}".encode())
        url = setup.url.replace("/bench?", f"/bench_{name}?")
    migrate(url, password=None, clock=Clock())
    return url


def floor(synapse: Path, url: str) -> float:
    """Seconds of the bare loop."""
    source = sqlite3.connect(synapse)
    # As our table has it: the key is a hash, and so its index is filled in random order.
    source.create_function("hashed", 1, lambda token: hashlib.sha256(token.encode()).digest(), deterministic=True)
    start = time.monotonic()
    if url.startswith("sqlite:"):
        into = apsw.Connection(url.removeprefix("sqlite:"))
        into.execute("PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA foreign_keys = 1")
        for table, query in _READ.items():
            rows = source.execute(query.replace("SELECT token", "SELECT hashed(token)"))
            while batch := rows.fetchmany(_BATCH):
                with into:
                    into.executemany(_WRITE[table], batch)
        into.close()
    else:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            for table, query in _READ.items():
                rows = source.execute(query.replace("SELECT token", "SELECT hashed(token)"))
                while batch := rows.fetchmany(_BATCH):
                    cursor.executemany(_WRITE[table].replace("?", "%s"), batch)
                    connection.commit()
    return time.monotonic() - start


def bring(synapse: Path, config: Path) -> float:
    """Seconds of an import from a Synapse."""
    return run_import(config, "synapse", "--database", f"sqlite:{synapse}", "--server-name", "bench.example")


def run_import(config: Path, system: str, *more: str) -> float:
    """Seconds of an import, without the start of the command."""
    command = [sys.executable, "-m", "threepid"]
    arguments = [*more, "-c", str(config), "--json"]
    start = time.monotonic()
    subprocess.run([*command, "migrate", "-c", str(config)], capture_output=True, check=True)
    begun = time.monotonic()
    done = subprocess.run([*command, "import", system, *arguments], capture_output=True, check=True)
    result = json.loads(done.stdout)
    assert result["complete"], result
    return time.monotonic() - begun - (begun - start)
