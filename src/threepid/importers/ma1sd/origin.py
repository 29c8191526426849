"""A ma1sd, as an import reads it."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

from threepid.clock import SECOND
from threepid.config import TermsDocument
from threepid.domain.identity.associations import ASSOCIATION_LIFE
from threepid.importers.identity.checks import Checks, plain_key
from threepid.importers.identity.records import Batch, Binding, InvitationKey, Row, Unbinding
from threepid.importers.identity.run import Origin
from threepid.importers.identity.writer import BATCH
from threepid.importers.ma1sd import keys
from threepid.importers.ma1sd.configuration import Settings
from threepid.importers.ma1sd.reader import COUNTED, Reader
from threepid.importers.records import Kind
from threepid.importers.source import Row as Values
from threepid.importers.source import Source
from threepid.importers.values import shown, time_of

_SECONDS_BELOW: Final = 100_000_000_000
"""ma1sd writes some times in seconds and others in milliseconds; this is the year 5138 in seconds, and 1973 in milliseconds."""
_DIRECTORY: Final = "hashes"
_LOGLESS: Final = ("account", "invite_3pid", "accepted")


class Ma1sd(Origin):
    """A ma1sd: its database, its keys, and what its configuration says."""

    kind = "ma1sd"

    def __init__(
        self,
        source: Source,
        settings: Settings,
        *,
        now: int,
        hash_token: Callable[[str], bytes],
        documents: Iterable[TermsDocument],
        with_directory: bool = False,
    ) -> None:
        """`documents` are the terms of this identity server.

        `with_directory`: bind the addresses that ma1sd had copied from its directories. Raises SourceError if the database is not
        one of ma1sd, or the keys cannot be read.
        """
        super().__init__(source, COUNTED)
        self._reader = Reader(source)
        self._with_directory = with_directory
        self._now = now
        self._checks = Checks(now=now, hash_token=hash_token, documents=documents)
        self._folder = settings.keys
        self.server_name = settings.server_name
        if settings.keys is not None:
            self.signing_keys = keys.signing_keys(settings.keys)

    def count(self, position: int) -> dict[str, int]:  # noqa: ARG002 - ma1sd has no log
        """Number of rows of each table."""
        return {table: self._reader.count(table) for table in COUNTED}

    def batches(self, position: int) -> Iterator[Batch]:  # noqa: ARG002 - ma1sd has no log
        """All rows. Raises SourceError."""
        checks = {"account": self._token, "invite_3pid": self._invitation, "accepted": self._acceptance}
        yield from self._directory()
        yield from self._keys()
        for table in _LOGLESS:
            for values in self._in_batches(table, self._reader.rows(table)):
                found = [row for each in values for row in checks[table](each)]
                yield Batch(len(values), [], found, self._checks.taken())

    def _directory(self) -> Iterator[Batch]:
        """Addresses that ma1sd copied from its directories. Nobody proved them, so that a proof that somebody gave here wins."""
        for values in self._in_batches(_DIRECTORY, self._reader.rows(_DIRECTORY)):
            found: list[Binding | Unbinding] = []
            for mxid, medium, address in values:
                if not self._with_directory:
                    self._checks.note(Kind.DIRECTORY, mxid, f"{shown(medium)} {shown(address)}")
                    continue
                times = (0, 0, self._now + ASSOCIATION_LIFE)
                if (binding := self._checks.binding(medium, address, mxid, times)) is not None:
                    found.append(binding)
            yield Batch(len(values), found, [], self._checks.taken())

    def _keys(self) -> Iterator[Batch]:
        found = keys.invitation_keys(self._folder) if self._folder is not None else iter(())
        while values := list(islice(found, BATCH)):
            made = [self._checks.key(key, None) for key in values]
            yield Batch(0, [], [key for key in made if key is not None], self._checks.taken())

    def _token(self, values: Values) -> Iterator[Row]:
        user_id, token, created_at = values
        if (found := self._checks.token(user_id, token, _time(created_at) or self._now)) is not None:
            yield found

    def _invitation(self, values: Values) -> Iterator[Row]:
        token, sender, medium, address, room_id, properties = values
        known = _object(properties)
        key = plain_key(known.get("e_key_public"))
        created_at = _time(int(made)) if (made := str(known.get("created_at"))).isdecimal() and len(made) < 20 else None  # noqa: PLR2004
        found = self._checks.invitation(
            medium, address, room_id, sender, token, public_key=key or "", created_at=created_at
        )
        if found is not None:
            yield found
            if key is not None:
                yield InvitationKey(key, found.created_at)

    def _acceptance(self, values: Values) -> Iterator[Row]:
        user_id, url, accepted_at = values
        if (found := self._checks.acceptance(user_id, url, _time(accepted_at))) is not None:
            yield found


def _time(value: Any) -> int | None:
    found = time_of(value)
    return found * SECOND if found is not None and found < _SECONDS_BELOW else found


def _object(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}
