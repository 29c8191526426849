"""The rows of a Sydent, from one snapshot of its database.

https://github.com/matrix-org/sydent/blob/main/sydent/db/sqlitedb.py. `local_threepid_associations` is a log: a row that changes
gets a new number, numbers are not used again, and a row without a user ID says that the address was unbound.
"""

from collections.abc import Iterator
from typing import Final

from threepid.importers.source import Row, Source, SourceError

NEWEST: Final = 5
"""The newest version of Sydent's schema that this reader was written for."""
LOG: Final = "local_threepid_associations"
_REQUIRED: Final = {
    LOG: {"id", "medium", "address", "mxid", "ts", "notBefore", "notAfter"},
    "global_threepid_associations": {"medium", "address", "originServer"},
    "invite_tokens": {"medium", "address", "room_id", "sender", "token"},
}
_OPTIONAL: Final = {
    "ephemeral_public_keys": {"public_key"},
    "hashing_metadata": {"lookup_pepper"},
    "accounts": {"user_id", "created_ts"},
    "tokens": {"token", "user_id"},
    "accepted_terms_urls": {"user_id", "url"},
    "threepid_validation_sessions": {"id"},
}
"""Tables that earlier versions do not have."""
COUNTED: Final = (LOG, "tokens", "invite_tokens", "ephemeral_public_keys", "accepted_terms_urls")


class Reader:
    """Reads a Sydent's tables."""

    def __init__(self, source: Source) -> None:
        """Check that `source` is a Sydent's database. Raises SourceError."""
        self._source = source
        self._columns = {table: source.columns(table) for table in (*_REQUIRED, *_OPTIONAL)}
        missing = [table for table, columns in _REQUIRED.items() if not columns <= self._columns[table]]
        if missing or source.engine != "sqlite":
            raise SourceError(f"This is not the database of a Sydent: it has no {', '.join(missing)}.")
        ((version,),) = source.rows("SELECT user_version FROM pragma_user_version")
        if version > NEWEST:
            raise SourceError(
                f"This Sydent is too new: its database has schema {version}, and this version of threepid knows {NEWEST}. "
                "Use a newer version of threepid."
            )

    def count(self, position: int) -> dict[str, int]:
        """Number of rows of each table in `COUNTED`, those of the log after `position`."""
        found = {table: self._source.count(table) if self._has(table) else 0 for table in COUNTED}
        if position:
            found[LOG] = self._number(f"SELECT COUNT(*) FROM {LOG} WHERE id > {position}")  # noqa: S608 - a number
        return found

    def pepper(self) -> str | None:
        """The pepper of lookups; None if there was no lookup yet. Raises SourceError if it cannot be one."""
        if not self._has("hashing_metadata"):
            return None
        for (pepper,) in self._source.rows("SELECT lookup_pepper FROM hashing_metadata ORDER BY id LIMIT 1"):
            if not isinstance(pepper, str) or not pepper.isprintable() or not 0 < len(pepper) <= 256:  # noqa: PLR2004 - its column
                raise SourceError("This database is damaged: its pepper is no text. Restore it from a backup.")
            return pepper
        return None

    def log(self, position: int) -> Iterator[Row]:
        """The rows after `position`: number, medium, address, user ID, and times of binding, beginning and end."""
        after = f"WHERE id > {position}" if position else ""
        return self._source.rows(
            f"SELECT id, medium, address, mxid, ts, notBefore, notAfter FROM {LOG} {after} ORDER BY id"  # noqa: S608
        )

    def of_other_servers(self) -> Iterator[Row]:
        """Associations that no row of the log names: medium, address, and the server that sent them."""
        return self._source.rows(
            f"SELECT DISTINCT g.medium, g.address, g.originServer FROM global_threepid_associations g LEFT JOIN {LOG} l "  # noqa: S608
            "ON l.medium = g.medium AND l.address = g.address WHERE l.medium IS NULL"
        )

    def tokens(self) -> Iterator[Row]:
        """Access tokens, oldest first: user ID, token, and when the account was created, NULL if there is no account."""
        if not self._has("tokens"):
            return iter(())
        created, join = "NULL", ""
        if self._has("accounts"):
            created, join = "a.known", self._joined("created_ts")
        return self._source.rows(f"SELECT t.user_id, t.token, {created} FROM tokens t {join} ORDER BY t.rowid")  # noqa: S608

    def invitations(self) -> Iterator[Row]:
        """Invitations: medium, address, room, sender, token, and when they came and were passed on, in seconds."""
        received, sent = (self._or_null("invite_tokens", column) for column in ("received_ts", "sent_ts"))
        return self._source.rows(
            f"SELECT medium, address, room_id, sender, token, {received}, {sent} FROM invite_tokens ORDER BY id"  # noqa: S608
        )

    def keys(self) -> Iterator[Row]:
        """Public keys of invitations, with when they were made, in seconds."""
        if not self._has("ephemeral_public_keys"):
            return iter(())
        made = self._or_null("ephemeral_public_keys", "persistence_ts")
        return self._source.rows(f"SELECT public_key, {made} FROM ephemeral_public_keys ORDER BY id")  # noqa: S608

    def accepted(self) -> Iterator[Row]:
        """Accepted terms: user ID, URL, and the version of all terms that the user accepted last."""
        if not self._has("accepted_terms_urls"):
            return iter(())
        version, join = "NULL", ""
        if "consent_version" in self._columns["accounts"]:
            version, join = "a.known", self._joined("consent_version")
        return self._source.rows(
            f"SELECT t.user_id, t.url, {version} FROM accepted_terms_urls t {join} ORDER BY t.rowid"  # noqa: S608 - our own names
        )

    def sessions(self) -> int:
        """Number of validation sessions."""
        return self._source.count("threepid_validation_sessions") if self._has("threepid_validation_sessions") else 0

    @staticmethod
    def _joined(column: str) -> str:
        # Grouped, because a forged table may have a user twice.
        known = f"SELECT user_id, MIN({column}) AS known FROM accounts GROUP BY user_id"  # noqa: S608 - our own names
        return f"LEFT JOIN ({known}) a ON a.user_id = t.user_id"

    def _has(self, table: str) -> bool:
        return table in _REQUIRED or _OPTIONAL[table] <= self._columns[table]

    def _or_null(self, table: str, column: str) -> str:
        return column if column in self._columns[table] else "NULL"

    def _number(self, query: str) -> int:
        ((found,),) = self._source.rows(query)
        return int(found)
