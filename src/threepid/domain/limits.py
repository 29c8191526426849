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

TOO_MANY_MESSAGES: Final = "There were too many messages lately: please wait {wait}."
_TOO_MANY_GUESSES: Final = "There were too many wrong tries lately: please wait {wait}."


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
    _take(tx, context, counted, "There were too many invitations lately: please wait {wait}.")


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
        account: str = "",
        known_clients: Iterable[str] = (),
        logged_in: bool = False,
    ) -> None:
        """A guess of the caller `client`, about `account` where it is about one.

        Callers who are `logged_in` to the account, or in a network that it has logged in from (`known_clients`, IP
        addresses), are not held up by what strangers try.
        """
        settings = context.config.limits
        network = network_of(client)
        counted = [(f"guess from {network}", settings.guesses_from_client)]
        if account:
            counted.append((f"guess at {account} from {network}", settings.guesses_at_account_from_client))
            if logged_in:
                counted.append((f"guess at {account} by its devices", settings.guesses_at_account))
            elif network not in {network_of(known) for known in known_clients}:
                counted.append((f"guess at {account}", settings.guesses_at_account))
        self._context = context
        self._wanted = _wanted(context, counted)
        self.keys = tuple(one.key for one in self._wanted)
        """What it counts for: hashes."""

    def full_at(self, tx: Tx) -> Mapping[str, int]:
        """What `refuse_if_none_is_left` wants to know."""
        return limits.full_at(tx, self.keys) if self.keys else {}

    def refuse_if_none_is_left(
        self, full_at: Mapping[str, int], pending: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        """Raise LimitExceeded if it could not be counted, were it wrong: it, and as many as are `pending` by `keys`."""
        now = self._context.clock.now()
        for one in self._wanted:
            wait = max(now, full_at.get(one.key, 0)) + one.interval * pending.get(one.key, 0) - one.latest(now)
            if wait > 0:
                raise LimitExceeded(wait, _TOO_MANY_GUESSES)

    def take(self, tx: Tx) -> None:
        """Count it. Raises LimitExceeded; then nothing is counted, and nobody may hear whether it was right."""
        _take_wanted(tx, self._context, self._wanted, _TOO_MANY_GUESSES)

    def give_back(self, tx: Tx) -> None:
        """It was right."""
        limits.give_back(tx, self._wanted)


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
