"""One import from an identity server: reads, checks and writes, and compares the counts at the end."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from threepid import config
from threepid.domain.audit import Event
from threepid.domain.context import Context
from threepid.domain.identity.peppers import Peppers
from threepid.domain.operators.operator import Operator
from threepid.domain.secrets import keys
from threepid.importers.identity.records import PARTS, Batch
from threepid.importers.identity.writer import BATCH, Writer
from threepid.importers.records import Finding, Kind
from threepid.importers.result import Result
from threepid.importers.source import Row, Source, SourceError
from threepid.storage import identity_imports


class Origin(ABC):
    """Another identity server, as an import reads it."""

    kind: str
    """What the server is, as in the name of the command."""
    server_name: str
    pepper: str | None = None
    """The pepper with which its clients look addresses up, if it can be known."""
    signing_keys: str = ""
    """Its signing keys as lines of a key file, the signing one first; '' if they are not known."""

    def __init__(self, source: Source, tables: Iterable[str]) -> None:
        """`tables` are those of `source` whose rows are counted."""
        self._source = source
        self.seen = dict.fromkeys(tables, 0)
        """Number of rows of each table that were read."""

    @abstractmethod
    def count(self, position: int) -> dict[str, int]:
        """Number of rows of each table that are to be read, those of the log after `position`."""

    @abstractmethod
    def batches(self, position: int) -> Iterator[Batch]:
        """All rows, those of the log after `position`. Raises SourceError."""

    @property
    def unreadable(self) -> int:
        """Number of rows that were passed over because they hold text that is not UTF-8."""
        return self._source.undecodable

    def _in_batches(self, table: str, rows: Iterator[Row]) -> Iterator[list[Row]]:
        """The rows of a table, as many at a time as one transaction writes."""
        while found := list(islice(rows, BATCH)):
            self.seen[table] += len(found)
            yield found


class Import:
    """An import from one identity server."""

    def __init__(
        self, context: Context, own: config.Identity, origin: Origin, operator: Operator, *, dry_run: bool
    ) -> None:
        """`own` are the settings of `[identity]`, and `operator` who imports."""
        self._context = context
        self._origin = origin
        self._dry_run = dry_run
        self._peppers = Peppers(context, own)
        self._writer = Writer(context, f"{origin.kind} {origin.server_name}", own, operator, dry_run=dry_run)
        self._findings: Counter[Kind] = Counter()
        self._carried: Counter[str] = Counter()
        self._inserted: Counter[str] = Counter()
        self._replaced = self._unchanged = 0

    @property
    def total(self) -> int:
        """Number of rows that there are."""
        return sum(self._origin.count(0).values())

    async def run(self, report: Callable[[Finding], None], progress: Callable[[int], None] = lambda _: None) -> Result:
        """Import everything. `report` gets each finding, `progress` how many rows were done since the last call.

        Raises SourceError, and the errors of the database and of key files. A run after that continues.
        """
        await self._refuse_another()
        await self._bring_keys()
        position = await self._writer.begin(settings=self._fingerprint(), total=self.total)
        if self._origin.pepper is not None and not self._dry_run:
            await self._peppers.adopt(
                self._origin.pepper, lambda tx: self._writer.steps.note(tx, Event.PEPPER_ROTATION_BEGAN)
            )
        passed = self.total - sum(self._origin.count(position).values())
        progress(passed)
        await self._write(self._origin.batches(position), report, progress)
        await self._writer.finish()
        if self._origin.unreadable:
            text = f"{self._origin.unreadable} rows with text that is not UTF-8"
            self._note([Finding(Kind.DAMAGED, detail=text)], report)
        return Result(
            dry_run=self._dry_run,
            found=self._origin.count(0),
            carried={part: self._carried[part] for part in PARTS},
            inserted={part: self._inserted[part] for part in PARTS},
            replaced=self._replaced,
            unchanged=self._unchanged + passed,
            findings={kind.name: self._findings[kind] for kind in Kind if self._findings[kind]},
            mismatches=[*self._not_read(position), *await self._not_stored()],
        )

    async def _write(
        self, batches: Iterator[Batch], report: Callable[[Finding], None], progress: Callable[[int], None]
    ) -> None:
        """Write all batches. SQLite's thread writes one, mostly without the GIL, while the next one is read and checked."""
        batch = next(batches, None)
        while batch is not None:
            writing = asyncio.create_task(self._writer.write(batch))
            await asyncio.sleep(0)  # it begins
            try:
                following = next(batches, None)
            finally:
                outcome = await writing
            self._carried += outcome.carried
            self._inserted += outcome.inserted
            self._replaced += outcome.replaced
            self._unchanged += outcome.unchanged
            self._note([*batch.findings, *outcome.findings], report)
            progress(batch.rows)
            batch = following

    async def _bring_keys(self) -> None:
        if not self._origin.signing_keys:
            return
        is_used = await self._context.database.read(identity_imports.is_used)
        directory = Path(self._context.config.server.data_dir) / "keys"
        text, clock = self._origin.signing_keys, self._context.clock
        new = keys.adopt_keys(directory, text, clock, unused=not is_used, dry_run=True)
        if not self._dry_run:
            # First: better an entry about keys that are not imported then than keys without an entry.
            if new:
                await self._context.database.write(
                    lambda tx: self._writer.steps.note(tx, Event.SIGNING_KEYS_IMPORTED, keys=new)
                )
            keys.adopt_keys(directory, text, clock, unused=not is_used)
        self._carried["signing_keys"] = len(self._origin.signing_keys.splitlines())
        self._inserted["signing_keys"] = new

    def _note(self, findings: list[Finding], report: Callable[[Finding], None]) -> None:
        for finding in findings:
            self._findings[finding.kind] += 1
            report(finding)

    def _not_read(self, position: int) -> list[str]:
        """Compare how many rows there are with how many were read."""
        seen = self._origin.seen
        found = []
        for table, there in self._origin.count(position).items():
            if not seen[table] <= there <= seen[table] + self._origin.unreadable:
                found.append(f"The other server has {there} rows of {table}, and {seen[table]} were read.")
        return found

    async def _not_stored(self) -> list[str]:
        """Compare how much is new with how much is stored. There may be more, of earlier runs and of people here."""
        if self._dry_run:
            return []
        stored, recorded = await self._writer.stored()
        others = ("tokens", "invitations", "invitation_keys", "accepted_terms")
        found = []
        for name, new, here in (
            ("associations", self._inserted["associations"] - self._inserted["unbound"], stored),
            ("other rows", sum(self._inserted[part] for part in others), recorded),
        ):
            if here < new:
                found.append(f"{new} {name} were carried, and {here} are stored.")
        return found

    async def _refuse_another(self) -> None:
        earlier = await self._writer.fingerprint()
        if earlier is not None and earlier != self._fingerprint():
            raise SourceError(
                f"This is another database than the one that was imported from {self._origin.server_name} before: its pepper "
                "is not the same. Import from the same one, or begin with an empty database of threepid."
            )

    def _fingerprint(self) -> str:
        """A hash of what does not change at the other server."""
        return self._context.vault.hash_limit_key(f"import of {self._origin.kind} {self._origin.pepper}")
