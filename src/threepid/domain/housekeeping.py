"""Forgetting what nobody can use any more."""

from threepid.clock import DAY
from threepid.domain.context import Context
from threepid.domain.invites import INVITES_KEPT
from threepid.domain.uia import IDLE
from threepid.domain.validation import KEPT_AFTER_EXPIRY
from threepid.storage import associations, devices, invites, limits, sessions, tallies, uia
from threepid.storage.database import Tx


async def run_once(context: Context) -> int:
    """Delete expired tokens and sessions; returns how many."""
    now = context.clock.now()

    def step(tx: Tx) -> int:
        return (
            devices.delete_expired(tx, now)
            + associations.delete_expired_tokens(tx, now)
            + sessions.delete_before(tx, now - KEPT_AFTER_EXPIRY)
            + limits.delete_full(tx, now)
            + limits.delete_texts_before(tx, now // DAY - 1)
            + tallies.delete_before(tx, now // DAY)
            + invites.delete_before(tx, now - INVITES_KEPT)
            + uia.delete_expired(tx, now=now, idle_since=now - IDLE)
        )

    return await context.database.write_aside(step)
