"""Forgetting what nobody can use any more."""

from threepid.clock import DAY, SKEW
from threepid.domain import limits
from threepid.domain.context import Context
from threepid.domain.invites import INVITES_KEPT
from threepid.domain.uia import IDLE
from threepid.domain.validation import KEPT_AFTER_EXPIRY
from threepid.storage import associations, devices, invites, sessions, tallies, uia
from threepid.storage.database import Tx


async def run_once(context: Context) -> int:
    """Delete expired tokens and sessions; returns how many."""
    now = context.clock.now()

    def step(tx: Tx) -> int:
        return (
            devices.delete_expired(tx, now)
            + associations.delete_expired_tokens(tx, now)
            + sessions.delete_before(tx, now - KEPT_AFTER_EXPIRY)
            + limits.forget(tx, now)
            + tallies.delete_outside(tx, since_day=now // DAY, day=(now + SKEW) // DAY)
            + invites.delete_before(tx, now - INVITES_KEPT)
            + uia.delete_expired(tx, now=now, idle_since=now - IDLE)
        )

    return await context.database.write_aside(step)
