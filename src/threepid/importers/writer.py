"""Writes the accounts that an importer brings, in batches that are each one transaction.

What the other server had of an account at the last run is known by a hash, and so is what we had afterwards:

| at the other server | here | what happens |
|---|---|---|
| new | no account | it is inserted |
| new | an account that was created here | a finding; nothing is written |
| unchanged | whatever | nothing |
| changed | unchanged | it is replaced |
| changed | changed | a finding; nothing is written |

So a run after a killed one, and a second run after the other server stopped, compare everything and write what is missing.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from threepid.clock import DAY, MINUTE
from threepid.config import Accounts
from threepid.domain.context import Context
from threepid.domain.networks import known_network
from threepid.domain.operators.operator import Operator
from threepid.importers.records import AccessToken, Account, Device, Finding, Kind, numbers_of, ours, state_of, theirs
from threepid.importers.steps import Steps
from threepid.storage import imports
from threepid.storage.engine.database import Tx
from threepid.storage.threepids import Threepid

BATCH: Final = 1000
"""Number of accounts in one transaction."""
_UNSETTLED: Final = b""
"""What is recorded of an account with a conflict, so that the next run looks at it again."""


class Outcome(Struct, frozen=True):
    """What a batch did."""

    inserted: Counter[str]
    """How many new accounts were inserted, and parts of them."""
    replaced: int
    unchanged: int
    findings: list[Finding]


class Writer:
    """One run of an import."""

    def __init__(
        self,
        context: Context,
        source: str,
        settings: Accounts,
        operator: Operator,
        *,
        is_homeserver: bool,
        dry_run: bool,
    ) -> None:
        """`source` names the other server; `settings` say how long tokens live here. A dry run undoes each batch.

        `operator` imports. `is_homeserver`: the other server will be the homeserver beside us, so it has the accounts already.
        """
        self._is_homeserver = is_homeserver
        self._context = context
        self._source = source
        self._refresh_life = settings.refresh_token_days * DAY
        self._access_life = settings.access_token_minutes * MINUTE
        self._steps = Steps(context, source, operator, dry_run=dry_run)
        self._dry_run = dry_run
        self._done = 0
        self._claimed: dict[tuple[str, str], str] = {}
        """The owners of addresses that a dry run would have given away."""
        self._again: list[Account] = []

    async def earlier(self) -> imports.Run | None:
        """The latest run of this source, if there was one."""
        return await self._steps.earlier()

    async def begin(self, *, settings: str, total: int) -> None:
        """Begin the run, and take over from one that is still running."""
        await self._steps.begin(settings=settings, total=total)

    async def write(self, accounts: Sequence[Account]) -> Outcome:
        """Write a batch. Raises Superseded, and the errors of the database: then nothing of the batch is written."""
        self._done += len(accounts)
        outcome = await self._write(accounts)
        again = {finding.user_id for finding in outcome.findings if finding.kind is Kind.CONTACT_TAKEN}
        self._again += [account for account in accounts if account.user_id in again]
        if not again:
            return outcome
        kept = [finding for finding in outcome.findings if finding.kind is not Kind.CONTACT_TAKEN]
        return msgspec.structs.replace(outcome, findings=kept)

    async def finish(self) -> list[Finding]:
        """Try contacts again that another account had, which may have lost them since, and end the run."""
        findings: list[Finding] = []
        for first in range(0, len(self._again), BATCH):
            outcome = await self._write(self._again[first : first + BATCH])
            findings += outcome.findings
        await self._steps.finish()
        return findings

    async def stored(self) -> imports.Stored:
        """How much there is of what was imported from this source, in all runs."""
        return await self._context.database.read_aside(lambda tx: imports.stored(tx, self._source))

    async def _write(self, accounts: Sequence[Account]) -> Outcome:
        return await self._steps.take(
            lambda tx: self._step(tx, accounts),
            lambda outcome: {**outcome.inserted, "replaced": outcome.replaced},
            done=self._done,
        )

    def _step(self, tx: Tx, accounts: Sequence[Account]) -> Outcome:
        findings: list[Finding] = []
        known = imports.known(tx, (account.user_id for account in accounts))
        new: list[Account] = []
        changed: list[Account] = []
        unchanged = 0
        for account in accounts:
            before = known.get(account.user_id)
            if before is None:
                new.append(account)
            elif before.source != self._source:
                findings.append(Finding(Kind.ACCOUNT_EXISTS, account.user_id))
            elif before.theirs == theirs(account):
                unchanged += 1
            else:
                changed.append(account)
        replaced = self._replaceable(tx, changed, known, findings)
        if replaced:
            imports.empty(tx, [account.user_id for account in replaced])
        inserted = numbers_of(new)
        unsettled: set[str] = set()
        settled = self._without_taken(tx, [*new, *replaced], findings, unsettled)
        now = self._context.clock.now()
        imports.insert_accounts(tx, [_row(account, now) for account in settled[: len(new)]])
        imports.update_accounts(tx, [_row(account, now) for account in settled[len(new) :]])
        if self._is_homeserver:
            imports.provisioned(tx, (account.user_id for account in new), now)
        self._insert_parts(tx, settled, now, findings)
        if not self._dry_run:
            imports.record(
                tx,
                [
                    imports.Record(
                        given.user_id,
                        self._source,
                        _UNSETTLED if given.user_id in unsettled else theirs(given),
                        ours(state_of(account)),
                    )
                    for given, account in zip([*new, *replaced], settled, strict=True)
                ],
            )
        return Outcome(inserted, len(replaced), unchanged, findings)

    @staticmethod
    def _replaceable(
        tx: Tx, changed: Sequence[Account], known: dict[str, imports.Known], findings: list[Finding]
    ) -> list[Account]:
        """Those accounts that are here as they were imported."""
        if not changed:
            return []
        states = imports.states(tx, (account.user_id for account in changed))
        found = []
        for account in changed:
            if ours(states[account.user_id]) == known[account.user_id].ours:
                found.append(account)
            else:
                findings.append(Finding(Kind.CHANGED_HERE, account.user_id))
        return found

    def _without_taken(
        self, tx: Tx, accounts: Sequence[Account], findings: list[Finding], unsettled: set[str]
    ) -> list[Account]:
        """The accounts without the contacts that belong to other accounts, which become findings."""
        owners = imports.owners(tx, {contact.canonical for account in accounts for contact in account.contacts})
        owners |= self._claimed
        found = []
        for account in accounts:
            kept: list[Threepid] = []
            for contact in account.contacts:
                owner = owners.setdefault((contact.medium, contact.canonical), account.user_id)
                if owner == account.user_id:
                    kept.append(contact)
                    if self._dry_run:
                        self._claimed[contact.medium, contact.canonical] = owner
                else:
                    unsettled.add(account.user_id)
                    detail = f"{contact.medium} {contact.address}, which belongs to {owner}"
                    findings.append(Finding(Kind.CONTACT_TAKEN, account.user_id, detail))
            found.append(
                account
                if len(kept) == len(account.contacts)
                else msgspec.structs.replace(account, contacts=tuple(kept))
            )
        return found

    def _insert_parts(self, tx: Tx, accounts: Sequence[Account], now: int, findings: list[Finding]) -> None:
        contacts = [imports.Contact(a.user_id, contact) for a in accounts for contact in a.contacts]
        imports.insert_contacts(tx, contacts)
        imports.insert_devices(tx, [_device(a.user_id, device) for a in accounts for device in a.devices])
        refresh = [
            imports.RefreshToken(
                a.user_id,
                token.device_id,
                token.token_hash,
                token.parent_hash,
                a.created_at,
                now + self._refresh_life if token.expires_at is None else token.expires_at,
            )
            for a in accounts
            for token in a.refresh_tokens
        ]
        access = [
            imports.AccessToken(
                a.user_id,
                token.device_id,
                token.token_hash,
                a.created_at,
                self._ends(token, now),
                token.refresh_hash,
                token.first_use_spends,
            )
            for a in accounts
            for token in a.access_tokens
        ]
        missing = len(refresh) + len(access) - imports.insert_tokens(tx, refresh, access)
        findings += [Finding(Kind.TOKEN_TAKEN)] * missing

    def _ends(self, token: AccessToken, now: int) -> int | None:
        """When an access token expires: with a refresh token, not later than a new one, because its client can get that."""
        if token.expires_at is None or token.refresh_hash is None:
            return token.expires_at
        return min(token.expires_at, now + self._access_life)


def _row(account: Account, now: int) -> imports.Account:
    return imports.Account(
        user_id=account.user_id,
        password_hash=account.password_hash,
        created_at=account.created_at,
        deactivated_at=now if account.deactivated else None,
        locked_at=now if account.locked else None,
        admin_at=now if account.admin else None,
        application_service=account.application_service,
    )


def _device(user_id: str, device: Device) -> imports.Device:
    network = _network(device.seen_from) if device.seen_from else None
    return imports.Device(
        user_id,
        device.device_id,
        device.display_name,
        device.created_at,
        device.seen_at,
        device.seen_from,
        network,
        device.user_agent,
    )


@lru_cache(10_000)
def _network(address: str) -> str | None:
    return known_network(address)
