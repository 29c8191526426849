"""What an import did."""

from msgspec import Struct

from threepid.importers.records import Kind


class Result(Struct, frozen=True, kw_only=True):
    """What an import did."""

    dry_run: bool
    found: dict[str, int]
    """Number of rows of each table of the other server."""
    carried: dict[str, int]
    """How much of what this server keeps was found there, by part."""
    inserted: dict[str, int]
    """The part of it that is new."""
    replaced: int
    """Number of accounts or associations that changed there since the last run."""
    unchanged: int
    findings: dict[str, int]
    """Number of findings of each kind, by name."""
    mismatches: list[str]
    """Counts that should be equal and are not."""

    @property
    def is_complete(self) -> bool:
        """Is nothing lost that an operator should look at?"""
        return not self.mismatches and not any(Kind[name].lost for name in self.findings)
