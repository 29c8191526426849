"""Validation sessions that can set a new password."""

from threepid.clock import DAY
from threepid.domain.context import Context
from threepid.domain.validation.purposes import RESETS
from threepid.i18n import Text
from threepid.spec.errors import Forbidden
from threepid.storage import threepids, validations
from threepid.storage.engine.database import Tx
from threepid.storage.threepids import Threepid
from threepid.storage.validations import Session


def is_stale(context: Context, contact: Threepid) -> bool:
    """Was the contact validated too long ago to recover its account?"""
    days = context.config.policy.reset_contact_max_age_days
    return days > 0 and contact.validated_at < context.clock.now() - days * DAY


def refuse_stale(tx: Tx, context: Context, session: Session) -> None:
    """Raise Forbidden if an account's contact was validated too long ago to recover it: the address may have a new owner."""
    days = context.config.policy.reset_contact_max_age_days
    contact = threepids.get(tx, session.medium, session.canonical) if days else None
    if contact is not None and is_stale(context, contact):
        raise Forbidden(Text("This address was validated too long ago to recover an account with it."))


def close_resets(tx: Tx, *, medium: str, canonical: str, now: int) -> None:
    """Close all open sessions by which the address could still set a new password."""
    for purpose in RESETS:
        validations.close_of_address(tx, medium=medium, canonical=canonical, purpose=purpose, now=now)
