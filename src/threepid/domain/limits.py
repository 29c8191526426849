"""Counts uses against the limits of the configuration.

A caller counts by IPv4 address or IPv6 /64. Strangers with an IPv6 address also count by their /56 and /48:
docs/decisions/0011-who-a-limit-counts.md.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from threepid.clock import DAY, HOUR
from threepid.config import Limit, Limits
from threepid.domain.addresses import Address, InvalidAddress, Phone, parse_phone
from threepid.domain.context import Context
from threepid.domain.policy import is_homeserver
from threepid.domain.registrable import registrable_domain
from threepid.i18n import Text
from threepid.spec.errors import LimitExceeded
from threepid.storage import devices, limits
from threepid.storage.engine.database import StorageError, Tx

_NETWORK_BITS: Final = 64
"""Prefix length of the smallest network of an IPv6 customer. Its single addresses are not told apart."""
_WIDER: Final = ((56, 4), (48, 16))
"""Prefix lengths of larger networks of IPv6 customers, each with its multiple of the limit of a /64."""
_PART_OF_TOTAL: Final = 10
"""An IPv4 address or IPv6 /48 gets at most a tenth of a limit that all callers share."""
_INVITATIONS_PART: Final = 4
"""Invitations get at most a quarter of the server's messages."""
_KEPT: Final = 1
"""Number of messages to an address that are reserved for callers whom its account knows."""
_MILKED_AFTER: Final = 50
_CONFIRMED_PART: Final = 10
"""A phone prefix is closed if it got at least 50 SMS today and yesterday, and fewer than a tenth of them were confirmed."""
_OPENED_AGAIN: Final = HOUR
_BEFORE_OBJECTS: Final = frozenset({"at", "by", "for", "from", "of", "to"})
_LONGEST_KIND: Final = 4

TOO_MANY_MESSAGES: Final = Text("Too many messages were sent recently. Please wait %(wait)s.")
_TOO_MANY_GUESSES: Final = Text("There were too many wrong attempts recently. Please wait %(wait)s.")


class _Caller(Struct, frozen=True):
    """The caller who causes a message: an IP address, and the user ID of the request's access token ('' for none)."""

    client: str
    user_id: str


class Counted(Struct, frozen=True):
    """A limit that a use counts against, and how many further uses must remain."""

    name: str
    limit: Limit
    kept: int = 0


def take_message(
    tx: Tx, context: Context, address: Address, *, client: str, user_id: str = "", account: str | None = None
) -> None:
    """Count a message to `address` that a caller at `client` causes.

    `account` is the account that has the address, `user_id` that of the request's access token ('' for none). Raises
    LimitExceeded; then nothing is counted, and `refusals_cost` charges the caller.
    """
    caller = _Caller(client, user_id)
    # A listed homeserver asks for its own users, who are not strangers.
    known = (account is not None and user_id == account) or is_homeserver(context.config, client)
    try:
        _take(tx, context, _of_message(context, address, caller, known=known), TOO_MANY_MESSAGES)
    except LimitExceeded:
        if known or not has_used(tx, account, client):
            raise
        _take(tx, context, _of_message(context, address, caller, known=True), TOO_MANY_MESSAGES)
    if isinstance(address, Phone):
        _count_text(tx, context, address)


def take_invitation_message(tx: Tx, context: Context, address: Address, *, client: str, user_id: str) -> None:
    """Count the message of an invitation. `take_invite` counts its sender and network. Raises LimitExceeded.

    Without an access token the sender is unproven: then the caller counts as in `take_message`.
    """
    total = context.config.limits.message_total
    counted = [
        *_of_recipient(context, address, known=False),
        *_part("message of an invitation", total, _INVITATIONS_PART),
    ]
    if not user_id:
        counted += _of_messages_caller(context, address, _Caller(client, ""), known=False)
    _take(tx, context, counted, TOO_MANY_MESSAGES)
    if isinstance(address, Phone):
        _count_text(tx, context, address)


@contextlib.asynccontextmanager
async def refusals_cost(context: Context, *, client: str, sender: str = "") -> AsyncIterator[None]:
    """Charge for a request that is rejected in the context: a message to the caller's network, or an invitation to `sender`.

    Otherwise the caller that asks most often would get the next message that the limits allow.
    """
    try:
        yield
    except LimitExceeded as refused:
        settings = context.config.limits
        if sender:
            counted = [Counted(f"invite from {sender}", settings.invites_from_sender)]
        elif is_homeserver(context.config, client):
            raise
        else:
            counted = [Counted(f"message from {network_of(client)}", settings.message_from_client)]
        now, wanted = context.clock.now(), as_wanted(context, counted)

        def step(tx: Tx) -> int:
            for one in wanted:
                limits.spend(tx, one, now=now)
            full_at = limits.full_at(tx, wanted, now=now)
            return max((full_at[one.key] - one.latest(now) for one in wanted), default=0)

        try:
            wait = await context.database.write(step)
        except StorageError:
            raise refused from None
        if wait > refused.retry_after_ms:  # a caller that waits as long as told must not be rejected again
            raise LimitExceeded(wait, refused.text, cause=refused.cause, limit=refused.limit) from refused
        raise


def count_confirmed(tx: Tx, context: Context, canonical: str) -> None:
    """Count a confirmed code of a phone number for its prefix."""
    prefix = Phone("", canonical, "", texted=True).prefix
    limits.count_confirmed(tx, prefix, context.clock.now() // DAY)


async def closed_prefixes(context: Context) -> int:
    """Number of phone prefixes that get no SMS, because too few of the codes sent there were confirmed."""
    today = context.clock.now() // DAY
    return await context.database.read(
        lambda tx: limits.closed_prefixes(
            tx, since_day=today - 1, day=today, least_sent=_MILKED_AFTER, confirmed_part=_CONFIRMED_PART
        )
    )


def take_notice(tx: Tx, context: Context, *, medium: str, canonical: str, optional: bool = False) -> bool:
    """Count a notice to a contact; False if a limit is exceeded, so that the notice must not be sent.

    `optional` notices leave half of the limit: many sign-ins must not suppress the notice of a new password.
    SMS notices also count by prefix, country and in total, separately from SMS with codes: otherwise requests for many codes
    could suppress a notice.
    """
    settings = context.config.limits
    limit = settings.notice_to_address
    counted = [Counted(f"notice to {medium} {canonical}", limit, limit.burst // 2 if optional else 0)]
    try:
        if medium == Phone.medium:
            counted += _of_texts("sms notice", parse_phone(canonical), settings)
        _take(tx, context, counted)
    except (InvalidAddress, LimitExceeded):
        return False
    return True


def take_invite(tx: Tx, context: Context, *, sender: str, address: Address, client: str, user_id: str) -> None:
    """Count an invitation that `sender` sends to an address. Raises LimitExceeded; then nothing is counted.

    A caller with an access token of `user_id` may be a homeserver that invites for all its users, so its network has a limit of
    its own. Without a token, `sender` is unproven and counts separately, so that nobody can use up the real sender's limit.
    """
    settings = context.config.limits
    proven = "" if user_id else " by the old API"
    domain = registrable_domain(sender.partition(":")[2])
    counted = [
        Counted(f"invite from {sender}{proven}", settings.invites_from_sender),
        Counted(f"invite from domain {domain}{proven}", settings.invites_from_homeserver),
        Counted(f"invite to {address.medium} {address.canonical}", settings.invites_to_address),
    ]
    if user_id and not is_homeserver(context.config, client):
        wide = not _is_ours(context, user_id)
        counted += _from_networks("invite", client, settings.invites_from_network, wide=wide)
    _take(tx, context, counted, Text("Too many invitations were sent recently. Please wait %(wait)s."))


def take_signature(tx: Tx, context: Context, *, caller: str | None, client: str) -> None:
    """Count a signature of an invitation for the user `caller` or, if None, for `client`. Raises LimitExceeded."""
    limit = context.config.limits.invite_signatures_from_caller
    if caller is None:
        _take(tx, context, _from_networks("signature", client, limit))
    else:
        _take(tx, context, [Counted(f"signature for {caller}", limit)])


def take_outbound(tx: Tx, context: Context, *, account: str) -> None:
    """Count a call to another server on behalf of `account`. Raises LimitExceeded."""
    _take(tx, context, [Counted(f"outbound of {account}", context.config.limits.outbound_from_account)])


def take_question(tx: Tx, context: Context, *, client: str, server_name: str) -> None:
    """Count a request to a homeserver on behalf of a caller at `client`. Raises LimitExceeded; then nothing is counted."""
    settings = context.config.limits
    to_server = f"outbound to {server_name.lower()}"
    counted = [
        *_from_networks("outbound", client, settings.outbound_from_client),
        *_part(f"{to_server} from {site_of(client)}", settings.outbound_to_server, _PART_OF_TOTAL),
        Counted(to_server, settings.outbound_to_server),
    ]
    _take(tx, context, counted)


def take_openid_token(tx: Tx, context: Context, *, account: str) -> None:
    """Count an OpenID token issued to `account`. Raises LimitExceeded."""
    _take(tx, context, [Counted(f"OpenID token of {account}", context.config.limits.openid_tokens_of_account)])


def take_identity_token(tx: Tx, context: Context, *, user_id: str) -> None:
    """Count an identity server's access token issued to `user_id`. Raises LimitExceeded."""
    _take(tx, context, [Counted(f"identity token of {user_id}", context.config.limits.identity_tokens_of_user)])


def take_bounce(tx: Tx, context: Context, *, client: str) -> None:
    """Count a report about a mail that a caller at `client` sends. Raises LimitExceeded."""
    _take(tx, context, _from_networks("bounce", client, context.config.limits.bounces_from_client, wide=False))


def take_registration(tx: Tx, context: Context, *, client: str) -> None:
    """Count an account that a caller at `client` registers. Raises LimitExceeded."""
    _take(tx, context, _from_networks("registration", client, context.config.limits.registration_from_client))


def take_app(tx: Tx, context: Context, *, client: str) -> None:
    """Count an OAuth 2.0 app that a caller at `client` registers. Raises LimitExceeded."""
    _take(tx, context, _from_networks("app", client, context.config.limits.oauth_from_client))


def take_device_code(tx: Tx, context: Context, *, client: str) -> None:
    """Count a device at `client` that asks for a code. Raises LimitExceeded."""
    _take(tx, context, _from_networks("device code", client, context.config.limits.oauth_from_client))


def take_authentication(tx: Tx, context: Context, *, client: str, account: str | None = None) -> None:
    """Count an authentication session or refresh of `account`'s devices or, if None, of `client`. Raises LimitExceeded."""
    limit = context.config.limits.authentication_from_client
    if account is None:
        _take(tx, context, _from_networks("authentication", client, limit))
    else:
        _take(tx, context, [Counted(f"authentication by the devices of {account}", limit)])


class Guess:
    """A guess of a password or token. Wrong guesses count against the limits.

    A guess that is checked in a transaction is counted first (`take`) and given back if it was right. A password is checked
    outside of transactions: `refuse_if_none_is_left` admits no more at once than the limits allow if all are wrong, and a wrong
    one is counted before the caller learns the result. Other processes may check more at the same time, but also count them.
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
        """A guess of a caller at `client` who `typed` a name or an address of `account`, in its canonical form.

        Limits that reject openly count by what was typed: if they counted by account, a rejection would reveal whose address
        that is. The account's own limit rejects silently: see `is_spent`. Guesses of strangers do not hold up callers who are
        `logged_in` to the account, or in a network that it has used (`known`).
        """
        settings = context.config.limits
        here = settings.guesses_at_account_from_client
        counted, silent = [], []
        if logged_in:
            # By account and not by network, so that strangers behind the same address do not hold up the account's devices.
            counted.append(Counted(f"guess by the devices of {account} lately", here))
            counted.append(Counted(f"guess by the devices of {account}", settings.guesses_at_account))
        else:
            counted += _from_networks("guess", client, settings.guesses_from_client, wide=not known)
        # The typed text comes last in the key: it can be anything, and must not make the key equal to that of another limit.
        if typed and not logged_in:
            counted += _from_networks("guess", client, here, about=f" at {typed}", wide=not known)
        if account and not logged_in and not known:
            whole = settings.guesses_at_account
            # Over all names and /64 networks, one site gets a tenth of the account's limit, but at least what one caller may try
            # at one name: otherwise a right password could be rejected silently before any open limit is reached.
            part = Limit(
                burst=max(whole.burst // _PART_OF_TOTAL, here.burst),
                per_hour=max(whole.per_hour / _PART_OF_TOTAL, here.per_hour),
            )
            silent.append(Counted(f"guess from {site_of(client)} at the account {account}", part))
            silent.append(Counted(f"guess at {account}", whole))
        self._context = context
        self._wanted = as_wanted(context, counted)
        self._silent = as_wanted(context, silent)
        self.keys = tuple(one.key for one in (*self._wanted, *self._silent))
        """The hashed keys of the limits that the guess counts against."""

    def full_at(self, tx: Tx) -> Mapping[str, int]:
        """When each limit is full again, in milliseconds by key, for `refuse_if_none_is_left` and `is_spent`."""
        wanted = (*self._wanted, *self._silent)
        return limits.full_at(tx, wanted, now=self._context.clock.now()) if wanted else {}

    def refuse_if_none_is_left(
        self, full_at: Mapping[str, int], pending: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        """Raise LimitExceeded if the limits do not allow this guess and the `pending` ones (a number by key) to be wrong."""
        for one in self._wanted:
            wait = self._wait(one, full_at, pending)
            if wait > 0:
                raise LimitExceeded(wait, _TOO_MANY_GUESSES, limit=one.kind)

    def is_spent(self, full_at: Mapping[str, int], pending: Mapping[str, int] = MappingProxyType({})) -> bool:
        """Is the account's own limit used up? Then a right guess is answered and counted like a wrong one."""
        return any(self._wait(one, full_at, pending) > 0 for one in self._silent)

    def take(self, tx: Tx) -> bool:
        """Count the guess; False if the account's own limit is used up: then a right guess must be answered like a wrong one.

        Raises LimitExceeded; then nothing is counted, and the caller must not learn whether the guess was right.
        """
        _take_wanted(tx, self._context, self._wanted, _TOO_MANY_GUESSES)
        return not self._silent or limits.take(tx, self._silent, now=self._context.clock.now()) is None

    def give_back(self, tx: Tx) -> None:
        """Give a right guess back that `take` has counted."""
        limits.give_back(tx, (*self._wanted, *self._silent))

    def _wait(self, one: limits.Wanted, full_at: Mapping[str, int], pending: Mapping[str, int]) -> int:
        now = self._context.clock.now()
        return max(now, full_at.get(one.key, 0)) + one.interval * pending.get(one.key, 0) - one.latest(now)


@lru_cache(maxsize=4096)
def networks_of(client: str) -> tuple[tuple[str, int], ...]:
    """The networks that a caller counts in, the smallest first, each with its multiple of the limit."""
    try:
        address = ip_address(client)
    except ValueError:
        return ((client, 1),)
    if not isinstance(address, IPv6Address):
        return ((str(address), 1),)
    if address.ipv4_mapped is not None:
        return ((str(address.ipv4_mapped), 1),)
    return tuple(
        (str(IPv6Network((int(address), bits), strict=False)), times) for bits, times in ((_NETWORK_BITS, 1), *_WIDER)
    )


def network_of(client: str) -> str:
    """The network that counts as one caller: an IPv4 address or an IPv6 /64."""
    return networks_of(client)[0][0]


@lru_cache(maxsize=4096)
def known_network(client: str) -> str | None:
    """The network by which an account recognises a caller; None for callers without an IP address, who all look the same."""
    try:
        ip_address(client)
    except ValueError:
        return None
    return network_of(client)


def site_of(client: str) -> str:
    """The largest network of a caller: an IPv4 address or an IPv6 /48."""
    return networks_of(client)[-1][0]


def _from_networks(what: str, client: str, limit: Limit, *, about: str = "", wide: bool = True) -> list[Counted]:
    """The limits of a caller for `what`, `about` an object. With `wide`, the networks around the caller's own count as well."""
    return [
        Counted(f"{what} from {network}{about}", Limit(burst=limit.burst * times, per_hour=limit.per_hour * times))
        for network, times in (networks_of(client) if wide else networks_of(client)[:1])
    ]


def _part(name: str, total: Limit, part: int) -> list[Counted]:
    """A limit of one `part`th of `total`; none if that would be less than one use."""
    if total.burst < part:
        return []
    return [Counted(name, Limit(burst=total.burst // part, per_hour=total.per_hour / part))]


def _is_ours(context: Context, user_id: str) -> bool:
    """Is this a user of our own homeserver? Users of any homeserver can have tokens of the identity server."""
    return context.is_own_homeserver(user_id.partition(":")[2])


def has_used(tx: Tx, account: str | None, client: str) -> bool:
    """Is the caller in a network that the account has used? Without an account the query runs too, for equal timing."""
    return devices.knows(tx, account or "", known_network(client))


def _of_message(context: Context, address: Address, caller: _Caller, *, known: bool) -> list[Counted]:
    return [
        *_of_recipient(context, address, known=known),
        *_of_messages_caller(context, address, caller, known=known),
    ]


def _of_recipient(context: Context, address: Address, *, known: bool) -> list[Counted]:
    settings = context.config.limits
    # A server without accounts has no known callers to reserve messages for.
    keeps = context.config.accounts is not None and not known and settings.message_to_address.burst > _KEPT
    counted = [
        Counted(f"message to {address.medium} {address.canonical}", settings.message_to_address, _KEPT if keeps else 0),
        Counted("message", settings.message_total),
    ]
    return counted + _of_texts("sms", address, settings) if isinstance(address, Phone) else counted


def _of_messages_caller(context: Context, address: Address, caller: _Caller, *, known: bool) -> list[Counted]:
    """The caller's limits for a message; none for listed homeservers. Known callers and strangers have separate parts."""
    settings = context.config.limits
    if is_homeserver(context.config, caller.client):
        return []
    trusted = known or _is_ours(context, caller.user_id)
    counted = _from_networks("message", caller.client, settings.message_from_client, wide=not trusted)
    totals = [("message", settings.message_total)]
    if isinstance(address, Phone):
        totals += [(f"sms to {address.region}", settings.sms_to_country), ("sms", settings.sms_total)]
    who = f"known callers in {site_of(caller.client)}" if trusted else f"strangers in {site_of(caller.client)}"
    for what, total in totals:
        counted += _part(f"{what} by {who}", total, _PART_OF_TOTAL)
    if isinstance(address, Phone):
        # Known callers and strangers together, because unconfirmed codes of one site must not close a prefix.
        callers = f"callers in {site_of(caller.client)}"
        counted += _part(f"sms to {address.prefix} by {callers}", settings.sms_to_prefix, _PART_OF_TOTAL)
    return counted


def _of_texts(kind: str, phone: Phone, settings: Limits) -> list[Counted]:
    return [
        Counted(f"{kind} to {phone.prefix}", settings.sms_to_prefix),
        Counted(f"{kind} to {phone.region}", settings.sms_to_country),
        Counted(kind, settings.sms_total),
    ]


def _count_text(tx: Tx, context: Context, phone: Phone) -> None:
    """Count an SMS to the number's prefix. Raises LimitExceeded if the prefix is closed."""
    if context.config.limits.all == "off":
        return
    today = context.clock.now() // DAY
    sent, confirmed = limits.texts_of_prefix(tx, phone.prefix, since_day=today - 1, day=today)
    if sent >= _MILKED_AFTER and confirmed * _CONFIRMED_PART < sent:
        raise LimitExceeded(_OPENED_AGAIN, TOO_MANY_MESSAGES, cause="prefix closed", limit="prefix closed")
    limits.count_text(tx, phone.prefix, today)


def as_wanted(context: Context, counted: Iterable[Counted]) -> list[limits.Wanted]:
    """The uses to count; none if limits are off."""
    if context.config.limits.all == "off":
        return []
    hash_key = context.vault.hash_limit_key
    return [
        limits.Wanted(
            hash_key(one.name), max(1, round(HOUR / one.limit.per_hour)), one.limit.burst, one.kept, _kind(one.name)
        )
        for one in counted
    ]


def _take(tx: Tx, context: Context, counted: Iterable[Counted], text: Text | None = None) -> None:
    _take_wanted(tx, context, as_wanted(context, counted), text)


def _take_wanted(tx: Tx, context: Context, wanted: Sequence[limits.Wanted], text: Text | None) -> None:
    empty = limits.take(tx, wanted, now=context.clock.now()) if wanted else None
    if empty is not None:
        raise LimitExceeded(empty.wait, text, limit=empty.kind)


def _kind(name: str) -> str:
    """The words of a limit's name before its first object: "message to" of the limit of an address."""
    words = name.split(" ", _LONGEST_KIND)[:_LONGEST_KIND]
    end = next((place for place, word in enumerate(words, 1) if word in _BEFORE_OBJECTS), len(words))
    return " ".join(words[:end])
