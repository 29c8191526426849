"""What the homeserver beside us knows of our accounts, and which of them a job is telling it about; times in milliseconds."""

from typing import Final

from msgspec import Struct

from threepid.clock import SECOND, SKEW
from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("homeserver")

LONGEST: Final = 40 * SECOND
"""Longest time that a job counts as running: longer than a call takes, so that one whose process died does not block others."""


class _UserId(Struct, frozen=True):
    user_id: str


def is_provisioned(tx: Tx, user_id: str) -> bool:
    """Does the homeserver have the account?"""
    return tx.value(_sql.provisioned_at, user_id=user_id) is not None


def provisioned(tx: Tx, user_id: str, now: int) -> None:
    """Note that the homeserver has the account."""
    tx.run(_sql.provisioned, user_id=user_id, now=now)


def take_unknown(tx: Tx, *, at_most: int) -> list[str]:
    """Active accounts of which the homeserver has not been told; they count as told from now on."""
    return [row.user_id for row in tx.rows(_sql.take_unknown, _UserId, at_most=at_most)]


def begin(tx: Tx, user_id: str, run_id: str, now: int) -> bool:
    """Begin a job for the account; False while another one runs."""
    return tx.run(_sql.begin, AT_MOST_ONE, user_id=user_id, run_id=run_id, now=now, **_alive(now)) == 1


def end(tx: Tx, user_id: str, run_id: str) -> None:
    """End a job for the account. Nothing happens if it does not run any more."""
    tx.run(_sql.end, AT_MOST_ONE, user_id=user_id, run_id=run_id)


def running(tx: Tx, user_id: str, now: int) -> str | None:
    """The ID of the job that runs for the account."""
    run_id: str | None = tx.value(_sql.running, user_id=user_id, **_alive(now))
    return run_id


def hold_waiting(tx: Tx, user_id: str, name: str, params: str) -> bool:
    """Is there a job `name` for the account that no worker has claimed? None can claim it until `tx` ends."""
    return tx.run(_sql.hold_waiting, ANY, recipient=user_id, template=name, params=params) > 0


def _alive(now: int) -> dict[str, int]:
    """The times between which a job that runs has begun."""
    return {"after": now - LONGEST, "before": now + SKEW}
