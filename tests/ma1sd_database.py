"""The tables and the folder of keys of a ma1sd, written by hand as its ORM makes them: SQLite, or PostgreSQL."""

import json
from pathlib import Path
from typing import Any, Final

from unpaddedbase64 import encode_base64

from foreign_database import ForeignDatabase

TABLES: Final = {
    "invite_3pid": '"id" TEXT PRIMARY KEY, "token" TEXT NOT NULL, "sender" TEXT NOT NULL, "medium" TEXT NOT NULL, '
    '"address" TEXT NOT NULL, "roomId" TEXT NOT NULL, "properties" TEXT',
    "invite_3pid_history": '"id" TEXT PRIMARY KEY, "token" TEXT NOT NULL',
    "session_3pid": '"id" TEXT PRIMARY KEY, "secret" TEXT NOT NULL',
    "account": '"token" VARCHAR(255) PRIMARY KEY, "accessToken" VARCHAR(255), "tokenType" VARCHAR(255), '
    '"matrixServerName" VARCHAR(255), "expiresIn" BIGINT, "createdAt" BIGINT, "userId" VARCHAR(255)',
    "accepted": '"id" BIGINT PRIMARY KEY, "url" VARCHAR(255), "userId" VARCHAR(255), "acceptedAt" BIGINT',
    "hashes": '"id" BIGINT PRIMARY KEY, "mxid" VARCHAR(255), "medium" VARCHAR(255), "address" VARCHAR(255), '
    '"hash" VARCHAR(255), UNIQUE ("mxid", "medium", "address")',
}
MADE_AT: Final = 1_700_000_000
"""Seconds, as ma1sd stores the creation of accounts."""


class Ma1sdDatabase(ForeignDatabase):
    """The database of a ma1sd or mxisd."""

    def __init__(self, url: str, *, without: tuple[str, ...] = ()) -> None:
        """`without` names tables that an older one, or mxisd, does not have."""
        super().__init__(url)
        self._count = 0
        for table, columns in TABLES.items():
            if table not in without:
                self.do(f"CREATE TABLE {table} ({columns})")

    def insert(self, table: str, **values: Any) -> None:
        names = ", ".join(f'"{name}"' for name in values)
        self.do(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(values))})", *values.values())

    def account(self, user_id: str, token: str, created_at: Any = MADE_AT) -> None:
        self.insert(
            "account", token=token, accessToken="openid", tokenType="Bearer", matrixServerName="example.org",
            expiresIn=3600, createdAt=created_at, userId=user_id,
        )  # fmt: skip

    def invite(self, address: str, token: str, key: bytes | None = None, **properties: Any) -> None:
        self._count += 1
        if key is not None:
            properties["e_key_public"] = encode_base64(key)
        self.insert(
            "invite_3pid", id=f"invite{self._count}", token=token, sender="@alice:example.org", medium="email",
            address=address, roomId="!room:example.org", properties=json.dumps(properties),
        )  # fmt: skip

    def accept(self, user_id: str, url: str) -> None:
        self._count += 1
        self.insert("accepted", id=self._count, url=url, userId=user_id, acceptedAt=MADE_AT)

    def hashed(self, mxid: str, address: str, medium: str = "email") -> None:
        self._count += 1
        self.insert("hashes", id=self._count, mxid=mxid, medium=medium, address=address, hash="x")


def write_keys(folder: Path, current: str, *, regular: dict[str, bytes], ephemeral: dict[str, bytes]) -> None:
    """The folder of keys, each with its serial and seed."""
    for kind, keys in (("regular", regular), ("ephemeral", ephemeral)):
        place = folder / kind / "ed25519"
        place.mkdir(parents=True)
        for serial, seed in keys.items():
            (place / serial).write_text(json.dumps({"version": "0", "isValid": True, "key": encode_base64(seed)}))
    (folder / "current").write_text(json.dumps({"type": "Regular", "algo": "ed25519", "serial": current}))
