"""Lookup of users by their addresses. https://spec.matrix.org/latest/identity-service-api/#association-lookup."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from msgspec import Struct

from threepid.config import Identity
from threepid.domain.addresses import InvalidAddress, parse_address
from threepid.domain.context import Context
from threepid.domain.identity.lookup_budget import Claim, LookupBudget
from threepid.domain.identity.peppers import Peppers
from threepid.i18n import Text, counted
from threepid.spec.errors import InvalidParam, InvalidPepper, TooManyAddresses
from threepid.spec.lookup_hash import lookup_hash
from threepid.storage import associations, peppers
from threepid.storage.associations import Association
from threepid.storage.engine.database import Tx

T = TypeVar("T")

SMALL: Final = 50
"""Maximum number of addresses that are looked up on the event loop: more would block it for too long."""


class HashDetails(Struct, frozen=True):
    """The algorithms and the pepper that clients hash addresses with for a lookup."""

    algorithms: tuple[str, ...]
    lookup_pepper: str


class Lookup:
    """Answers lookups of associations."""

    def __init__(self, context: Context, settings: Identity) -> None:
        """`settings` hold the algorithms, the maximum size of a lookup, the pepper schedule and the budgets."""
        self._context = context
        self._settings = settings
        self.peppers = Peppers(context, settings)
        self.budget = LookupBudget(context, settings)

    async def start(self) -> None:
        """Make sure that there is a current pepper."""
        await self.peppers.start()

    async def run(self, stop: asyncio.Event) -> None:
        """Rotate peppers and save lookup budgets in the background until `stop` is set."""
        await asyncio.gather(self.peppers.run(stop), self.budget.run(stop))

    async def hash_details(self) -> HashDetails:
        """The hash details that clients get."""
        pepper = await self._context.database.read(peppers.current)
        return HashDetails(self._settings.lookup_algorithms, pepper or "")

    async def lookup(
        self, algorithm: str, pepper: str, addresses: list[str], *, user_id: str, client: str
    ) -> dict[str, str]:
        """The user IDs that the (hashed) addresses are bound to, by address, without the unbound ones.

        The caller is `user_id` at the IP address `client`. Raises InvalidParam, TooManyAddresses, InvalidPepper or LimitExceeded.
        """
        if algorithm not in self._settings.lookup_algorithms:
            raise InvalidParam(Text("This server does not support this algorithm."))
        self._check_size(len(addresses))
        now = self._context.clock.now()

        def find(tx: Tx) -> dict[str, str]:
            number = peppers.answering(tx, pepper, now)
            if number is None:
                raise InvalidPepper(algorithm=algorithm, lookup_pepper=peppers.current(tx) or "")
            if algorithm == "sha256":
                return peppers.by_hashes(tx, number, addresses, now)
            hashes = {address: _hash_of_plain(address, pepper) for address in addresses}
            found = peppers.by_hashes(tx, number, hashes.values(), now)
            return {address: found[hash_] for address, hash_ in hashes.items() if hash_ in found}

        return await self._counted(find, addresses, user_id=user_id, client=client)

    async def lookup_plain(self, pairs: list[tuple[str, str]], *, client: str | None = None) -> list[Association]:
        """The associations of (medium, address) pairs, for the v1 API's lookup of plain addresses. See `lookup_pairs`."""
        return [association for _, association in await self.lookup_pairs(pairs, client=client)]

    async def lookup_pairs(
        self, pairs: list[tuple[str, str]], *, client: str | None = None
    ) -> list[tuple[tuple[str, str], Association]]:
        """The (medium, address) pairs that are bound, as the caller wrote them, each with its association.

        Accepts any spelling of an address. The lookup counts against the network of the IP address `client`, if given. Raises
        TooManyAddresses or LimitExceeded.
        """
        self._check_size(len(pairs))
        now = self._context.clock.now()

        def find(tx: Tx) -> list[tuple[tuple[str, str], Association]]:
            found = ((pair, _bound(tx, *pair, now)) for pair in pairs)
            return [(pair, association) for pair, association in found if association is not None]

        addresses = [f"{address} {medium}" for medium, address in pairs]
        return await self._counted(find, addresses, user_id="", client=client)

    async def charge(self, addresses: list[str], *, user_id: str, client: str) -> None:
        """Count a request whose answer reveals whether addresses are bound as a lookup of them. Raises LimitExceeded."""
        await self._counted(lambda _tx: None, addresses, user_id=user_id, client=client)

    async def _counted(self, find: Callable[[Tx], T], addresses: list[str], *, user_id: str, client: str | None) -> T:
        """The result of `find`, if the lookup is within the caller's budget for today. Raises LimitExceeded."""
        asker = None if client is None else self.budget.asker(user_id, client)
        waiting = frozenset[int]() if asker is None else self.budget.waiting(asker)

        def step(tx: Tx) -> tuple[T, Claim | None]:
            claim = None if asker is None else self.budget.check(tx, asker, waiting, addresses)
            return find(tx), claim

        database = self._context.database
        found, claim = await (database.read(step) if len(addresses) <= SMALL else database.read_aside(step))
        if claim is not None:
            await self.budget.charge(claim)
        return found

    def _check_size(self, count: int) -> None:
        if count > self._settings.lookup_limit:
            raise TooManyAddresses(
                counted(
                    "A lookup may have at most one address.",
                    "A lookup may have at most %(count)s addresses.",
                    self._settings.lookup_limit,
                )
            )


def _bound(tx: Tx, medium: str, text: str, now: int) -> Association | None:
    try:
        return associations.get(tx, medium, parse_address(medium, text).canonical, now)
    except InvalidAddress:
        return None


def _hash_of_plain(address_and_medium: str, pepper: str) -> str:
    """The hash for an entry `<address> <medium>` of the algorithm `none`, in any spelling of the address."""
    address, _, medium = address_and_medium.rpartition(" ")
    try:
        canonical = parse_address(medium, address).canonical
    except InvalidAddress:  # it cannot be bound, but is looked up all the same, for equal timing
        canonical = address.casefold()
    return lookup_hash(canonical, medium, pepper)
