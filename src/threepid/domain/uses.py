"""Uses that count against limits, for `limits` and `guesses`, which say what the limits are."""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from threepid.clock import HOUR
from threepid.config import Limit
from threepid.domain.context import Context
from threepid.domain.networks import networks_of
from threepid.i18n import Text
from threepid.spec.errors import LimitExceeded
from threepid.storage import limits
from threepid.storage.engine.database import Tx

_BEFORE_OBJECTS: Final = frozenset({"at", "by", "for", "from", "of", "to"})
_LONGEST_KIND: Final = 4
PART_OF_TOTAL: Final = 10
"""An IPv4 address or IPv6 /48 gets at most a tenth of a limit that all callers share."""


class Counted(Struct, frozen=True):
    """A limit that a use counts against, and how many further uses must remain."""

    name: str
    limit: Limit
    kept: int = 0


def from_networks(what: str, client: str, limit: Limit, *, about: str = "", wide: bool = True) -> list[Counted]:
    """The limits of a caller for `what`, `about` an object. With `wide`, the networks around the caller's own count as well."""
    return [
        Counted(f"{what} from {network}{about}", Limit(burst=limit.burst * times, per_hour=limit.per_hour * times))
        for network, times in (networks_of(client) if wide else networks_of(client)[:1])
    ]


def part_of(name: str, total: Limit, part: int) -> list[Counted]:
    """A limit of one `part`th of `total`; none if that would be less than one use."""
    if total.burst < part:
        return []
    return [Counted(name, Limit(burst=total.burst // part, per_hour=total.per_hour / part))]


def as_wanted(context: Context, counted: Iterable[Counted]) -> list[limits.Wanted]:
    """The uses to count; none if limits are off."""
    if context.config.limits.all == "off":
        return []
    hash_key = context.vault.hash_limit_key
    return [
        limits.Wanted(hash_key(one.name), max(1, round(HOUR / one.limit.per_hour)), one.limit.burst, one.kept, one.name)
        for one in counted
    ]


def take(tx: Tx, context: Context, counted: Iterable[Counted], text: Text | None = None) -> None:
    """Count a use against each of these limits. Raises LimitExceeded with `text`, if it is given; then nothing is counted."""
    take_wanted(tx, context, as_wanted(context, counted), text)


def take_wanted(tx: Tx, context: Context, wanted: Sequence[limits.Wanted], text: Text | None) -> None:
    """The same for limits as the storage has them."""
    empty = limits.take(tx, wanted, now=context.clock.now()) if wanted else None
    if empty is not None:
        raise LimitExceeded(empty.wait, text, limit=kind(empty.wanted))


def kind(wanted: limits.Wanted) -> str:
    """What is limited, for metrics: the words of the name before its first object, "message to" of the limit of an address."""
    words = wanted.name.split(" ", _LONGEST_KIND)[:_LONGEST_KIND]
    end = next((place for place, word in enumerate(words, 1) if word in _BEFORE_OBJECTS), len(words))
    return " ".join(words[:end])
