"""Invitations that wait until their address is bound, and addresses that have opted out of invitations."""

from typing import Final

from msgspec import Struct

from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("invites")

_NEVER: Final = 2**62
"""A time after all invitations."""


class Invite(Struct, frozen=True):
    """An invitation to a room; times in milliseconds."""

    id: str
    """The ID by which operators know the invitation."""
    token: str
    medium: str
    canonical: str
    room_id: str
    sender: str
    public_key: str
    """The public half of the invitation's own key, as unpadded base64; '' if an import could not tell which it is."""
    created_at: int
    expires_at: int
    cancelled_at: int | None = None
    bound_to: str | None = None
    """The user to whom the address was bound, and whose homeserver is therefore told of the invitation."""
    delivered_at: int | None = None
    signed_for: str | None = None
    """The user for whom the invitation was signed with its own key."""


class _Id(Struct, frozen=True):
    id: str


def hold_address(tx: Tx, medium: str, canonical: str) -> None:
    """Lock the address until the commit, against transactions that store invitations to it or bind it."""
    tx.value(_sql.hold_address, medium=medium, canonical=canonical)


def insert(tx: Tx, invite: Invite) -> None:
    """Store a new invitation."""
    tx.run(
        _sql.insert,
        invite_id=invite.id,
        token=invite.token,
        medium=invite.medium,
        canonical=invite.canonical,
        room_id=invite.room_id,
        sender=invite.sender,
        public_key=invite.public_key,
        created_at=invite.created_at,
        expires_at=invite.expires_at,
    )


def by_token(tx: Tx, token: str) -> Invite | None:
    """The invitation with this token."""
    return tx.row(_sql.by_token, Invite, token=token)


def get(tx: Tx, invite_id: str) -> Invite | None:
    """The invitation with this ID."""
    return tx.row(_sql.get, Invite, invite_id=invite_id)


def after(tx: Tx, created_at: int, invite_id: str, count: int) -> list[Invite]:
    """The next `count` invitations after the one with this creation time and ID."""
    return tx.rows(_sql.after, Invite, created_at=created_at, invite_id=invite_id, count=count)


def of_address(tx: Tx, medium: str, canonical: str, *, before: Invite | None, count: int) -> list[Invite]:
    """The newest `count` invitations to an address, or those before `before`, newest first."""
    created_at, invite_id = (_NEVER, "") if before is None else (before.created_at, before.id)
    return tx.rows(
        _sql.of_address,
        Invite,
        medium=medium,
        canonical=canonical,
        created_at=created_at,
        invite_id=invite_id,
        count=count,
    )


def waiting(tx: Tx, medium: str, canonical: str, mxid: str, now: int) -> list[str]:
    """The IDs of the waiting invitations to an address, oldest first, without those that a job is telling `mxid` of."""
    return [row.id for row in tx.rows(_sql.waiting, _Id, medium=medium, canonical=canonical, mxid=mxid, now=now)]


def assign(tx: Tx, invite_id: str, mxid: str, job_id: str) -> None:
    """Let this job in the outbox, and no other, tell `mxid` of the invitation."""
    tx.run(_sql.assign, invite_id=invite_id, mxid=mxid, job_id=job_id)


def settle(tx: Tx, invite_id: str, mxid: str, now: int) -> None:
    """Mark the invitation of `mxid`, a user of this server, as delivered: there is no other homeserver to tell."""
    tx.run(_sql.settle, invite_id=invite_id, mxid=mxid, now=now)


def of_job(tx: Tx, job_id: str) -> list[Invite]:
    """The invitations that a job has yet to deliver, oldest first."""
    return tx.rows(_sql.of_job, Invite, job_id=job_id)


def delivered(tx: Tx, invite_id: str, job_id: str, now: int) -> bool:
    """Mark the invitation as delivered; False if it was cancelled or assigned to another job meanwhile."""
    return tx.run(_sql.delivered, AT_MOST_ONE, invite_id=invite_id, job_id=job_id, now=now) == 1


def sign_for(tx: Tx, token: str, *, mxid: str, public_key: str, now: int) -> bool:
    """Give the invitation to `mxid`; False if it is not in force, has another key, or belongs to another user."""
    return tx.run(_sql.sign_for, AT_MOST_ONE, token=token, mxid=mxid, public_key=public_key, now=now) == 1


def cancel(tx: Tx, invite_id: str, now: int) -> bool:
    """Cancel the invitation and expire its key; False if it was delivered or cancelled before."""
    if tx.run(_sql.cancel, AT_MOST_ONE, invite_id=invite_id, now=now) == 0:
        return False
    tx.run(_sql.end_key, AT_MOST_ONE, invite_id=invite_id, now=now)
    return True


def delete_before(tx: Tx, then: int, *, at_most: int) -> int:
    """Delete up to `at_most` invitations and as many short-lived keys that expired before `then`; returns how many."""
    limits = {"then": then, "at_most": at_most}
    return tx.run(_sql.delete_before, ANY, **limits) + tx.run(_sql.delete_keys_before, ANY, **limits)


def opt_out(tx: Tx, address_hash: str, now: int) -> None:
    """Record that the owner of an address wants no more invitations. A repetition is no error."""
    tx.run(_sql.insert_opt_out, AT_MOST_ONE, address_hash=address_hash, created_at=now)


def opted_out(tx: Tx, address_hash: str) -> bool:
    """Does the owner of an address want no invitations?"""
    return tx.value(_sql.opted_out, address_hash=address_hash) is not None


def of_user(tx: Tx, user_id: str, *, count: int) -> list[Invite]:
    """The newest `count` invitations that the user sent or got. Reads the whole table."""
    return tx.rows(_sql.of_user, Invite, user_id=user_id, count=count)
