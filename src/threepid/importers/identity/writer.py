"""Writes what an importer brings from an identity server, in batches that are each one transaction.

Associations come from a log, which each run reads from where the last one stopped. The latest proof of an address wins, whichever
server it was given to. All other rows have no order, so that marks tell which of them were brought before: what was deleted here
since then is not brought back.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeVar

from msgspec import Struct

from threepid.clock import DAY
from threepid.config import Identity
from threepid.domain.accounts.devices import MOST_TOKENS
from threepid.domain.context import Context
from threepid.domain.operators.operator import Operator
from threepid.importers.identity.latest import Key, Latest
from threepid.importers.identity.records import (
    Acceptance,
    Batch,
    Binding,
    Invitation,
    InvitationKey,
    Row,
    Token,
    Unbinding,
    mark_of,
    part_of,
)
from threepid.importers.records import Finding, Kind
from threepid.importers.steps import Steps
from threepid.storage import associations, identity_imports
from threepid.storage.associations import Association
from threepid.storage.engine.database import Tx

BATCH: Final = 1000
"""Number of rows in one transaction."""
_ID_BYTES: Final = 9


R = TypeVar("R", Binding | Unbinding, Row)


class Outcome(Struct, frozen=True):
    """What a batch did."""

    carried: Counter[str]
    inserted: Counter[str]
    """The part of it that is new."""
    replaced: int
    unchanged: int
    findings: list[Finding]


class Writer:
    """One run of an import."""

    def __init__(self, context: Context, source: str, settings: Identity, operator: Operator, *, dry_run: bool) -> None:
        """`source` names the other server; `settings` say how long tokens and invitations live here. `operator` imports."""
        self._context = context
        self._source = source
        self._settings = settings
        self.steps = Steps(context, source, operator, dry_run=dry_run)
        """The transactions of the run."""
        self._done = 0
        self._position = 0
        self._is_later = False
        self._claimed: dict[Key, Association] = {}
        """What a dry run would have bound."""

    async def fingerprint(self) -> str | None:
        """What the latest run of this source knew the other server by; None if there was no run."""
        earlier = await self.steps.earlier()
        return None if earlier is None else earlier.settings

    async def begin(self, *, settings: str, total: int) -> int:
        """Begin the run; returns the number of the last row of the log that an earlier one imported."""
        earlier = await self.steps.earlier()
        self._position = 0 if earlier is None else earlier.position
        self._is_later = self._position > 0
        await self.steps.begin(settings=settings, total=total)
        return self._position

    async def write(self, batch: Batch) -> Outcome:
        """Write a batch. Raises Superseded, and the errors of the database: then nothing of the batch is written."""
        self._done += batch.rows
        self._position = self._position if batch.position is None else batch.position
        return await self.steps.take(
            lambda tx: self._step(tx, batch),
            lambda outcome: {**outcome.inserted, "replaced": outcome.replaced},
            done=self._done,
            position=self._position,
        )

    async def finish(self) -> None:
        """End the run. Raises Superseded."""
        await self.steps.finish()

    async def stored(self) -> tuple[int, int]:
        """Number of associations here, and number of other rows that were brought in all runs."""
        return await self._context.database.read_aside(
            lambda tx: (associations.count(tx), identity_imports.count_recorded(tx, self._source))
        )

    def _step(self, tx: Tx, batch: Batch) -> Outcome:
        outcome = Outcome(Counter(), Counter(), 0, 0, [])
        gone = self._deactivated(tx, batch)
        log, passed = batch.log, 0
        if batch.position is None and log:
            new = self._unmarked(tx, log)
            log, passed = new, len(log) - len(new)
            outcome.carried["associations"] += passed
        replaced, unchanged = self._write_log(tx, log, gone, outcome)
        unchanged += passed + self._write_others(tx, batch.others, gone, outcome)
        return Outcome(outcome.carried, outcome.inserted, replaced, unchanged, outcome.findings)

    def _unmarked(self, tx: Tx, rows: Sequence[R]) -> list[R]:
        """Those rows that no run brought before, which are marked now. Of equal ones, the last."""
        marks = {mark_of(row): row for row in rows}
        known = identity_imports.known(tx, self._source, marks)
        identity_imports.record(tx, self._source, marks.keys() - known)
        return [row for mark, row in marks.items() if mark not in known]

    def _deactivated(self, tx: Tx, batch: Batch) -> set[str]:
        """Those users of our own homeserver whose account is deactivated: nothing of theirs comes back."""
        own = f":{self._context.server_name}"
        users = {one.mxid for one in batch.log if isinstance(one, Binding) and one.mxid.endswith(own)}
        users |= {
            one.user_id for one in batch.others if isinstance(one, Token | Acceptance) and one.user_id.endswith(own)
        }
        return identity_imports.deactivated(tx, users) if users else set()

    # -- associations

    def _write_log(
        self, tx: Tx, log: Sequence[Binding | Unbinding], gone: set[str], outcome: Outcome
    ) -> tuple[int, int]:
        """Write a part of the log, and return how many associations were replaced and left as they are."""
        if not log:
            return 0, 0
        addresses = {(one.medium, one.canonical) for one in log}
        before = identity_imports.bound(tx, addresses)
        if self.steps.dry_run:
            before = {key: self._claimed[key] for key in addresses if key in self._claimed} | before
        latest = Latest(before)
        for one in log:
            if isinstance(one, Unbinding):
                outcome.carried["unbound"] += 1
                # In the first run there is nothing yet that was imported, so that it could be unbound.
                if self._is_later:
                    latest.unbind(one)
            elif one.mxid in gone:
                outcome.findings.append(Finding(Kind.DEACTIVATED, one.mxid, f"{one.medium} {one.canonical}"))
            else:
                latest.bind(one)
        outcome.findings.extend(latest.losers)
        outcome.carried["associations"] += latest.carried
        outcome.inserted["associations"] += len(latest.new)
        outcome.inserted["unbound"] += len(latest.unbound)
        if self.steps.dry_run:
            self._claimed |= latest.found
        else:
            for gone_one in latest.unbound:
                identity_imports.unbind(tx, gone_one)
            identity_imports.bind(tx, latest.new, latest.again, latest.spellings)
        return len(latest.again), latest.unchanged

    # -- everything else

    def _write_others(self, tx: Tx, rows: Sequence[Row], gone: set[str], outcome: Outcome) -> int:
        """Write rows that have no log, and return how many an earlier run brought."""
        if not rows:
            return 0
        new = self._unmarked(tx, rows)
        for row in rows:
            if not _is_of(row, gone):
                outcome.carried[part_of(row)] += 1
            elif isinstance(row, Token | Acceptance):
                outcome.findings.append(Finding(Kind.DEACTIVATED, row.user_id, part_of(row)))
        self._insert(tx, [row for row in new if not _is_of(row, gone)], outcome)
        return len(rows) - len(new)

    def _insert(self, tx: Tx, new: Sequence[Row], outcome: Outcome) -> None:
        now = self._context.clock.now()
        life = self._settings.token_days * DAY
        tokens = [
            identity_imports.Token(one.token_hash, one.user_id, one.created_at, now + life if life else None)
            for one in new
            if isinstance(one, Token)
        ]
        inserted = identity_imports.insert_tokens(tx, tokens)
        outcome.inserted["tokens"] += inserted
        outcome.findings.extend([Finding(Kind.TOKEN_TAKEN, detail="identity server")] * (len(tokens) - inserted))
        if tokens:
            users = {one.user_id for one in tokens}
            surplus = identity_imports.delete_surplus_tokens(tx, users, at_most=MOST_TOKENS)
            outcome.findings.extend([Finding(Kind.SURPLUS_TOKEN)] * surplus)
        # They may have waited for years there, and wait here as long as new ones.
        expires_at = now + self._settings.invite_days * DAY
        outcome.inserted["invitation_keys"] += identity_imports.insert_keys(
            tx,
            [
                identity_imports.Key(one.public_key, one.created_at, expires_at)
                for one in new
                if isinstance(one, InvitationKey)
            ],
        )
        outcome.inserted["invitations"] += identity_imports.insert_invites(
            tx, [self._invite(one, expires_at) for one in new if isinstance(one, Invitation)]
        )
        outcome.inserted["accepted_terms"] += identity_imports.accept_terms(
            tx,
            [
                identity_imports.Acceptance(one.user_id, one.document, one.version, one.accepted_at)
                for one in new
                if isinstance(one, Acceptance)
            ],
        )

    def _invite(self, one: Invitation, expires_at: int) -> identity_imports.Invite:
        return identity_imports.Invite(
            self._context.entropy.token(count=_ID_BYTES),
            one.token,
            one.medium,
            one.canonical,
            one.room_id,
            one.sender,
            one.public_key,
            one.created_at,
            expires_at,
        )


def _is_of(row: Row, users: set[str]) -> bool:
    return bool(users) and isinstance(row, Token | Acceptance) and row.user_id in users
