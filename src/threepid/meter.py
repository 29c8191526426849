"""Plain running totals that cost a request next to nothing. `background.py` copies them into the metrics once a second."""

from bisect import bisect_left
from collections import Counter
from typing import Final

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds, in seconds, of the classes in which durations are counted; longer ones have a class of their own."""


class Durations:
    """How many durations were how long."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        """Start with none."""
        self.counts = [0] * (len(BOUNDS) + 1)
        """Number of durations in each class."""
        self.seconds = 0.0
        """Sum of all durations."""

    def note(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


class Meter:
    """The requests of one operation."""

    __slots__ = ("durations", "failures", "name")

    def __init__(self, name: str) -> None:
        """Start with none."""
        self.name = name
        self.durations = Durations()
        self.failures = 0
        """Answers with a 5xx."""


class Meters:
    """All requests of a process."""

    def __init__(self) -> None:
        """Start with none."""
        self.of: dict[str, Meter] = {}
        """The operations by name."""
        self.refusals: Counter[tuple[str, str]] = Counter()
        """Answers with a 4xx, by operation and error code."""
        self.limits: Counter[str] = Counter()
        """Answers with a 429, by the kind of the limit."""

    def named(self, name: str) -> Meter:
        """The operation with this name."""
        meter = self.of.get(name)
        if meter is None:
            meter = self.of[name] = Meter(name)
        return meter
