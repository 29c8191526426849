"""Who has an address after a part of a log: the latest proof wins, whichever server it was given to."""

from threepid.importers.identity.records import Binding, Unbinding
from threepid.importers.records import Finding, Kind
from threepid.storage.associations import Association
from threepid.storage.identity_imports import Spelling

Key = tuple[str, str]
"""Medium and canonical form of an address."""


class Latest:
    """The associations that follow from those of `before` and the rows of a log, which are added one after the other."""

    def __init__(self, before: dict[Key, Association]) -> None:
        """`before` has the associations of all addresses of the log."""
        self._before = before
        self.found: dict[Key, Association] = {}
        """What is to be stored."""
        self.unbound: list[Association] = []
        self.losers: list[Finding] = []
        self.carried = 0
        """Number of rows that were bindings and did not lose."""
        self.unchanged = 0
        self._spellings: list[Spelling] = []

    @property
    def new(self) -> list[Association]:
        """Associations of addresses that nobody had bound."""
        return [one for key, one in self.found.items() if key not in self._before]

    @property
    def again(self) -> list[Association]:
        """Associations that replace others."""
        return [one for key, one in self.found.items() if key in self._before]

    @property
    def spellings(self) -> list[Spelling]:
        """Other spellings of the addresses that are to be stored."""
        return [one for one in self._spellings if one[:2] in self.found]

    def bind(self, one: Binding) -> None:
        """Add a binding."""
        key = (one.medium, one.canonical)
        there = self.found.get(key) or self._before.get(key)
        if there is not None and there.mxid != one.mxid:
            is_later = one.bound_at > there.bound_at
            address = f"{one.medium} {one.spelling or one.canonical}"
            self.losers.append(Finding(Kind.BOUND_LATER, there.mxid if is_later else one.mxid, address))
            if not is_later:
                return
        self.carried += 1
        if one.spelling:
            self._spellings.append((one.medium, one.canonical, one.spelling))
        if there is None or one.bound_at > there.bound_at:
            self.found[key] = Association(
                one.medium, one.canonical, one.mxid, one.bound_at, one.not_before, one.not_after
            )
        elif one.spelling:
            self.found[key] = there
        else:
            self.unchanged += 1

    def unbind(self, one: Unbinding) -> None:
        """Add that an address was unbound, which is over if it was bound again since then."""
        there = self._before.get((one.medium, one.canonical))
        if there is not None and (one.medium, one.canonical) not in self.found and there.bound_at <= one.unbound_at:
            self.unbound.append(there)
