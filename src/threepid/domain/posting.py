"""How messages and calls get into the outbox: sealed, and with their place among others.

Each has a destination, which can be slow or out of reach as a whole; a caller, behind whose other messages it waits, and behind
nobody else's; and an urgency.
"""

from enum import IntEnum
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

import msgspec
from msgspec import Struct

from threepid.config import Config
from threepid.config.sections.delivery import gateway_of
from threepid.domain.addresses import Email, InvalidAddress, Phone, parse_phone
from threepid.domain.context import Context
from threepid.storage import outbox
from threepid.storage.engine.database import Tx

_CROWD_BITS: Final = 48
"""How much of an IPv6 address counts for fairness: nobody is held up long by sharing a place, and many have a whole /48."""
_HASH_DIGITS: Final = 32


class Urgency(IntEnum):
    """What goes first: the smaller."""

    CODE = 0
    """Somebody sits there and waits for it."""
    NOTICE = 1
    """Something has happened."""
    INVITATION = 2
    """Can wait a little."""
    CALL = 3
    """Another server is told something, and nobody waits."""


def post(
    tx: Tx,
    context: Context,
    params: Struct,
    *,
    channel: str,
    recipient: str,
    template: str,
    urgency: Urgency,
    caller: str,
    now: int,
    expires_at: int,
    language: str = "",
    due_at: int | None = None,
) -> str:
    """Put a message or call into the outbox; returns the row's id.

    `caller` is whoever causes it: an IP address or a user ID, of which only a hash is kept; '' for nobody.
    """
    order_id = context.entropy.id(now)
    outbox.insert(
        tx,
        order_id=order_id,
        channel=channel,
        recipient=recipient,
        language=language,
        template=template,
        params=seal(context, params),
        created_at=now,
        due_at=now if due_at is None else due_at,
        expires_at=expires_at,
        destination=destination(context.config, channel, recipient),
        caller=_hash(context, caller),
        urgency=urgency,
    )
    return order_id


def seal(context: Context, params: Struct) -> str:
    """What the outbox keeps of `params`: the same for the same."""
    return context.vault.seal_job(msgspec.json.encode(params).decode("utf-8"))


def destination(config: Config, channel: str, recipient: str) -> str:
    """What can be slow or out of reach as a whole: the domain of a mail, the gateway of an SMS, the server of a call."""
    if channel == Email.channel:
        return f"{channel}:{recipient.rpartition('@')[2].lower()}"
    if channel == Phone.channel:
        return f"{channel}:{_gateway(config, recipient)}"
    return f"{channel}:{recipient.lower()}"


def _gateway(config: Config, number: str) -> str:
    try:
        return gateway_of(config.sms, parse_phone(number).region) if config.sms else ""
    except InvalidAddress:
        return ""


def _hash(context: Context, caller: str) -> str:
    return context.vault.hash_limit_key(f"outbox of {_crowd(caller)}")[:_HASH_DIGITS] if caller else ""


def _crowd(caller: str) -> str:
    try:
        address = ip_address(caller)
    except ValueError:
        return caller
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or ip_network((address, _CROWD_BITS), strict=False))
