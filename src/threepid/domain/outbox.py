"""The outbox: messages and calls that wait to be sent. Their parameters are encrypted.

Each job has an urgency, a destination that may be slow or unreachable as a whole, and a caller: a caller's many jobs delay only
the caller's own.
"""

from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

import msgspec
from msgspec import Struct

from threepid.config import Config
from threepid.config.sections.delivery import gateway_of
from threepid.domain.addresses import Email, InvalidAddress, Phone, parse_phone
from threepid.domain.context import Context
from threepid.domain.suppressions import holds_back
from threepid.i18n.catalogues import DEFAULT_LANGUAGE
from threepid.storage import outbox
from threepid.storage.engine.database import Tx

_CROWD_BITS: Final = 48
"""Prefix length by which IPv6 callers share a place: many customers have a whole /48, and sharing causes little delay."""
_HASH_DIGITS: Final = 32
_HELD_BACK: Final = "not sent: earlier mails to this address came back, or were reported as spam"
"""What operators read of a job that is recorded and not sent."""


class Urgency(IntEnum):
    """The urgency of a job. Smaller numbers go first."""

    CODE = 0
    """A person waits for the message."""
    NOTICE = 1
    """The message reports a change of an account."""
    INVITATION = 2
    """The message can wait a little."""
    CALL = 3
    """A request to another server, for which nobody waits."""


class Recipient(Struct, frozen=True):
    """The recipient of a job: an address and its owner's language, or the name of a server."""

    address: str
    language: str = DEFAULT_LANGUAGE
    """The tag of the language that `languages.of_account` finds for a person. It has no meaning for a server."""

    def __repr__(self) -> str:
        """Leave out the address, because it must not get into a log."""
        return "Recipient()"


class Job(Struct, frozen=True, kw_only=True):
    """A message or a call to be sent. `delivery/job.py` declares how jobs of each channel are sent."""

    channel: str
    name: str
    """The name of the message's template, or of the call."""
    recipient: Recipient
    params: Struct | msgspec.Raw
    urgency: Urgency
    caller: str = ""
    """The IP address or user ID that causes the job, '' for none. Only a hash is stored."""
    expires_at: int
    """When the job is dropped, in milliseconds since the Unix epoch."""
    due_at: int = 0
    """The earliest time to send the job, in milliseconds since the Unix epoch."""


def put(tx: Tx, context: Context, job: Job, *, now: int) -> str:
    """Put `job` into the outbox, in the transaction of the change that causes it. Returns the row's ID.

    A mail to an address from which mails come back is recorded as failed and not sent. That takes the same time, because the
    caller of an endpoint must not learn of it.
    """
    return put_for_all(tx, context, job, [job.recipient], now=now)[0]


def put_for_all(tx: Tx, context: Context, job: Job, recipients: Iterable[Recipient], *, now: int) -> list[str]:
    """Put `job` into the outbox for each of `recipients` in place of its own, encrypted once. Returns the rows' IDs."""
    params, caller = seal(context, job.params), _hash(context, job.caller)
    is_mail, is_code = job.channel == Email.channel, job.urgency is Urgency.CODE
    job_ids = []
    for recipient in recipients:
        address = recipient.address
        held_back = is_mail and holds_back(tx, context, address, is_code=is_code, now=now)
        job_ids.append(context.entropy.id(now))
        outbox.insert(
            tx,
            job_id=job_ids[-1],
            channel=job.channel,
            recipient=address,
            language=recipient.language,
            template=job.name,
            params=params,
            created_at=now,
            due_at=max(now, job.due_at),
            expires_at=job.expires_at,
            destination=destination(context.config, job.channel, address),
            caller=caller,
            urgency=job.urgency,
            held_back=_HELD_BACK if held_back else "",
        )
    return job_ids


def seal(context: Context, params: Struct | msgspec.Raw) -> str:
    """Encrypt `params` for the outbox. Equal parameters give equal results."""
    return context.vault.seal_job(msgspec.json.encode(params).decode("utf-8"))


def destination(config: Config, channel: str, recipient: str) -> str:
    """The job's destination, which may be unreachable as a whole: a mail's domain, an SMS's gateway or a call's server."""
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


@lru_cache(maxsize=4096)
def _crowd(caller: str) -> str:
    if caller.startswith("@"):  # a user ID
        return caller
    try:
        address = ip_address(caller)
    except ValueError:
        return caller
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or ip_network((address, _CROWD_BITS), strict=False))
