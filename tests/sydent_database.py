"""A database with the tables of a Sydent, written by hand, as `sydent/db/sqlitedb.py` of 2.6.1 makes them (schema 5)."""

import itertools
from pathlib import Path
from typing import Any, Final

import apsw
from unpaddedbase64 import encode_base64

from threepid.spec.lookup_hash import lookup_hash

NAME: Final = "id.example.org"
PEPPER: Final = "aBcDe"
CENTURY: Final = 100 * 365 * 24 * 60 * 60 * 1000
BOUND_AT: Final = 1_700_000_000_000
TABLES: Final = {
    "local_threepid_associations": "id integer primary key autoincrement, medium varchar(16) not null, "
    "address varchar(256) not null, mxid varchar(256), ts integer, notBefore bigint, notAfter bigint, "
    "lookup_hash VARCHAR(256)",
    "global_threepid_associations": "id integer primary key autoincrement, medium varchar(16) not null, "
    "address varchar(256) not null, mxid varchar(256) not null, ts integer not null, notBefore bigint not null, "
    "notAfter integer not null, originServer varchar(255) not null, originId integer not null, sgAssoc text not null, "
    "lookup_hash VARCHAR(256)",
    "threepid_validation_sessions": "id integer primary key, medium varchar(16) not null, address varchar(256) not null, "
    "clientSecret varchar(32) not null, validated int default 0, mtime bigint not null",
    "invite_tokens": "id integer primary key, medium varchar(16) not null, address varchar(256) not null, "
    "room_id varchar(256) not null, sender varchar(256) not null, token varchar(256) not null, received_ts bigint, "
    "sent_ts bigint",
    "ephemeral_public_keys": "id integer primary key, public_key varchar(256) not null, verify_count bigint default 0, "
    "persistence_ts bigint",
    "hashing_metadata": "id integer primary key, lookup_pepper varchar(256)",
    "accounts": "user_id TEXT NOT NULL PRIMARY KEY, created_ts BIGINT NOT NULL, consent_version TEXT",
    "tokens": "token TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL",
    "accepted_terms_urls": "user_id TEXT NOT NULL, url TEXT NOT NULL",
}
INDEX: Final = "CREATE UNIQUE INDEX local_threepid_medium_address on local_threepid_associations(medium, address)"


class SydentDatabase:
    """A database to be filled."""

    def __init__(self, path: Path, *, without: tuple[str, ...] = (), strict: bool = True, pepper: Any = PEPPER) -> None:
        """`without` names tables and columns (`invite_tokens.sent_ts`) that an older Sydent does not have.

        Not `strict`, the tables have no constraints, as in a database that was damaged or forged.
        """
        self.path = path
        self.url = f"sqlite:{path}"
        self._connection = apsw.Connection(str(path))
        self._connection.execute("PRAGMA synchronous = off")
        self._numbers = itertools.count(1)
        for table, columns in TABLES.items():
            if table in without:
                continue
            kept = [one for one in columns.split(", ") if f"{table}.{one.split()[0]}" not in without]
            if not strict:
                kept = [one.split()[0] for one in kept]
            self.do(f"CREATE TABLE {table} ({', '.join(kept)})")
        if strict:
            self.do(INDEX)
        self.do("PRAGMA user_version = 5")
        if pepper is not None and "hashing_metadata" not in without:
            self.do("INSERT INTO hashing_metadata VALUES (0, ?)", pepper)

    def do(self, statement: str, *values: Any) -> None:
        self._connection.execute(statement, values)

    def insert(self, table: str, **values: Any) -> None:
        names = ", ".join(values)
        self.do(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({', '.join('?' * len(values))})", *values.values())

    def bind(self, mxid: Any, address: Any, medium: Any = "email", *, ts: Any = BOUND_AT, **more: Any) -> None:
        """As Sydent binds: a row with a new number in the local table, and what lookups read in the global one."""
        hash_ = lookup_hash(address, medium, PEPPER) if isinstance(address, str) else None
        values = {
            "notBefore": ts,
            "notAfter": ts + CENTURY if isinstance(ts, int) else ts,
            "lookup_hash": hash_,
            **more,
        }
        self.insert("local_threepid_associations", medium=medium, address=address, mxid=mxid, ts=ts, **values)
        self.of_server(mxid, address, medium, ts=ts, server=NAME, **values)

    def of_server(
        self, mxid: Any, address: Any, medium: Any = "email", *, server: str, ts: Any = BOUND_AT, **more: Any
    ) -> None:
        """An association of the global table alone, as another identity server sends it."""
        values = {"notBefore": ts, "notAfter": ts + CENTURY if isinstance(ts, int) else ts, **more}
        self.insert(
            "global_threepid_associations", medium=medium, address=address, mxid=mxid, ts=ts, originServer=server,
            originId=next(self._numbers), sgAssoc="{}", **values,
        )  # fmt: skip

    def unbind(self, address: str, medium: str = "email", *, ts: int = BOUND_AT) -> None:
        """As Sydent unbinds: the address stays in the log without a user ID."""
        self.insert("local_threepid_associations", medium=medium, address=address, mxid=None, ts=ts)
        self.do("DELETE FROM global_threepid_associations WHERE medium = ? AND address = ?", medium, address)

    def account(self, user_id: Any, *tokens: Any, consent: Any = None) -> None:
        self.insert("accounts", user_id=user_id, created_ts=BOUND_AT, consent_version=consent)
        for token in tokens:
            self.insert("tokens", user_id=user_id, token=token)

    def invite(self, address: Any, token: Any, *, medium: Any = "email", room_id: Any = "!room:example.org",
               sender: Any = "@alice:example.org", sent_ts: Any = None, received_ts: Any = BOUND_AT // 1000) -> None:  # fmt: skip
        self.insert(
            "invite_tokens", medium=medium, address=address, room_id=room_id, sender=sender, token=token,
            received_ts=received_ts, sent_ts=sent_ts,
        )  # fmt: skip

    def key(self, public_key: bytes | str) -> None:
        text = encode_base64(public_key, urlsafe=True) if isinstance(public_key, bytes) else public_key
        self.insert("ephemeral_public_keys", public_key=text, persistence_ts=BOUND_AT // 1000)

    def accept(self, user_id: Any, url: Any) -> None:
        self.insert("accepted_terms_urls", user_id=user_id, url=url)

    def close(self) -> None:
        self._connection.close()
