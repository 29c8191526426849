"""A Sydent, as an import reads it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from threepid.clock import SECOND
from threepid.config import TermsDocument
from threepid.importers.identity.checks import Checks
from threepid.importers.identity.records import Acceptance, Batch, Binding, Row, Token, Unbinding
from threepid.importers.identity.run import Origin
from threepid.importers.records import Kind
from threepid.importers.source import Row as Values
from threepid.importers.source import Source
from threepid.importers.sydent.configuration import Settings
from threepid.importers.sydent.reader import COUNTED, LOG, Reader
from threepid.importers.values import shown, time_of

_OTHERS: Final = COUNTED[1:]


class Sydent(Origin):
    """A Sydent: its database, and what its configuration says."""

    kind = "sydent"

    def __init__(
        self,
        source: Source,
        settings: Settings,
        *,
        now: int,
        hash_token: Callable[[str], bytes],
        documents: Iterable[TermsDocument],
    ) -> None:
        """`documents` are the terms of this identity server. Raises SourceError if the database is not one of Sydent."""
        super().__init__(source, COUNTED)
        self._reader = Reader(source)
        self._settings = settings
        self._now = now
        self._checks = Checks(now=now, hash_token=hash_token, documents=documents)
        self.server_name = settings.server_name
        self.signing_keys = settings.key
        self.pepper = self._reader.pepper()

    def count(self, position: int) -> dict[str, int]:
        """Number of rows of each table that are to be read, those of the log after `position`."""
        return self._reader.count(position)

    def batches(self, position: int) -> Iterator[Batch]:
        """All rows, those of the log after `position`. Raises SourceError."""
        yield from self._log(position)
        for medium, address, server in self._reader.of_other_servers():
            self._checks.note(Kind.OTHER_SERVER_BOUND, detail=f"{shown(medium)} {shown(address)} of {shown(server)}")
        if sessions := self._reader.sessions():
            self._checks.note(Kind.VALIDATION, detail=f"{sessions} rows")
        readers: dict[str, tuple[Iterator[Values], Callable[[Values], Row | None]]] = {
            "tokens": (self._reader.tokens(), self._token),
            "invite_tokens": (self._reader.invitations(), self._invitation),
            "ephemeral_public_keys": (self._reader.keys(), self._key),
            "accepted_terms_urls": (self._reader.accepted(), self._acceptance),
        }
        for table in _OTHERS:
            rows, check = readers[table]
            for values in self._in_batches(table, rows):
                found = [row for row in map(check, values) if row is not None]
                yield Batch(len(values), [], found, self._checks.taken())
        if findings := self._checks.taken():
            yield Batch(0, [], [], findings)

    def _log(self, position: int) -> Iterator[Batch]:
        for values in self._in_batches(LOG, self._reader.log(position)):
            log: list[Binding | Unbinding] = []
            for number, medium, address, mxid, *times in values:
                if isinstance(number, int):
                    position = number
                record: Binding | Unbinding | None
                if mxid is None:
                    record = self._checks.unbinding(medium, address, times[0])
                else:
                    record = self._checks.binding(medium, address, mxid, times)
                if record is not None:
                    log.append(record)
            yield Batch(len(values), log, [], self._checks.taken(), position)

    def _token(self, values: Values) -> Token | None:
        user_id, token, created_at = values
        if created_at is None:
            self._checks.note(Kind.UNKNOWN_USER, user_id, "access token")
            return None
        return self._checks.token(user_id, token, time_of(created_at) or self._now)

    def _invitation(self, values: Values) -> Row | None:
        medium, address, room_id, sender, token, received, sent = values
        if sent is not None:
            self._checks.note(Kind.DELIVERED_INVITE, sender, f"{shown(medium)} {shown(address)}")
            return None
        # Sydent does not know which key belongs to which invitation.
        return self._checks.invitation(
            medium, address, room_id, sender, token, public_key="", created_at=time_of(received, SECOND)
        )

    def _key(self, values: Values) -> Row | None:
        public_key, made = values
        return self._checks.key(public_key, time_of(made, SECOND))

    def _acceptance(self, values: Values) -> Acceptance | None:
        user_id, url, version = values
        if version != self._settings.terms_version or version is None:
            self._checks.note(Kind.EARLIER_TERMS, user_id, shown(url))
            return None
        return self._checks.acceptance(user_id, url, None)
