"""The security log of accounts: what happened, when, from where and by whom.

An entry is written in the transaction of what it reports. It holds no secret and no text of a stranger: a contact is masked, and
of a user agent only the name of a known program is kept.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from threepid.clock import DAY, HOUR, MINUTE, Clock, Entropy
from threepid.domain import origin as origins
from threepid.domain.addresses import Phone, mask
from threepid.domain.context import Context
from threepid.domain.origin import Origin
from threepid.storage import audit
from threepid.storage.engine.database import Tx

_HASH_DIGITS: Final = 16
MOST_FAILURES: Final = 20
"""Maximum number of failed sign-ins of an account that are noted in an hour, because strangers cause them."""
MOST_OF_A_KIND: Final = 100
"""Maximum number of entries of one kind that the owner or strangers cause in an hour: more of the same say nothing new.

It counts by kind, so that many entries of one kind do not hide one of another.
"""


class Event(StrEnum):
    """What happened to an account."""

    REGISTERED = "registered"
    SIGNED_IN = "signed_in"
    SIGN_IN_FAILED = "sign_in_failed"
    CONFIRMATION_FAILED = "confirmation_failed"
    """A wrong password for a change, by an app or browser that is signed in."""
    SIGNED_OUT = "signed_out"
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    TOKEN_REUSED = "token_reused"  # noqa: S105 - the name of an event
    CONTACT_ADDED = "contact_added"
    CONTACT_REMOVED = "contact_removed"
    BOUND = "bound"
    UNBOUND = "unbound"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of an event
    DATA_DOWNLOADED = "data_downloaded"
    NOTICES_CHANGED = "notices_changed"
    LANGUAGE_CHANGED = "language_changed"
    DEACTIVATED = "deactivated"
    LOCKED = "locked"
    UNLOCKED = "unlocked"
    REACTIVATED = "reactivated"
    KEY_RESET_ALLOWED = "key_reset_allowed"
    ADMIN_GRANTED = "admin_granted"
    ADMIN_REVOKED = "admin_revoked"
    CONTACT_VERIFIED = "contact_verified"
    LINK_SENT = "link_sent"
    LIMITS_CLEARED = "limits_cleared"
    MESSAGE_RESENT = "message_resent"
    MESSAGE_DROPPED = "message_dropped"
    SUPPRESSION_REMOVED = "suppression_removed"
    INVITE_CANCELLED = "invite_cancelled"
    REGISTRATION_TOKEN_CREATED = "registration_token_created"  # noqa: S105 - the name of an event
    REGISTRATION_TOKEN_DELETED = "registration_token_deleted"  # noqa: S105 - likewise
    CONSOLE_OPENED = "console_opened"
    CONSOLE_CLOSED = "console_closed"
    OPERATOR_TOKEN_CREATED = "operator_token_created"  # noqa: S105 - the name of an event
    OPERATOR_TOKEN_REVOKED = "operator_token_revoked"  # noqa: S105 - likewise
    SIGNING_KEY_ROTATED = "signing_key_rotated"
    SIGNING_KEYS_IMPORTED = "signing_keys_imported"
    SECRET_ACCEPTED = "secret_accepted"  # noqa: S105 - likewise
    PEPPER_ROTATION_BEGAN = "pepper_rotation_began"
    HOMESERVER_RESYNCED = "homeserver_resynced"
    IMPORT_BEGAN = "import_began"
    """An import changed something for the first time since the last one that came to its end."""
    IMPORT_FINISHED = "import_finished"
    DATABASE_COPIED = "database_copied"


class CallerKind(StrEnum):
    """Who did it."""

    OWNER = "owner"
    OPERATOR = "operator"
    SERVER = "server"
    STRANGER = "stranger"


class Caller(Struct, frozen=True):
    """Who does something to an account, and the name of an operator's token or login."""

    kind: CallerKind = CallerKind.OWNER
    name: str = ""


OWNER: Final = Caller()
"""The owner of the account."""


class Entry(Struct, frozen=True):
    """One entry, as people and operators see it."""

    id: str
    at: int
    event: str
    """An `Event`, or one that a newer version of the server wrote."""
    caller_kind: str
    caller: str
    origin: Origin
    details: dict[str, Any]


def note(
    tx: Tx,
    context: Context,
    event: Event,
    user_id: str,
    origin: Origin,
    *,
    by: CallerKind | Caller = OWNER,
    **details: str | int,
) -> None:
    """Append an entry about the account `user_id`, '' for one about no account.

    What the owner or strangers do is left out if the account had too much of that kind in the last hour.
    """
    caller = by if isinstance(by, Caller) else Caller(by)
    entry = entry_of(context.clock, context.entropy, event, user_id, origin, caller, details)
    if caller.kind in (CallerKind.OPERATOR, CallerKind.SERVER):
        audit.append(tx, entry)
    else:
        audit.append_bounded(tx, entry, since=entry.at - HOUR, at_most=MOST_OF_A_KIND)


def note_failure(tx: Tx, context: Context, user_id: str, origin: Origin, *, by_owner: bool) -> None:
    """Append a wrong password, if the account exists and had not too many of them in the last hour.

    `by_owner` if it was entered for a change, where the account is signed in.
    """
    event = Event.CONFIRMATION_FAILED if by_owner else Event.SIGN_IN_FAILED
    by = CallerKind.OWNER if by_owner else CallerKind.STRANGER
    entry = entry_of(context.clock, context.entropy, event, user_id, origin, Caller(by), {})
    audit.append_bounded(tx, entry, since=entry.at - HOUR, at_most=MOST_FAILURES)


def entry_of(
    clock: Clock,
    entropy: Entropy,
    event: Event,
    user_id: str,
    origin: Origin,
    by: Caller,
    details: Mapping[str, str | int],
) -> audit.Entry:
    """A new entry, which the caller has to append."""
    now = clock.now()
    return audit.Entry(
        entry_id=entropy.id(now),
        at=now,
        kind=event,
        user_id=user_id,
        caller_kind=by.kind,
        caller=by.name,
        origin=origin.to_text(),
        details=msgspec.json.encode(details).decode("utf-8"),
    )


async def entries_of(context: Context, user_id: str, *, count: int, before: str | None = None) -> list[Entry]:
    """The newest `count` entries about an account, or those older than the entry with the ID `before`, newest first.

    They are for the account's owner, who does not learn from where an operator acts.
    """
    found = await context.database.read(lambda tx: audit.of_user(tx, user_id, count=count, before=before))
    return [
        Entry(
            entry.entry_id,
            entry.at,
            entry.kind,
            entry.caller_kind,
            entry.caller,
            Origin(entry.at) if entry.caller_kind == CallerKind.OPERATOR else origins.from_text(entry.origin),
            msgspec.json.decode(entry.details, type=dict[str, Any]),
        )
        for entry in found
    ]


def contact(context: Context, medium: str, canonical: str) -> str:
    """An address as entries name it: shortened or, with `audit.addresses = "hashed"`, as a keyed hash."""
    if context.config.audit.addresses == "hashed":
        return context.vault.hash_limit_key(f"audited {medium} {canonical}")[:_HASH_DIGITS]
    return mask(f"+{canonical}" if medium == Phone.medium else canonical)


def erase(tx: Tx, user_id: str) -> None:
    """Delete the entries about an account whose owner has it erased."""
    audit.delete_of_user(tx, user_id)


def delete_old(tx: Tx, context: Context, now: int, *, at_most: int) -> int:
    """Delete entries and sums that are older than `audit.retention_days`; returns how many of both, at most `at_most` of each."""
    then = now - context.config.audit.retention_days * DAY
    return audit.delete_before(tx, then, at_most=at_most) + audit.delete_sums_before(
        tx, then // MINUTE, at_most=at_most
    )
