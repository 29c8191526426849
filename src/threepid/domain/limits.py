"""How much is too much: the limits of the configuration, by what they are about.

A caller is counted as an IPv4 address or an IPv6 network of 64 bits, and strangers in IPv6 as the networks of 56 and 48 bits
around it as well: docs/decisions/0011-who-a-limit-counts.md.
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
from threepid.spec.errors import LimitExceeded
from threepid.storage import devices, limits
from threepid.storage.engine.database import StorageError, Tx

_NETWORK_BITS: Final = 64
"""What one IPv6 customer has at least: single addresses of it are not told apart."""
_WIDER: Final = ((56, 4), (48, 16))
"""What an IPv6 customer may have as well, in bits, and how many times as much as one network of 64 bits may do."""
_PART_OF_TOTAL: Final = 10
"""No IPv4 address or IPv6 network of 48 bits takes more than a tenth of what all callers have together."""
_INVITATIONS_PART: Final = 4
"""Invitations take no more than a quarter of the server's messages."""
_KEPT: Final = 1
"""Messages to an address that are kept for callers whom its account knows."""
_MILKED_AFTER: Final = 50
_CONFIRMED_PART: Final = 10
"""A prefix is closed when, of 50 texts or more within two days, fewer than one in ten was confirmed."""
_OPENED_AGAIN: Final = HOUR

TOO_MANY_MESSAGES: Final = "There were too many messages lately: please wait {wait}."
_TOO_MANY_GUESSES: Final = "There were too many wrong tries lately: please wait {wait}."


class _Caller(Struct, frozen=True):
    """Who causes a message: an IP address, and the user whose token came with the request, if one did."""

    client: str
    user_id: str


class _Counted(Struct, frozen=True):
    """What something counts for, and how many more must be left there."""

    name: str
    limit: Limit
    kept: int = 0


def take_message(
    tx: Tx, context: Context, address: Address, *, client: str, user_id: str = "", account: str | None = None
) -> None:
    """Count a message to an address, which `account` has if it is given, that somebody at `client` causes.

    `user_id` is whose token came with the request, if one did. Raises LimitExceeded; then nothing is counted, and
    `refusals_cost` makes the caller pay for it.
    """
    caller = _Caller(client, user_id)
    # A listed homeserver asks for its own people, who are no strangers.
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
    """Count the message of an invitation, whose sender and network `take_invite` counted. Raises LimitExceeded.

    Without a token nobody vouches for the sender: then the caller counts as in `take_message`.
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
    """What is refused inside costs the caller's own network a message all the same, or a `sender` an invitation.

    So the next message that an address may be sent does not go to whoever asks most often.
    """
    try:
        yield
    except LimitExceeded as refused:
        settings = context.config.limits
        if sender:
            counted = [_Counted(f"invite from {sender}", settings.invites_from_sender)]
        elif is_homeserver(context.config, client):
            raise
        else:
            counted = [_Counted(f"message from {network_of(client)}", settings.message_from_client)]
        now, wanted = context.clock.now(), _wanted(context, counted)

        def step(tx: Tx) -> int:
            for one in wanted:
                limits.spend(tx, one, now=now)
            full_at = limits.full_at(tx, wanted, now=now)
            return max((full_at[one.key] - one.latest(now) for one in wanted), default=0)

        try:
            wait = await context.database.write(step)
        except StorageError:
            raise refused from None
        if wait > refused.retry_after_ms:  # whoever waits as long as told must not be told so again
            raise LimitExceeded(wait, refused.message, cause=refused.cause) from refused
        raise


def count_confirmed(tx: Tx, context: Context, canonical: str) -> None:
    """A phone number's code came back: somebody reads what is sent to its prefix."""
    prefix = Phone("", canonical, "", texted=True).prefix
    limits.count_confirmed(tx, prefix, context.clock.now() // DAY)


async def closed_prefixes(context: Context) -> int:
    """How many phone prefixes are sent nothing, because almost nobody hands in the codes that are sent there."""
    today = context.clock.now() // DAY
    return await context.database.read(
        lambda tx: limits.closed_prefixes(
            tx, since_day=today - 1, day=today, least_sent=_MILKED_AFTER, confirmed_part=_CONFIRMED_PART
        )
    )


def take_notice(tx: Tx, context: Context, *, medium: str, canonical: str) -> bool:
    """Count a notice to a contact; False if it had too many lately, and should not get this one.

    Texts are counted by prefix, country and in all as well, apart from those with codes: whoever asks for many of these
    must not thereby keep a notice from its owner.
    """
    settings = context.config.limits
    counted = [_Counted(f"notice to {medium} {canonical}", settings.notice_to_address)]
    try:
        if medium == Phone.medium:
            counted += _of_texts("sms notice", parse_phone(canonical), settings)
        _take(tx, context, counted)
    except (InvalidAddress, LimitExceeded):
        return False
    return True


def take_invite(tx: Tx, context: Context, *, sender: str, address: Address, client: str, user_id: str) -> None:
    """Count an invitation that `sender` sends to an address. Raises LimitExceeded; then nothing is counted.

    With a token, which is that of `user_id`, the caller may be a homeserver that asks for all its people: its network has a
    limit of its own for that. Without one anybody can be named as the sender, which must not hold up those who are.
    """
    settings = context.config.limits
    proven = "" if user_id else " by the old API"
    domain = registrable_domain(sender.partition(":")[2])
    counted = [
        _Counted(f"invite from {sender}{proven}", settings.invites_from_sender),
        _Counted(f"invite from domain {domain}{proven}", settings.invites_from_homeserver),
        _Counted(f"invite to {address.medium} {address.canonical}", settings.invites_to_address),
    ]
    if user_id and not is_homeserver(context.config, client):
        wide = not _is_ours(context, user_id)
        counted += _from_networks("invite", client, settings.invites_from_network, wide=wide)
    _take(tx, context, counted, "There were too many invitations lately: please wait {wait}.")


def take_signature(tx: Tx, context: Context, *, caller: str | None, client: str) -> None:
    """Count an invitation that a user, or somebody at `client`, wants to have signed. Raises LimitExceeded."""
    limit = context.config.limits.invite_signatures_from_caller
    if caller is None:
        _take(tx, context, _from_networks("signature", client, limit))
    else:
        _take(tx, context, [_Counted(f"signature for {caller}", limit)])


def take_outbound(tx: Tx, context: Context, *, account: str) -> None:
    """Count that an account has another server called. Raises LimitExceeded."""
    _take(tx, context, [_Counted(f"outbound of {account}", context.config.limits.outbound_from_account)])


def take_question(tx: Tx, context: Context, *, client: str, server_name: str) -> None:
    """Count that somebody at `client` has a homeserver asked something. Raises LimitExceeded; then nothing is counted."""
    settings = context.config.limits
    to_server = f"outbound to {server_name.lower()}"
    counted = [
        *_from_networks("outbound", client, settings.outbound_from_client),
        *_part(f"{to_server} from {_site_of(client)}", settings.outbound_to_server, _PART_OF_TOTAL),
        _Counted(to_server, settings.outbound_to_server),
    ]
    _take(tx, context, counted)


def take_openid_token(tx: Tx, context: Context, *, account: str) -> None:
    """Count an OpenID token that an account gets. Raises LimitExceeded."""
    _take(tx, context, [_Counted(f"OpenID token of {account}", context.config.limits.openid_tokens_of_account)])


def take_identity_token(tx: Tx, context: Context, *, user_id: str) -> None:
    """Count an access token of the identity server that a user gets. Raises LimitExceeded."""
    _take(tx, context, [_Counted(f"identity token of {user_id}", context.config.limits.identity_tokens_of_user)])


def take_registration(tx: Tx, context: Context, *, client: str) -> None:
    """Count a new account of a caller's. Raises LimitExceeded."""
    _take(tx, context, _from_networks("registration", client, context.config.limits.registration_from_client))


def take_authentication(tx: Tx, context: Context, *, client: str, account: str | None = None) -> None:
    """Count an authentication session that a caller begins, or a device of `account`. Raises LimitExceeded."""
    limit = context.config.limits.authentication_from_client
    if account is None:
        _take(tx, context, _from_networks("authentication", client, limit))
    else:
        _take(tx, context, [_Counted(f"authentication by the devices of {account}", limit)])


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
        here = settings.guesses_at_account_from_client
        counted, silent = [], []
        if logged_in:
            # By account and not by network: strangers behind the same address do not hold up its devices.
            counted.append(_Counted(f"guess by the devices of {account} lately", here))
            counted.append(_Counted(f"guess by the devices of {account}", settings.guesses_at_account))
        else:
            counted += _from_networks("guess", client, settings.guesses_from_client, wide=not known)
        # Names stand last: they may be any text that somebody typed, and must not read like another limit.
        if typed and not logged_in:
            counted += _from_networks("guess", client, here, about=f" at {typed}", wide=not known)
        if account and not logged_in and not known:
            whole = settings.guesses_at_account
            # However many names and networks of 64 bits it tries, one site has a tenth of the account's count, or what one
            # caller may try at one name: else its next right password would be refused where no limit is told.
            part = Limit(
                burst=max(whole.burst // _PART_OF_TOTAL, here.burst),
                per_hour=max(whole.per_hour / _PART_OF_TOTAL, here.per_hour),
            )
            silent.append(_Counted(f"guess from {_site_of(client)} at the account {account}", part))
            silent.append(_Counted(f"guess at {account}", whole))
        self._context = context
        self._wanted = _wanted(context, counted)
        self._silent = _wanted(context, silent)
        self.keys = tuple(one.key for one in (*self._wanted, *self._silent))
        """What it counts for: hashes."""

    def full_at(self, tx: Tx) -> Mapping[str, int]:
        """What `refuse_if_none_is_left` and `is_spent` want to know."""
        wanted = (*self._wanted, *self._silent)
        return limits.full_at(tx, wanted, now=self._context.clock.now()) if wanted else {}

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
def networks_of(client: str) -> tuple[tuple[str, int], ...]:
    """The networks that a caller is counted in, the narrowest first, and how many times as much each of them may do."""
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
    """What counts as one caller: an IPv4 address, or the first 64 bits of an IPv6 address."""
    return networks_of(client)[0][0]


@lru_cache(maxsize=4096)
def known_network(client: str) -> str | None:
    """The network by which an account knows a caller again; None for callers without an IP address, who look all the same."""
    try:
        ip_address(client)
    except ValueError:
        return None
    return network_of(client)


def _site_of(client: str) -> str:
    """The widest network of a caller: an IPv4 address, or the first 48 bits of an IPv6 address."""
    return networks_of(client)[-1][0]


def _from_networks(what: str, client: str, limit: Limit, *, about: str = "", wide: bool = True) -> list[_Counted]:
    """What a caller counts for, `about` what it is; only a `wide` one in the networks around its own, too."""
    return [
        _Counted(f"{what} from {network}{about}", Limit(burst=limit.burst * times, per_hour=limit.per_hour * times))
        for network, times in (networks_of(client) if wide else networks_of(client)[:1])
    ]


def _part(name: str, total: Limit, part: int) -> list[_Counted]:
    """One of so many parts of what all have together; nothing where that would be less than one."""
    if total.burst < part:
        return []
    return [_Counted(name, Limit(burst=total.burst // part, per_hour=total.per_hour / part))]


def _is_ours(context: Context, user_id: str) -> bool:
    """Is this a user of our own homeserver? Tokens of the identity server may be anybody's."""
    return context.is_own_homeserver(user_id.partition(":")[2])


def has_used(tx: Tx, account: str | None, client: str) -> bool:
    """Is the caller in a network that the account has used? It is looked up without an account, too: for the same time."""
    return devices.knows(tx, account or "", known_network(client))


def _of_message(context: Context, address: Address, caller: _Caller, *, known: bool) -> list[_Counted]:
    return [
        *_of_recipient(context, address, known=known),
        *_of_messages_caller(context, address, caller, known=known),
    ]


def _of_recipient(context: Context, address: Address, *, known: bool) -> list[_Counted]:
    settings = context.config.limits
    # Where there are no accounts, none knows anybody.
    keeps = context.config.accounts is not None and not known and settings.message_to_address.burst > _KEPT
    counted = [
        _Counted(
            f"message to {address.medium} {address.canonical}", settings.message_to_address, _KEPT if keeps else 0
        ),
        _Counted("message", settings.message_total),
    ]
    return counted + _of_texts("sms", address, settings) if isinstance(address, Phone) else counted


def _of_messages_caller(context: Context, address: Address, caller: _Caller, *, known: bool) -> list[_Counted]:
    """Nothing for listed homeservers, which ask for all their people. Who is known or logged in has parts of their own."""
    settings = context.config.limits
    if is_homeserver(context.config, caller.client):
        return []
    trusted = known or _is_ours(context, caller.user_id)
    counted = _from_networks("message", caller.client, settings.message_from_client, wide=not trusted)
    totals = [("message", settings.message_total)]
    if isinstance(address, Phone):
        totals += [(f"sms to {address.region}", settings.sms_to_country), ("sms", settings.sms_total)]
    who = f"known callers in {_site_of(caller.client)}" if trusted else f"strangers in {_site_of(caller.client)}"
    for what, total in totals:
        counted += _part(f"{what} by {who}", total, _PART_OF_TOTAL)
    if isinstance(address, Phone):
        # Known or not: whoever leaves codes unconfirmed must not close a prefix alone.
        callers = f"callers in {_site_of(caller.client)}"
        counted += _part(f"sms to {address.prefix} by {callers}", settings.sms_to_prefix, _PART_OF_TOTAL)
    return counted


def _of_texts(kind: str, phone: Phone, settings: Limits) -> list[_Counted]:
    return [
        _Counted(f"{kind} to {phone.prefix}", settings.sms_to_prefix),
        _Counted(f"{kind} to {phone.region}", settings.sms_to_country),
        _Counted(kind, settings.sms_total),
    ]


def _count_text(tx: Tx, context: Context, phone: Phone) -> None:
    """Count an SMS to the number's prefix. Raises LimitExceeded if that is closed."""
    if context.config.limits.all == "off":
        return
    today = context.clock.now() // DAY
    sent, confirmed = limits.texts_of_prefix(tx, phone.prefix, since_day=today - 1, day=today)
    if sent >= _MILKED_AFTER and confirmed * _CONFIRMED_PART < sent:
        raise LimitExceeded(_OPENED_AGAIN, TOO_MANY_MESSAGES, cause="prefix closed")
    limits.count_text(tx, phone.prefix, today)


def _wanted(context: Context, counted: Iterable[_Counted]) -> list[limits.Wanted]:
    """What is to be taken: nothing where limits are off."""
    if context.config.limits.all == "off":
        return []
    hash_key = context.vault.hash_limit_key
    return [
        limits.Wanted(hash_key(one.name), max(1, round(HOUR / one.limit.per_hour)), one.limit.burst, one.kept)
        for one in counted
    ]


def _take(tx: Tx, context: Context, counted: Iterable[_Counted], message: str | None = None) -> None:
    _take_wanted(tx, context, _wanted(context, counted), message)


def _take_wanted(tx: Tx, context: Context, wanted: Sequence[limits.Wanted], message: str | None) -> None:
    wait = limits.take(tx, wanted, now=context.clock.now()) if wanted else 0
    if wait:
        raise LimitExceeded(wait, message)
