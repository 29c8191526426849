"""One import from a Synapse: reads, checks and writes, and compares the counts at the end."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from threepid import config
from threepid.domain.context import Context
from threepid.domain.operators.operator import Operator
from threepid.domain.secrets.password_peppers import PasswordPeppers
from threepid.importers.records import PARTS, Account, Finding, Kind, numbers_of
from threepid.importers.result import Result
from threepid.importers.source import Source, SourceError
from threepid.importers.synapse.checks import Checks
from threepid.importers.synapse.configuration import Settings
from threepid.importers.synapse.reader import COUNTED, Reader
from threepid.importers.writer import BATCH, Writer


class Import:
    """An import from one Synapse."""

    def __init__(
        self,
        context: Context,
        own: config.Accounts,
        settings: Settings,
        source: Source,
        operator: Operator,
        *,
        dry_run: bool,
    ) -> None:
        """`own` are the settings of `[accounts]`, `settings` Synapse's, and `operator` who imports.

        Raises SourceError if the database is not one of Synapse.
        """
        self._context = context
        self._settings = settings
        self._reader = Reader(source)
        self._dry_run = dry_run
        name = f"synapse {settings.server_name}"
        self._writer = Writer(context, name, own, operator, is_homeserver=True, dry_run=dry_run)
        self._findings: Counter[Kind] = Counter()
        self._carried: Counter[str] = Counter()
        self._inserted: Counter[str] = Counter()
        self._replaced = self._unchanged = 0
        self.total = self._reader.count("users")
        """Number of users that there are."""

    async def run(self, report: Callable[[Finding], None], progress: Callable[[int], None] = lambda _: None) -> Result:
        """Import everything. `report` gets each finding, `progress` how many users were done since the last call.

        Raises SourceError, and the errors of the database and of key files. A run after that continues.
        """
        await self._refuse_other_settings()
        peppers = PasswordPeppers(Path(self._context.config.server.data_dir) / "keys")
        mark = peppers.mark(self._settings.pepper, None if self._dry_run else self._context.entropy)
        checks = Checks(
            self._settings,
            now=self._context.clock.now(),
            hash_token=self._context.vault.hash_token,
            peppered=lambda password_hash: mark + password_hash,
            spellings=self._reader.spellings(),
        )
        await self._writer.begin(settings=self._fingerprint(), total=self.total)
        await self._write(checks, report, progress)
        self._note(await self._writer.finish(), report)
        unknown = self._reader.unknown_users()
        self._note(self._unreadable(unknown), report)
        return Result(
            dry_run=self._dry_run,
            found={table: self._reader.count(table) for table in COUNTED},
            carried={part: self._carried[part] for part in PARTS},
            inserted={part: self._inserted[part] for part in PARTS},
            replaced=self._replaced,
            unchanged=self._unchanged,
            findings={kind.name: self._findings[kind] for kind in Kind if self._findings[kind]},
            mismatches=[*self._not_read(checks, unknown), *await self._not_stored()],
        )

    async def _write(self, checks: Checks, report: Callable[[Finding], None], progress: Callable[[int], None]) -> None:
        # Nothing is gained by reading the next batch in a thread meanwhile: both sides are Python, and share the GIL.
        for users, accounts, findings in self._batches(checks):
            outcome = await self._writer.write(accounts)
            self._carried += numbers_of(accounts)
            self._inserted += outcome.inserted
            self._replaced += outcome.replaced
            self._unchanged += outcome.unchanged
            self._note([*findings, *outcome.findings], report)
            progress(users)

    def _batches(self, checks: Checks) -> Iterator[tuple[int, list[Account], list[Finding]]]:
        accounts: list[Account] = []
        findings: list[Finding] = []
        users = 0
        for rows in self._reader.users():
            account, found = checks.account(rows)
            users += 1
            findings += found
            if account is not None:
                accounts.append(account)
            if users == BATCH:
                yield users, accounts, findings
                users, accounts, findings = 0, [], []
        if users:
            yield users, accounts, findings

    def _note(self, findings: list[Finding], report: Callable[[Finding], None]) -> None:
        for finding in findings:
            self._findings[finding.kind] += 1
            report(finding)

    def _unreadable(self, unknown: Mapping[str, int]) -> list[Finding]:
        """Findings of rows that belong to no user, or that cannot be read."""
        found = [
            Finding(Kind.UNKNOWN_USER, detail=f"{count} rows of {table}") for table, count in unknown.items() if count
        ]
        if self._reader.unreadable:
            found.append(Finding(Kind.DAMAGED, detail=f"{self._reader.unreadable} rows with text that is not UTF-8"))
        return found

    def _not_read(self, checks: Checks, unknown: Mapping[str, int]) -> list[str]:
        """Compare how many rows there are with how many were read."""
        found = []
        for table in COUNTED:
            there, seen = self._reader.count(table), checks.seen[table] + unknown.get(table, 0)
            if not seen <= there <= seen + self._reader.unreadable:
                found.append(f"Synapse has {there} rows of {table}, and {seen} were read.")
        return found

    async def _not_stored(self) -> list[str]:
        """Compare how much was carried with how much is stored, where nothing of it changed here."""
        left = self._findings[Kind.ACCOUNT_EXISTS] + self._findings[Kind.CHANGED_HERE]
        if self._dry_run or left:
            return []
        stored = await self._writer.stored()
        lacking = {"contacts": self._findings[Kind.CONTACT_TAKEN]}
        found = []
        for part in ("accounts", "contacts", "devices"):
            there, here = self._carried[part], getattr(stored, part)
            if not there - lacking.get(part, 0) <= here <= there:
                found.append(f"{there} {part} were carried, and {here} are stored.")
        return found

    async def _refuse_other_settings(self) -> None:
        earlier = await self._writer.earlier()
        if earlier is not None and earlier.settings != self._fingerprint():
            raise SourceError(
                "The settings of passwords (password_config) are not those of the first import. With other ones, nobody "
                "could sign in. Import with the configuration that Synapse had before the switch."
            )

    def _fingerprint(self) -> str:
        """A hash of what passwords depend on. It is keyed, because it must not reveal the pepper."""
        known = msgspec.json.encode([self._settings.pepper, self._settings.has_passwords]).decode()
        return self._context.vault.hash_limit_key(f"import settings {known}")
