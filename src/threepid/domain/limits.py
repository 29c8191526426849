"""Counts uses against the limits of the configuration.

A caller counts by IPv4 address or IPv6 /64. Strangers with an IPv6 address also count by their /56 and /48:
docs/decisions/0011-who-a-limit-counts.md.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from threepid.clock import DAY, HOUR
from threepid.config import Limits
from threepid.domain.addresses import Address, InvalidAddress, Phone, parse_phone
from threepid.domain.context import Context
from threepid.domain.networks import known_network, network_of, site_of
from threepid.domain.policy import is_homeserver
from threepid.domain.registrable import registrable_domain
from threepid.domain.uses import PART_OF_TOTAL, Counted, as_wanted, from_networks, part_of, take
from threepid.i18n import Text
from threepid.spec.errors import LimitExceeded
from threepid.storage import devices, limits
from threepid.storage.engine.database import StorageError, Tx

_INVITATIONS_PART: Final = 4
"""Invitations get at most a quarter of the server's messages."""
_KEPT: Final = 1
"""Number of messages to an address that are reserved for callers whom its account knows."""
_MILKED_AFTER: Final = 50
_CONFIRMED_PART: Final = 10
"""A phone prefix is closed if it got at least 50 SMS today and yesterday, and fewer than a tenth of them were confirmed."""
_OPENED_AGAIN: Final = HOUR

TOO_MANY_MESSAGES: Final = Text("Too many messages were sent recently. Please wait %(wait)s.")


class _Caller(Struct, frozen=True):
    """The caller who causes a message: an IP address, and the user ID of the request's access token ('' for none)."""

    client: str
    user_id: str


def take_message(
    tx: Tx, context: Context, address: Address, *, client: str, user_id: str = "", account: str | None = None
) -> None:
    """Count a message to `address` that a caller at `client` causes.

    `account` is the account that has the address, `user_id` that of the request's access token ('' for none). Raises
    LimitExceeded; then nothing is counted, and `charge_for_refusal` charges the caller.
    """
    caller = _Caller(client, user_id)
    # A listed homeserver asks for its own users, who are not strangers.
    known = (account is not None and user_id == account) or is_homeserver(context.config, client)
    try:
        take(tx, context, _of_message(context, address, caller, known=known), TOO_MANY_MESSAGES)
    except LimitExceeded:
        if known or not has_used(tx, account, client):
            raise
        take(tx, context, _of_message(context, address, caller, known=True), TOO_MANY_MESSAGES)
    if isinstance(address, Phone):
        _count_text(tx, context, address)


def take_invitation_message(tx: Tx, context: Context, address: Address, *, client: str, user_id: str) -> None:
    """Count the message of an invitation. `take_invite` counts its sender and network. Raises LimitExceeded.

    Without an access token the sender is unproven: then the caller counts as in `take_message`.
    """
    total = context.config.limits.message_total
    counted = [
        *_of_recipient(context, address, known=False),
        *part_of("message of an invitation", total, _INVITATIONS_PART),
    ]
    if not user_id:
        counted += _of_messages_caller(context, address, _Caller(client, ""), known=False)
    take(tx, context, counted, TOO_MANY_MESSAGES)
    if isinstance(address, Phone):
        _count_text(tx, context, address)


async def charge_for_refusal(
    context: Context, refused: LimitExceeded, *, client: str, sender: str = ""
) -> LimitExceeded:
    """Charge for a request that `refused` rejects: a message to the caller's network, or an invitation to `sender`.

    Otherwise the caller that asks most often would get the next message that the limits allow. Returns the error for the caller,
    who may have to wait longer now.
    """
    settings = context.config.limits
    if sender:
        counted = [Counted(f"invite from {sender}", settings.invites_from_sender)]
    elif is_homeserver(context.config, client):
        return refused
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
        return refused
    if wait <= refused.retry_after_ms:
        return refused
    # A caller that waits as long as told must not be rejected again.
    return LimitExceeded(wait, refused.text, cause=refused.cause, limit=refused.limit)


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


def take_notices(
    tx: Tx, context: Context, contacts: Iterable[tuple[str, str]], *, optional: bool = False
) -> set[tuple[str, str]]:
    """Count a notice to each contact, a medium and a canonical address; returns those to which it may be sent.

    `optional` notices leave half of the limit: many sign-ins must not suppress the notice of a new password.
    SMS notices also count by prefix, country and in total, separately from SMS with codes: otherwise requests for many codes
    could suppress a notice.
    """
    counted = dict[tuple[str, str], list[Counted]]()
    for medium, canonical in contacts:
        counted[medium, canonical] = [_of_notice(context, medium, canonical, optional=optional)]
        if medium == Phone.medium:
            try:
                counted[medium, canonical] += _of_texts("sms notice", parse_phone(canonical), context.config.limits)
            except InvalidAddress:
                del counted[medium, canonical]
    groups = [as_wanted(context, ones) for ones in counted.values()]
    taken = limits.take_groups(tx, groups, now=context.clock.now())
    return {contact for contact, whole in zip(counted, taken, strict=True) if whole}


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
        counted += from_networks("invite", client, settings.invites_from_network, wide=wide)
    take(tx, context, counted, Text("Too many invitations were sent recently. Please wait %(wait)s."))


def take_signature(tx: Tx, context: Context, *, caller: str | None, client: str) -> None:
    """Count a signature of an invitation for the user `caller` or, if None, for `client`. Raises LimitExceeded."""
    limit = context.config.limits.invite_signatures_from_caller
    if caller is None:
        take(tx, context, from_networks("signature", client, limit))
    else:
        take(tx, context, [Counted(f"signature for {caller}", limit)])


def take_outbound(tx: Tx, context: Context, *, account: str) -> None:
    """Count a call to another server on behalf of `account`. Raises LimitExceeded."""
    take(tx, context, [Counted(f"outbound of {account}", context.config.limits.outbound_from_account)])


def take_question(tx: Tx, context: Context, *, client: str, server_name: str) -> None:
    """Count a request to a homeserver on behalf of a caller at `client`. Raises LimitExceeded; then nothing is counted."""
    settings = context.config.limits
    to_server = f"outbound to {server_name.lower()}"
    counted = [
        *from_networks("outbound", client, settings.outbound_from_client),
        *part_of(f"{to_server} from {site_of(client)}", settings.outbound_to_server, PART_OF_TOTAL),
        Counted(to_server, settings.outbound_to_server),
    ]
    take(tx, context, counted)


def take_openid_token(tx: Tx, context: Context, *, account: str) -> None:
    """Count an OpenID token issued to `account`. Raises LimitExceeded."""
    take(tx, context, [Counted(f"OpenID token of {account}", context.config.limits.openid_tokens_of_account)])


def take_identity_token(tx: Tx, context: Context, *, user_id: str) -> None:
    """Count an identity server's access token issued to `user_id`. Raises LimitExceeded."""
    take(tx, context, [Counted(f"identity token of {user_id}", context.config.limits.identity_tokens_of_user)])


def take_bounce(tx: Tx, context: Context, *, client: str) -> None:
    """Count a report about a mail that a caller at `client` sends. Raises LimitExceeded."""
    take(tx, context, from_networks("bounce", client, context.config.limits.bounces_from_client, wide=False))


def take_registration(tx: Tx, context: Context, *, client: str) -> None:
    """Count an account that a caller at `client` registers. Raises LimitExceeded."""
    take(tx, context, from_networks("registration", client, context.config.limits.registration_from_client))


def take_app(tx: Tx, context: Context, *, client: str) -> None:
    """Count an OAuth 2.0 app that a caller at `client` registers. Raises LimitExceeded."""
    take(tx, context, from_networks("app", client, context.config.limits.oauth_from_client))


def take_device_code(tx: Tx, context: Context, *, client: str) -> None:
    """Count a device at `client` that asks for a code. Raises LimitExceeded."""
    take(tx, context, from_networks("device code", client, context.config.limits.oauth_from_client))


def take_authentication(tx: Tx, context: Context, *, client: str, account: str | None = None) -> None:
    """Count an authentication session or refresh of `account`'s devices or, if None, of `client`. Raises LimitExceeded."""
    limit = context.config.limits.authentication_from_client
    if account is None:
        take(tx, context, from_networks("authentication", client, limit))
    else:
        take(tx, context, [Counted(f"authentication by the devices of {account}", limit)])


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
    counted = from_networks("message", caller.client, settings.message_from_client, wide=not trusted)
    totals = [("message", settings.message_total)]
    if isinstance(address, Phone):
        totals += [(f"sms to {address.region}", settings.sms_to_country), ("sms", settings.sms_total)]
    who = f"known callers in {site_of(caller.client)}" if trusted else f"strangers in {site_of(caller.client)}"
    for what, total in totals:
        counted += part_of(f"{what} by {who}", total, PART_OF_TOTAL)
    if isinstance(address, Phone):
        # Known callers and strangers together, because unconfirmed codes of one site must not close a prefix.
        callers = f"callers in {site_of(caller.client)}"
        counted += part_of(f"sms to {address.prefix} by {callers}", settings.sms_to_prefix, PART_OF_TOTAL)
    return counted


def _of_notice(context: Context, medium: str, canonical: str, *, optional: bool) -> Counted:
    limit = context.config.limits.notice_to_address
    return Counted(f"notice to {medium} {canonical}", limit, limit.burst // 2 if optional else 0)


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
