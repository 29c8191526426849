"""The rows of each user of a Synapse, from one snapshot of its database.

The tables are read side by side, each in the order of the users, so that every row is read once however many there are.
Columns that older versions of Synapse do not have are read as NULL.
"""

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from threepid.importers.source import Row, Source, SourceError

NEWEST: Final = 94
"""The newest version of Synapse's schema that this reader was written for."""
COUNTED: Final = ("users", "user_threepids", "devices", "access_tokens", "refresh_tokens")
"""The tables whose rows are counted: of all others, rows may be missing without harm."""
_REQUIRED: Final = {
    "users": {"name", "password_hash", "creation_ts", "is_guest", "deactivated"},
    "devices": {"user_id", "device_id", "display_name"},
    "access_tokens": {"id", "user_id", "device_id", "token"},
    "user_threepids": {"user_id", "medium", "address", "validated_at", "added_at"},
    "schema_version": {"version"},
}
_USERS: Final = (
    "name", "password_hash", "creation_ts", "admin", "is_guest", "appservice_id", "deactivated", "shadow_banned",
    "approved", "locked", "suspended",
)  # fmt: skip


class User(Struct, frozen=True):
    """A row of `users`, with what two other tables say of the user. Any value may have any type in SQLite."""

    name: Any
    password_hash: Any
    creation_ts: Any
    admin: Any
    is_guest: Any
    appservice_id: Any
    deactivated: Any
    shadow_banned: Any
    approved: Any
    locked: Any
    suspended: Any
    expires_at: Any
    erased: Any


class Contact(Struct, frozen=True):
    """A row of `user_threepids`."""

    medium: Any
    address: Any
    validated_at: Any
    added_at: Any


class Device(Struct, frozen=True):
    """A row of `devices`. `dehydrated` is the ID of the user's dehydrated device, if there is one."""

    device_id: Any
    display_name: Any
    last_seen: Any
    ip: Any
    user_agent: Any
    hidden: Any
    dehydrated: Any


class AccessToken(Struct, frozen=True):
    """A row of `access_tokens`."""

    id: Any
    device_id: Any
    token: Any
    valid_until_ms: Any
    puppets_user_id: Any
    refresh_token_id: Any
    used: Any


class RefreshToken(Struct, frozen=True):
    """A row of `refresh_tokens`."""

    id: Any
    device_id: Any
    token: Any
    next_token_id: Any
    expiry_ts: Any
    ultimate_session_expiry_ts: Any


class ExternalId(Struct, frozen=True):
    """A row of `user_external_ids`."""

    auth_provider: Any
    external_id: Any


class Binding(Struct, frozen=True):
    """A row of `user_threepid_id_server`: an identity server at which an address was bound."""

    medium: Any
    address: Any
    id_server: Any


class Rows(Struct, frozen=True):
    """All rows of one user."""

    user: User
    contacts: list[Contact]
    devices: list[Device]
    access_tokens: list[AccessToken]
    refresh_tokens: list[RefreshToken]
    external_ids: list[ExternalId]
    bindings: list[Binding]


_PARTS: Final[dict[str, tuple[type[Struct], tuple[str, ...]]]] = {
    "user_threepids": (Contact, Contact.__struct_fields__),
    "devices": (Device, Device.__struct_fields__[:-1]),
    "access_tokens": (AccessToken, AccessToken.__struct_fields__),
    "refresh_tokens": (RefreshToken, RefreshToken.__struct_fields__),
    "user_external_ids": (ExternalId, ExternalId.__struct_fields__),
    "user_threepid_id_server": (Binding, Binding.__struct_fields__),
}


class Reader:
    """Reads a Synapse's users."""

    def __init__(self, source: Source) -> None:
        """Check that `source` is a Synapse's database. Raises SourceError."""
        self._source = source
        self._columns = {table: source.columns(table) for table in (*_REQUIRED, *_PARTS, *_OTHERS)}
        missing = [table for table, columns in _REQUIRED.items() if not columns <= self._columns[table]]
        if missing:
            raise SourceError(f"This is not the database of a Synapse: it has no {', '.join(missing)}.")
        self._refuse_newer()
        # On SQLite, a row may be unreadable. Row numbers tell which rows of other tables belong to it, and names do not.
        self._key = "u.rowid" if source.engine == "sqlite" else "u.name"
        self._parts: list[_Part] = []
        twice = "SELECT name FROM users GROUP BY name HAVING COUNT(*) > 1 LIMIT 1"
        if any(True for _ in source.rows(twice)):
            raise SourceError(
                "This database is damaged: it has a user twice. Restore it from a backup, or repair it first."
            )

    def count(self, table: str) -> int:
        """Number of rows of a table; 0 if this Synapse does not have it."""
        return self._source.count(table) if self._columns[table] else 0

    @property
    def unreadable(self) -> int:
        """Number of rows that were passed over because they, or their user's, hold text that is not UTF-8."""
        return self._source.undecodable + sum(part.passed_over for part in self._parts)

    def unknown_users(self) -> dict[str, int]:
        """How many rows of each table name a user that does not exist."""
        found = {}
        for table in COUNTED[1:]:
            if self._columns[table]:
                query = (
                    f"SELECT COUNT(*) FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.name = t.user_id)"  # noqa: S608
                )
                ((found[table],),) = self._source.rows(query)
        return found

    def spellings(self) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
        """The rows of addresses that several rows have when case is ignored, by medium and lower-case address."""
        query = """
            SELECT t.medium, lower(t.address), t.user_id, t.address, t.added_at FROM user_threepids t JOIN (
                SELECT medium, lower(address) AS address FROM user_threepids GROUP BY 1, 2 HAVING COUNT(*) > 1
            ) twice ON twice.medium = t.medium AND twice.address = lower(t.address) ORDER BY 1, 2, 5, 3, 4
        """
        found: dict[tuple[str, str], list[Row]] = {}
        for medium, lowered, *rest in self._source.rows(query):
            found.setdefault((medium, lowered), []).append(tuple(rest))
        return found

    def users(self) -> Iterator[Rows]:
        """All users with their rows. Raises SourceError."""
        ordered = self._source.engine == "sqlite"
        self._parts = [_Part(self._part(table), kind, ordered=ordered) for table, (kind, _) in _PARTS.items()]
        for key, *row in self._source.rows(self._users()):
            yield Rows(User(*row), *(part.of(key) for part in self._parts))

    def _users(self) -> str:
        columns = self._select("users", "u", _USERS)
        validity = "account_validity"
        expires_at, join = "NULL", ""
        if {"user_id", "expiration_ts_ms"} <= self._columns[validity]:
            expires_at, join = "v.expiration_ts_ms", "LEFT JOIN account_validity v ON v.user_id = u.name"
        erased = "NULL"
        if self._columns["erased_users"]:
            erased = "EXISTS (SELECT 1 FROM erased_users e WHERE e.user_id = u.name)"
        return f"SELECT {self._key}, {columns}, {expires_at}, {erased} FROM users u {join} ORDER BY {self._key}"  # noqa: S608 - our own names

    def _part(self, table: str) -> Iterator[Row]:
        columns = self._columns[table]
        if not columns:
            return iter(())
        selected, join = self._select(table, "t", _PARTS[table][1]), ""
        if table == "devices":
            dehydrated = "NULL"
            if self._columns["dehydrated_devices"]:
                dehydrated = "d.device_id"
                join = "LEFT JOIN dehydrated_devices d ON d.user_id = t.user_id AND d.device_id = t.device_id"
            selected += f", {dehydrated}"
        return self._source.rows(
            f"SELECT {self._key}, {selected} FROM users u JOIN {table} t ON t.user_id = u.name {join} ORDER BY {self._key}"  # noqa: S608
        )

    def _select(self, table: str, alias: str, wanted: tuple[str, ...]) -> str:
        return ", ".join(f"{alias}.{column}" if column in self._columns[table] else "NULL" for column in wanted)

    def _refuse_newer(self) -> None:
        compatible = NEWEST
        if self._columns["schema_compat_version"]:
            compatible = max((_number(row[0]) for row in self._source.rows(_COMPATIBLE)), default=NEWEST)
        if compatible > NEWEST:
            raise SourceError(
                f"This Synapse is too new: its database needs schema {compatible}, and this version of threepid "
                f"knows {NEWEST}. Use a newer version of threepid."
            )


class _Part:
    """The rows of one table, of which each user takes the next ones."""

    def __init__(self, rows: Iterator[Row], kind: type[Struct], *, ordered: bool) -> None:
        """`ordered`: the keys of users are numbers in ascending order."""
        self._rows = rows
        self._kind: Any = kind
        self._ordered = ordered
        self._next = next(rows, None)
        self.passed_over = 0
        """Number of rows of users that were not asked for."""

    def of(self, key: Any) -> list[Any]:
        """The rows of the user with this key, who comes after all users that were asked for before."""
        found: list[Any] = []
        row = self._next
        while row is not None:
            if row[0] == key:
                found.append(self._kind(*row[1:]))
            elif self._ordered and row[0] < key:
                self.passed_over += 1
            else:
                break
            row = self._next = next(self._rows, None)
        return found


_OTHERS: Final = ("account_validity", "erased_users", "dehydrated_devices", "schema_compat_version")
_COMPATIBLE: Final = "SELECT compat_version FROM schema_compat_version"


def _number(value: Any) -> int:
    return value if isinstance(value, int) else NEWEST + 1
