"""A database with the tables of a Synapse that an import reads, written by hand: SQLite, or PostgreSQL.

The columns are those of schema 94 (Synapse 1.163), as far as an import reads them.
"""

import itertools
import unicodedata
from pathlib import Path
from typing import Any, Final

import bcrypt

from foreign_database import ForeignDatabase

_BOOLEAN: Final = {"approved", "locked", "suspended", "shadow_banned", "hidden", "used"}
TABLES: Final = {
    "users": (
        "name TEXT", "password_hash TEXT", "creation_ts BIGINT", "admin SMALLINT DEFAULT 0 NOT NULL",
        "is_guest SMALLINT DEFAULT 0 NOT NULL", "appservice_id TEXT", "deactivated SMALLINT DEFAULT 0 NOT NULL",
        "shadow_banned BOOLEAN", "approved BOOLEAN", "locked BOOLEAN DEFAULT FALSE NOT NULL",
        "suspended BOOLEAN DEFAULT FALSE NOT NULL", "UNIQUE (name)",
    ),
    "devices": (
        "user_id TEXT NOT NULL", "device_id TEXT NOT NULL", "display_name TEXT", "last_seen BIGINT", "ip TEXT",
        "user_agent TEXT", "hidden BOOLEAN DEFAULT FALSE", "UNIQUE (user_id, device_id)",
    ),
    "access_tokens": (
        "id BIGINT PRIMARY KEY", "user_id TEXT NOT NULL", "device_id TEXT", "token TEXT NOT NULL", "valid_until_ms BIGINT",
        "puppets_user_id TEXT", "last_validated BIGINT", "refresh_token_id BIGINT", "used BOOLEAN", "UNIQUE (token)",
    ),
    "refresh_tokens": (
        "id BIGINT PRIMARY KEY", "user_id TEXT NOT NULL", "device_id TEXT NOT NULL", "token TEXT NOT NULL",
        "next_token_id BIGINT", "expiry_ts BIGINT", "ultimate_session_expiry_ts BIGINT", "UNIQUE (token)",
    ),
    "user_threepids": (
        "user_id TEXT NOT NULL", "medium TEXT NOT NULL", "address TEXT NOT NULL", "validated_at BIGINT NOT NULL",
        "added_at BIGINT NOT NULL", "UNIQUE (medium, address)",
    ),
    "user_threepid_id_server": ("user_id TEXT NOT NULL", "medium TEXT NOT NULL", "address TEXT NOT NULL", "id_server TEXT"),
    "user_external_ids": ("auth_provider TEXT NOT NULL", "external_id TEXT NOT NULL", "user_id TEXT NOT NULL"),
    "erased_users": ("user_id TEXT NOT NULL",),
    "account_validity": ("user_id TEXT PRIMARY KEY", "expiration_ts_ms BIGINT NOT NULL"),
    "dehydrated_devices": ("user_id TEXT NOT NULL PRIMARY KEY", "device_id TEXT NOT NULL"),
    "schema_version": ("version INTEGER NOT NULL",),
    "schema_compat_version": ("compat_version INTEGER NOT NULL",),
}  # fmt: skip
CREATED: Final = 1_700_000_000
"""Seconds, as Synapse stores the creation of users."""


def synapse_hash(password: str, pepper: str = "") -> str:
    """How Synapse hashes: bcrypt of the password in NFKC and the pepper, of which 72 bytes count."""
    whole = unicodedata.normalize("NFKC", password).encode() + pepper.encode()
    return bcrypt.hashpw(whole[:72], bcrypt.gensalt(4)).decode()


class SynapseDatabase(ForeignDatabase):
    """The database of a Synapse."""

    def __init__(self, url: str, *, without: tuple[str, ...] = (), strict: bool = True) -> None:
        """`without` names columns (`users.locked`) and tables that an older Synapse does not have.

        Not `strict`, the tables have no constraints, as in a database that was damaged or forged.
        """
        super().__init__(url)
        self.path = Path(url.removeprefix("sqlite:"))
        self._ids = itertools.count(1)
        if self._sqlite:
            self._sqlite.execute("PRAGMA journal_mode = wal")
            self._sqlite.execute("PRAGMA synchronous = off")
        for table, columns in TABLES.items():
            if table not in without:
                kept = [column for column in columns if f"{table}.{column.split()[0]}" not in without]
                if not strict:
                    kept = [column.split()[0] for column in kept if not column.startswith("UNIQUE")]
                self.do(f"CREATE TABLE {table} ({', '.join(kept)})")
        if "schema_version" not in without:
            self.do("INSERT INTO schema_version (version) VALUES (94)")
        if "schema_compat_version" not in without:
            self.do("INSERT INTO schema_compat_version (compat_version) VALUES (84)")

    def insert(self, table: str, **values: Any) -> None:
        if self._sqlite is None:
            values = {
                name: bool(value) if name in _BOOLEAN and value is not None else value for name, value in values.items()
            }
        places = ", ".join("?" * len(values))
        self.do(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", *values.values())

    def user(self, name: str, password: str | None = None, *, pepper: str = "", **more: Any) -> None:
        values = {"name": name, "creation_ts": CREATED, **more}
        if password is not None:
            values["password_hash"] = synapse_hash(password, pepper)
        self.insert("users", **values)

    def device(self, user_id: str, device_id: str, token: str | None = None, **more: Any) -> None:
        """A device, with an access token that does not expire."""
        self.insert(
            "devices", user_id=user_id, device_id=device_id, **{"display_name": f"{device_id} of {user_id}", **more}
        )
        if token is not None:
            self.token(user_id, device_id, token)

    def token(self, user_id: str, device_id: str | None, token: Any, **more: Any) -> None:
        self.insert(
            "access_tokens",
            **{"id": next(self._ids), "user_id": user_id, "device_id": device_id, "token": token, **more},
        )

    def refresh(self, user_id: str, device_id: str, token: str, **more: Any) -> int:
        number = next(self._ids)
        self.insert(
            "refresh_tokens", **{"id": number, "user_id": user_id, "device_id": device_id, "token": token, **more}
        )
        return number

    def contact(
        self,
        user_id: str,
        medium: Any,
        address: Any,
        validated_at: Any = 1_600_000_000_000,
        added_at: Any = 1_600_000_000_001,
    ) -> None:
        self.insert(
            "user_threepids",
            user_id=user_id,
            medium=medium,
            address=address,
            validated_at=validated_at,
            added_at=added_at,
        )
