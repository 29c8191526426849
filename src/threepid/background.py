"""Forgetting what nobody can use any more."""

from collections.abc import Callable
from typing import Final

from threepid.clock import DAY, SKEW
from threepid.domain.accounts.devices import ENDED_KEPT, forget_sealed_pairs
from threepid.domain.authentication.uia import IDLE
from threepid.domain.context import Context
from threepid.domain.identity.invites import INVITES_KEPT
from threepid.domain.validation.sessions import KEPT_AFTER_EXPIRY
from threepid.storage import associations, devices, invites, limits, tallies, uia, validations
from threepid.storage.engine.database import Tx

BATCH: Final = 500
"""Rows of a kind that are forgotten in one transaction, where strangers can make many: what waits for it waits shortly."""


async def run_once(context: Context) -> int:
    """Delete expired tokens and sessions, each kind on its own and by batches; returns how many."""
    now = context.clock.now()
    ended_before = now - ENDED_KEPT
    await forget_sealed_pairs(context)
    kinds: tuple[Callable[[Tx], int], ...] = (
        lambda tx: devices.end_expired(tx, now, ended_before=ended_before, at_most=BATCH),
        lambda tx: uia.delete_expired(tx, now=now, limit=BATCH),
        lambda tx: uia.delete_idle(tx, idle_since=now - IDLE, limit=BATCH),
        lambda tx: validations.delete_before(tx, now - KEPT_AFTER_EXPIRY, limit=BATCH),
        lambda tx: limits.delete_full(tx, now, limit=BATCH),
    )
    whole: tuple[Callable[[Tx], int], ...] = (
        lambda tx: devices.delete_expired(tx, now, ended_before=ended_before),
        lambda tx: associations.delete_expired_tokens(tx, now),
        lambda tx: limits.delete_texts_outside(tx, since_day=now // DAY - 1, day=(now + SKEW) // DAY),
        lambda tx: tallies.delete_outside(tx, since_day=now // DAY, day=(now + SKEW) // DAY),
        lambda tx: invites.delete_before(tx, now - INVITES_KEPT),
    )
    count = 0
    for forget in kinds:
        while forgotten := await context.database.write_aside(forget):
            count += forgotten
            if forgotten < BATCH:
                break
    for forget in whole:
        count += await context.database.write_aside(forget)
    return count
