"""How much is too much: the limits of the configuration, by what they are about."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from types import MappingProxyType
from typing import Final

from threepid.clock import DAY, HOUR
from threepid.config import Limit, Limits
from threepid.domain.addresses import Address, InvalidAddress, Phone, parse_phone
from threepid.domain.context import Context
from threepid.domain.policy import is_homeserver
from threepid.spec.errors import LimitExceeded
from threepid.storage import limits
from threepid.storage.database import Tx

_NETWORK_BITS: Final = 64
"""What one IPv6 customer has at least: single addresses of it are not told apart."""
_MILKED_AFTER: Final = 50
_CONFIRMED_PART: Final = 10
"""A prefix is closed when, of 50 texts or more within two days, fewer than one in ten was confirmed."""
_OPENED_AGAIN: Final = HOUR

TOO_MANY_MESSAGES: Final = "There were too many messages lately: please wait a little."
_TOO_MANY_GUESSES: Final = "There were too many wrong tries lately: please wait a little."


def take_message(tx: Tx, context: Context, address: Address, *, client: str) -> None:
    """Count a message to an address that a caller causes. Raises LimitExceeded; then nothing is counted."""
    settings = context.config.limits
    counted = [
        (f"message to {address.medium} {address.canonical}", settings.message_to_address),
        ("message", settings.message_total),
    ]
    if not is_homeserver(context.config, client):
        counted.append((f"message from {network_of(client)}", settings.message_from_client))
    if isinstance(address, Phone):
        counted += _of_texts("sms", address, settings)
    _take(tx, context, counted, TOO_MANY_MESSAGES)
    if isinstance(address, Phone):
        _count_text(tx, context, address)


def count_confirmed(tx: Tx, context: Context, canonical: str) -> None:
    """A phone number's code came back: somebody reads what is sent to its prefix."""
    prefix = Phone("", canonical, "", texted=True).prefix
    limits.count_confirmed(tx, prefix, context.clock.now() // DAY)


async def closed_prefixes(context: Context) -> int:
    """How many phone prefixes are sent nothing, because almost nobody hands in the codes that are sent there."""
    since_day = context.clock.now() // DAY - 1
    return await context.database.read(
        lambda tx: limits.closed_prefixes(
            tx, since_day=since_day, least_sent=_MILKED_AFTER, confirmed_part=_CONFIRMED_PART
        )
    )


def take_notice(tx: Tx, context: Context, *, medium: str, canonical: str) -> bool:
    """Count a notice to a contact; False if it had too many lately, and should not get this one.

    Texts are counted by prefix, country and in all as well, apart from those with codes: whoever asks for many of these
    must not thereby keep a notice from its owner.
    """
    settings = context.config.limits
    counted = [(f"notice to {medium} {canonical}", settings.notice_to_address)]
    try:
        if medium == Phone.medium:
            counted += _of_texts("sms notice", parse_phone(canonical), settings)
        _take(tx, context, counted)
    except (InvalidAddress, LimitExceeded):
        return False
    return True


def take_invite(tx: Tx, context: Context, *, sender: str, address: Address) -> None:
    """Count an invitation that `sender` sends to an address. Raises LimitExceeded; then nothing is counted."""
    settings = context.config.limits
    counted = [
        (f"invite from {sender}", settings.invites_from_sender),
        (f"invite from server {sender.partition(':')[2].lower()}", settings.invites_from_homeserver),
        (f"invite to {address.medium} {address.canonical}", settings.invites_to_address),
    ]
    _take(tx, context, counted, "There were too many invitations lately: please wait a little.")


def take_signature(tx: Tx, context: Context, *, caller: str | None, client: str) -> None:
    """Count an invitation that a user, or somebody at `client`, wants to have signed. Raises LimitExceeded."""
    who = network_of(client) if caller is None else caller
    _take(tx, context, [(f"signature for {who}", context.config.limits.invite_signatures_from_caller)])


def take_outbound(tx: Tx, context: Context, *, account: str) -> None:
    """Count that an account has another server called. Raises LimitExceeded."""
    _take(tx, context, [(f"outbound of {account}", context.config.limits.outbound_from_account)])


def take_question(tx: Tx, context: Context, *, client: str, server_name: str) -> None:
    """Count that somebody at `client` has a homeserver asked something. Raises LimitExceeded; then nothing is counted."""
    settings = context.config.limits
    counted = [
        (f"outbound from {network_of(client)}", settings.outbound_from_client),
        (f"outbound to {server_name.lower()}", settings.outbound_to_server),
    ]
    _take(tx, context, counted)


def take_registration(tx: Tx, context: Context, *, client: str) -> None:
    """Count a new account of a caller's. Raises LimitExceeded."""
    _take(tx, context, [(f"registration from {network_of(client)}", context.config.limits.registration_from_client)])


def take_authentication(tx: Tx, context: Context, *, client: str) -> None:
    """Count an authentication session that a caller begins. Raises LimitExceeded."""
    _take(
        tx, context, [(f"authentication from {network_of(client)}", context.config.limits.authentication_from_client)]
    )


class Guess:
    """A password or token that somebody tries: wrong ones count.

    What is looked at in a transaction is counted first (`take`), and given back in it if it was right. A password is looked at
    outside: no more are than would be left if all those were wrong (`refuse_if_none_is_left`), and nobody is told that one
    was wrong before it is counted. Other processes look at some at the same time, and count them all the same.
    """

    def __init__(
        self,
        context: Context,
        *,
        client: str,
        typed: str = "",
        account: str = "",
        known: bool = False,
        logged_in: bool = False,
    ) -> None:
        """A guess of the caller `client`, who `typed` a name or an address (in its canonical form) that means `account`.

        Whether the caller is refused depends on what was typed, or the refusal would tell whose address that is. The
        account's own count, over all that means it, refuses in silence: see `is_spent`. Callers who are `logged_in` to the
        account, or in a network that it has logged in from (`known`), are not held up by what strangers try.
        """
        settings = context.config.limits
        network = network_of(client)
        counted = [(f"guess from {network}", settings.guesses_from_client)]
        silent = []
        if typed:
            counted.append((f"guess at {typed} from {network}", settings.guesses_at_account_from_client))
        if account and logged_in:
            counted.append((f"guess at {account} by its devices", settings.guesses_at_account))
        elif account and not known:
            silent.append((f"guess at {account}", settings.guesses_at_account))
        self._context = context
        self._wanted = _wanted(context, counted)
        self._silent = _wanted(context, silent)
        self.keys = tuple(one.key for one in (*self._wanted, *self._silent))
        """What it counts for: hashes."""

    def full_at(self, tx: Tx) -> Mapping[str, int]:
        """What `refuse_if_none_is_left` and `is_spent` want to know."""
        return limits.full_at(tx, self.keys) if self.keys else {}

    def refuse_if_none_is_left(
        self, full_at: Mapping[str, int], pending: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        """Raise LimitExceeded if it could not be counted, were it wrong: it, and as many as are `pending` by `keys`."""
        for one in self._wanted:
            wait = self._wait(one, full_at, pending)
            if wait > 0:
                raise LimitExceeded(wait, _TOO_MANY_GUESSES)

    def is_spent(self, full_at: Mapping[str, int], pending: Mapping[str, int] = MappingProxyType({})) -> bool:
        """Has the account's own count none left? Then a right guess is answered like a wrong one, and counted like one."""
        return any(self._wait(one, full_at, pending) > 0 for one in self._silent)

    def take(self, tx: Tx) -> bool:
        """Count it; False if the account's own count had none left, and a right guess must be answered like a wrong one.

        Raises LimitExceeded; then nothing is counted, and nobody may hear whether it was right.
        """
        _take_wanted(tx, self._context, self._wanted, _TOO_MANY_GUESSES)
        return not self._silent or limits.take(tx, self._silent, now=self._context.clock.now()) == 0

    def give_back(self, tx: Tx) -> None:
        """It was right, and all of it had been taken."""
        limits.give_back(tx, (*self._wanted, *self._silent))

    def _wait(self, one: limits.Wanted, full_at: Mapping[str, int], pending: Mapping[str, int]) -> int:
        now = self._context.clock.now()
        return max(now, full_at.get(one.key, 0)) + one.interval * pending.get(one.key, 0) - one.latest(now)


@lru_cache(maxsize=4096)
def network_of(client: str) -> str:
    """What counts as one caller: an IPv4 address, or the first 64 bits of an IPv6 address."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, _NETWORK_BITS), strict=False))
    return str(address)


@lru_cache(maxsize=4096)
def known_network(client: str) -> str | None:
    """The network by which an account knows a caller again; None for callers without an IP address, who look all the same."""
    try:
        ip_address(client)
    except ValueError:
        return None
    return network_of(client)


def _of_texts(kind: str, phone: Phone, settings: Limits) -> list[tuple[str, Limit]]:
    return [
        (f"{kind} to {phone.prefix}", settings.sms_to_prefix),
        (f"{kind} to {phone.region}", settings.sms_to_country),
        (kind, settings.sms_total),
    ]


def _count_text(tx: Tx, context: Context, phone: Phone) -> None:
    if context.config.limits.all == "off":
        return
    today = context.clock.now() // DAY
    sent, confirmed = limits.texts_of_prefix(tx, phone.prefix, since_day=today - 1)
    if sent >= _MILKED_AFTER and confirmed * _CONFIRMED_PART < sent:
        raise LimitExceeded(_OPENED_AGAIN, TOO_MANY_MESSAGES, cause="prefix closed")
    limits.count_text(tx, phone.prefix, today)


def _wanted(context: Context, counted: Iterable[tuple[str, Limit]]) -> list[limits.Wanted]:
    """What is to be taken: nothing where limits are off."""
    if context.config.limits.all == "off":
        return []
    hash_key = context.vault.hash_limit_key
    return [limits.Wanted(hash_key(key), max(1, round(HOUR / limit.per_hour)), limit.burst) for key, limit in counted]


def _take(tx: Tx, context: Context, counted: Iterable[tuple[str, Limit]], message: str | None = None) -> None:
    _take_wanted(tx, context, _wanted(context, counted), message)


def _take_wanted(tx: Tx, context: Context, wanted: Sequence[limits.Wanted], message: str | None) -> None:
    wait = limits.take(tx, wanted, now=context.clock.now()) if wanted else 0
    if wait:
        raise LimitExceeded(wait, message)
