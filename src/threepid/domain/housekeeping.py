"""Forgetting what nobody can use any more."""

from typing import Final

from threepid.clock import DAY
from threepid.domain.context import Context
from threepid.domain.devices import ENDED_KEPT, OPENID_LIFE, forget_sealed_pairs
from threepid.domain.invites import INVITES_KEPT
from threepid.domain.uia import IDLE
from threepid.domain.validation import KEPT_AFTER_EXPIRY
from threepid.storage import associations, devices, invites, limits, sessions, tallies, uia
from threepid.storage.database import Tx

_BATCH: Final = 100
"""Devices whose tokens are ended in one transaction."""


async def run_once(context: Context) -> int:
    """Delete expired tokens and sessions; returns how many."""
    now = context.clock.now()
    await forget_sealed_pairs(context)
    ended_before = now - ENDED_KEPT

    def end(tx: Tx) -> int:
        return devices.end_expired(tx, now, ended_before=ended_before, at_most=_BATCH)

    while await context.database.write_aside(end) == _BATCH:
        pass

    def step(tx: Tx) -> int:
        return (
            devices.delete_expired(tx, now, ended_before=ended_before, latest=now + OPENID_LIFE)
            + associations.delete_expired_tokens(tx, now)
            + sessions.delete_before(tx, now - KEPT_AFTER_EXPIRY)
            + limits.delete_full(tx, now)
            + limits.delete_texts_before(tx, now // DAY - 1)
            + tallies.delete_before(tx, now // DAY)
            + invites.delete_before(tx, now - INVITES_KEPT)
            + uia.delete_expired(tx, now=now, idle_since=now - IDLE)
        )

    return await context.database.write_aside(step)
