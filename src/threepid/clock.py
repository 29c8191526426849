"""Time and randomness: the only module that reads either.

Everything that needs the time or a random value gets a `Clock` or an `Entropy`, so that tests can control both. ruff's
banned-api forbids `time`, `datetime.now`, `random` and `secrets` everywhere else.
"""

import base64
import os
import random
import ssl
import time
from collections import deque
from typing import Final

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
"""Durations in milliseconds, the unit of every timestamp of the Matrix specification."""

SKEW = MINUTE
"""How far the clocks of two hosts may differ. A wrong clock wrote a stored time that is further ahead."""

ticks = time.perf_counter
"""Seconds of the finest clock, for metrics alone. What a test decides about takes the time from a `Clock`."""

_ID_BYTES = 18
_TIME_BYTES = 6
_CHUNK: Final = 32
_CHUNKS: Final = 64
_chunks: Final[deque[bytes]] = deque()
"""Random bytes that nobody has used yet. OpenSSL takes as long for one chunk as for many."""
os.register_at_fork(after_in_child=_chunks.clear)  # parent and child must not use the same bytes


class Clock:
    """The system's clocks."""

    def now(self) -> int:
        """Wall-clock time in milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back, for durations inside this process."""
        return time.monotonic()

    def used(self) -> float:
        """Seconds for which this thread has used a processor so far."""
        return time.thread_time()


class Entropy:
    """OpenSSL's cryptographic random source, which each process seeds from the system."""

    def bytes(self, count: int) -> bytes:
        """`count` random bytes."""
        # `os.urandom` releases the GIL, and reacquiring it under load is slow.
        if count > _CHUNK:
            return ssl.RAND_bytes(count)
        try:
            return _chunks.popleft()[:count]  # atomic: no two threads get the same chunk
        except IndexError:
            fresh = ssl.RAND_bytes(_CHUNK * _CHUNKS)
            _chunks.extend(fresh[start : start + _CHUNK] for start in range(_CHUNK, len(fresh), _CHUNK))
            return fresh[:count]

    def token(self, prefix: str = "", count: int = 32) -> str:
        """A secret of `count` random bytes as URL-safe text without padding, after `prefix`."""
        return prefix + base64.urlsafe_b64encode(self.bytes(count)).rstrip(b"=").decode("ascii")

    def id(self, now: int) -> str:
        """The ID of a row that is made `now`: 24 characters that nobody can guess, 48 bits of time before 96 random bits.

        IDs of the same time are neighbours in an index, so a commit writes half as many pages as with random IDs.
        """
        return base64.urlsafe_b64encode(now.to_bytes(_TIME_BYTES) + self.bytes(_ID_BYTES - _TIME_BYTES)).decode("ascii")

    def label(self) -> str:
        """A name of 16 hexadecimal digits that nobody has to guess: much cheaper than `id`, and no secret."""
        return f"{random.getrandbits(64):016x}"

    def below(self, bound: int) -> int:
        """A uniform integer in `[0, bound)`."""
        # 64 bits more than needed make the modulo bias smaller than 2^-64.
        count = (bound.bit_length() + 71) // 8
        return int.from_bytes(self.bytes(count), "big") % bound

    def digits(self, count: int) -> str:
        """`count` uniform decimal digits, leading zeros kept."""
        return str(self.below(10**count)).rjust(count, "0")

    def letters(self, count: int, alphabet: str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ") -> str:
        """`count` uniform letters of `alphabet`."""
        number = self.below(len(alphabet) ** count)
        found = ""
        for _ in range(count):
            number, place = divmod(number, len(alphabet))
            found += alphabet[place]
        return found
