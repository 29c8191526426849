"""Limits the number of distinct addresses that a user may look up in a day, without storing the addresses.

Each user has a row of 65,536 places for a day (UTC). A keyed hash of an address, with a key of the user and the day, selects the
place that the address marks. The number of marked places gives the number of distinct addresses (linear counting, within half a
percent). Repeating a lookup marks nothing. The marks do not reveal the addresses.

A small lookup is answered before its marks are saved; the user's next lookup waits until they are. So each process answers at
most one lookup over the budget. See docs/decisions/0006-lookups-are-counted-by-marks.md.
"""

import asyncio
import contextlib
import struct
from collections.abc import Iterable
from hashlib import blake2b
from math import exp
from typing import Final

import structlog
from msgspec import Struct

from threepid.clock import DAY
from threepid.config import Identity
from threepid.domain.context import Context
from threepid.domain.limits import has_used
from threepid.domain.networks import networks_of
from threepid.i18n import Text
from threepid.spec.errors import LimitExceeded
from threepid.storage import tallies
from threepid.storage.engine.database import StorageError, Tx
from threepid.storage.tallies import Tally

_log = structlog.get_logger()

PLACES: Final = 2**16
WAITING: Final = 256
"""Maximum number of unsaved marks of one user, all of one lookup."""
SAVE_SECONDS: Final = 5.0
"""Time after which a failed save is tried again."""
_NEAR: Final = 10
"""In the last tenth of a network's budget, lookups are saved before they are answered."""
SAVED_AT_ONCE: Final = 200
"""Maximum number of users whose marks one transaction saves."""
FEW: Final = 1024
"""Up to this number, marks are stored as 16-bit place numbers; above it, as one bit for each place."""
_LENIENCE: Final = 1.01
"""Factor on the budget: the count is within half a percent, and a lookup within the budget must not be rejected."""
_PLACE_BYTES: Final = 2
_MESSAGE: Final = Text("Too many addresses were looked up today. Please try again tomorrow.")


class Asker(Struct, frozen=True):
    """The caller of a lookup: day, IP address and user ID ('' for none). `who` is a keyed hash of the user or network."""

    day: int
    who: str
    key: bytes
    client: str
    user_id: str


class Claim(Struct, frozen=True):
    """The places that a lookup would newly mark, and the networks (keyed hashes) that it counts against.

    `near`: is one of the networks near the end of its budget?
    """

    asker: Asker
    places: frozenset[int]
    networks: tuple[str, ...] = ()
    near: bool = False


class LookupBudget:
    """The daily budgets of users and networks."""

    def __init__(self, context: Context, settings: Identity) -> None:
        """The budgets are those of `settings`."""
        self._context = context
        self._user_budget = settings.lookup_budget_per_day
        self._network_budget = settings.lookup_budget_of_network_per_day
        self._marks_allowed = round(PLACES * (1 - exp(-self._user_budget * _LENIENCE / PLACES)))
        self._off = context.config.limits.all == "off" or not (self._user_budget or self._network_budget)
        self._waiting: dict[tuple[int, str], set[int]] = {}
        self._waiting_networks: dict[tuple[int, str], int] = {}
        self._wake = asyncio.Event()

    def asker(self, user_id: str, client: str) -> Asker | None:
        """The caller: a user or, if `user_id` is '', the network of `client`. None if lookups are not counted."""
        if self._off:
            return None
        day = self._context.clock.now() // DAY
        derived = self._context.vault.hash_limit_key(f"lookup {day} {user_id or networks_of(client)[0][0]}")
        half = len(derived) // 2
        return Asker(day, derived[:half], derived[half:].encode("ascii"), client, user_id)

    def waiting(self, asker: Asker) -> frozenset[int]:
        """The caller's unsaved marks. Call this on the event loop."""
        return frozenset(self._waiting.get((asker.day, asker.who), ()))

    def check(self, tx: Tx, asker: Asker, waiting: frozenset[int], addresses: Iterable[str]) -> Claim:
        """The places that these addresses would mark. Raises LimitExceeded if they exceed a budget."""
        stored = tallies.get(tx, asker.day, asker.who)
        new = frozenset(_unmarked(stored, _places(asker.key, addresses))) - waiting
        if not new:
            return Claim(asker, new)
        self._check_user(asker, (stored.marked if stored else 0) + len(waiting) + len(new))
        return self._check_networks(tx, Claim(asker, new))

    async def charge(self, claim: Claim) -> None:
        """Mark the claimed places. Raises LimitExceeded.

        The marks are saved before this returns if the lookup is large, if the user has unsaved marks, or if a network is near the
        end of its budget. Otherwise they are saved in the background.
        """
        if not claim.places:
            return
        day, key = claim.asker.day, (claim.asker.day, claim.asker.who)
        waiting = self._waiting.get(key)
        if not waiting and not claim.near and len(claim.places) <= WAITING:
            self._waiting[key] = set(claim.places)
            self._pay_later(day, claim.networks, len(claim.places))
            self._wake.set()
            return
        saved = claim.places | (waiting or set())

        def step(tx: Tx) -> None:
            self._check_user(claim.asker, _save(tx, day, claim.asker.who, saved))
            if claim.near:
                self._check_networks(tx, claim)
            for network in claim.networks:
                tallies.add_asked(tx, day, network, len(claim.places))

        await self._context.database.write(step)
        self._forget(key, saved)

    async def save(self) -> None:
        """Save all unsaved marks. Raises StorageError; then they stay in memory."""
        while self._waiting:
            users = [(key, frozenset(places)) for key, places in list(self._waiting.items())[:SAVED_AT_ONCE]]

            def step(tx: Tx, users: list[tuple[tuple[int, str], frozenset[int]]] = users) -> None:
                for (day, who), places in users:
                    _save(tx, day, who, places)

            await self._context.database.write_aside(step)
            for key, places in users:
                self._forget(key, places)
        networks, self._waiting_networks = self._waiting_networks, {}

        def count(tx: Tx) -> None:
            for (day, network), asked in networks.items():
                tallies.add_asked(tx, day, network, asked)

        if networks:
            try:
                await self._context.database.write_aside(count)
            except StorageError:
                for (day, network), asked in networks.items():
                    self._pay_later(day, (network,), asked)
                raise

    async def run(self, stop: asyncio.Event) -> None:
        """Save marks in the background as they come, and once more when `stop` is set."""
        ended = asyncio.create_task(self._wake_at(stop))
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), SAVE_SECONDS)
            self._wake.clear()
            try:
                await self.save()
            except StorageError as error:
                _log.warning("lookups_not_counted", cause=type(error).__name__)
        await ended

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    def _pay_later(self, day: int, networks: Iterable[str], asked: int) -> None:
        for network in networks:
            self._waiting_networks[day, network] = self._waiting_networks.get((day, network), 0) + asked

    def _check_networks(self, tx: Tx, claim: Claim) -> Claim:
        """The claim with the networks that it counts against. Raises LimitExceeded if one of them exceeds its budget.

        The networks around the caller's own do not limit our own users in a network that their account has used. All other users
        could create any number of tokens at homeservers of their own.
        """
        if not self._network_budget:
            return claim
        asker, networks, near = claim.asker, [], False
        for network, times in networks_of(asker.client):
            hashed = self._context.vault.hash_limit_key(f"lookups from {network}")
            budget = self._network_budget * times
            asked = tallies.asked_from(tx, asker.day, hashed) + self._waiting_networks.get((asker.day, hashed), 0)
            if asked + len(claim.places) > budget and not (times > 1 and has_used(tx, asker.user_id, asker.client)):
                raise self._exceeded(asker)
            near = near or asked + len(claim.places) > budget - budget // _NEAR
            networks.append(hashed)
        return Claim(asker, claim.places, tuple(networks), near)

    def _check_user(self, asker: Asker, marked: int) -> None:
        if self._user_budget and marked > self._marks_allowed:
            raise self._exceeded(asker)

    def _exceeded(self, asker: Asker) -> LimitExceeded:
        return LimitExceeded(
            (asker.day + 1) * DAY - self._context.clock.now(), _MESSAGE, cause="lookup budget", limit="lookup budget"
        )

    def _forget(self, key: tuple[int, str], saved: frozenset[int]) -> None:
        left = self._waiting.get(key, set()) - saved
        if left:
            self._waiting[key] = left
        else:
            self._waiting.pop(key, None)


def _places(key: bytes, addresses: Iterable[str]) -> set[int]:
    # With BLAKE2, prefixing the key is as safe as its keyed mode and saves hashing one block.
    return {
        int.from_bytes(blake2b(key + address.encode("utf-8", "surrogatepass"), digest_size=_PLACE_BYTES).digest())
        for address in addresses
    }


def _unmarked(tally: Tally | None, places: set[int]) -> set[int]:
    """The places that are not marked yet."""
    if tally is None:
        return places
    if tally.marked <= FEW:
        return places.difference(_few(tally))
    marks = tally.marks
    return {place for place in places if not marks[place >> 3] >> (place & 7) & 1}


def _few(tally: Tally) -> tuple[int, ...]:
    return struct.unpack(f"<{tally.marked}H", tally.marks)


def _marked_too(tally: Tally | None, new: set[int]) -> Tally:
    """The tally with the unmarked places `new` marked too."""
    marked = len(new) + (tally.marked if tally else 0)
    few = set(_few(tally)) if tally and tally.marked <= FEW else set[int]()
    if marked <= FEW:
        return Tally(marked, struct.pack(f"<{marked}H", *sorted(few | new)))
    marks = bytearray(tally.marks if tally and tally.marked > FEW else PLACES // 8)
    for place in few | new:
        marks[place >> 3] |= 1 << (place & 7)
    return Tally(marked, bytes(marks))


def _save(tx: Tx, day: int, who: str, places: Iterable[int]) -> int:
    """Mark these places and return the number of marked places. Tries again if another process has changed the row."""
    wanted = set(places)
    while True:
        stored = tallies.get(tx, day, who)
        new = _unmarked(stored, wanted)
        if stored is not None and not new:
            return stored.marked
        tally = _marked_too(stored, new)
        if tallies.put(tx, day, who, tally, before=stored):
            return tally.marked
