"""Calls to homeservers: an address was bound to one of their users, and invitations waited for it.

https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv13pidonbind
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from threepid.clock import DAY
from threepid.domain import outbox
from threepid.domain.context import Context
from threepid.domain.outbox import Job, Recipient, Urgency
from threepid.domain.secrets.keys import Keyring
from threepid.remote.federation import Federation
from threepid.remote.on_bind import tell
from threepid.spec.types import parse_user_id
from threepid.storage import associations, invites
from threepid.storage.associations import Association
from threepid.storage.engine.database import Tx
from threepid.storage.invites import Invite
from threepid.storage.outbox import ClaimedJob

CHANNEL: Final = "onbind"
"""Channel of the outbox for these calls. The `recipient` is the server's name."""
CALLBACK_LIFE: Final = 7 * DAY
"""How long the outbox tries to call a homeserver."""
AT_ONCE: Final = 50
"""Maximum number of invitations in one call to a homeserver."""


class Callback(Struct, frozen=True):
    """A call to a homeserver: an address was bound to its user `mxid`."""

    mxid: str
    medium: str
    address: str


class Callbacks:
    """Queues and makes the calls."""

    def __init__(self, context: Context, name: str, keyring: Keyring, federation: Federation) -> None:
        """`name` is the identity server's name."""
        self._context = context
        self._name = name
        self._keyring = keyring
        self._federation = federation

    def bound(self, tx: Tx, association: Association) -> None:
        """Queue the call to the user's homeserver about invitations to the address, in the transaction that binds it."""
        mxid, medium, canonical = association.mxid, association.medium, association.canonical
        now = self._context.clock.now()
        invites.hold_address(tx, medium, canonical)
        waiting = invites.waiting(tx, medium, canonical, mxid, now)
        if not waiting:
            return
        try:
            server_name = parse_user_id(mxid).server_name
        except ValueError:
            return  # the v1 API accepts any text as a user ID, so there may be no homeserver to call
        if self._context.answers_for(server_name):
            for invite_id in waiting:  # this homeserver has no rooms to join
                invites.settle(tx, invite_id, mxid, now)
            return
        for start in range(0, len(waiting), AT_ONCE):
            job = Job(
                channel=CHANNEL,
                name=CHANNEL,
                recipient=Recipient(server_name),
                params=Callback(mxid, medium, canonical),
                urgency=Urgency.CALL,
                caller=mxid,
                expires_at=now + CALLBACK_LIFE,
            )
            job_id = outbox.put(tx, self._context, job, now=now)
            for invite_id in waiting[start : start + AT_ONCE]:
                invites.assign(tx, invite_id, mxid, job_id)

    async def hand_over(self, job: ClaimedJob) -> None:
        """Send a call from the outbox, if the address is still bound. Raises RemoteError if the call may have failed."""
        callback = msgspec.json.decode(job.params, type=Callback)
        told = await self._context.database.read(lambda tx: self._of_job(tx, job, callback))
        if not told:
            return
        body = {
            "medium": callback.medium,
            "address": callback.address,
            "mxid": callback.mxid,
            "invites": [self._signed(invite, callback.mxid) for invite in told],
        }
        await tell(self._federation, job.recipient, self._keyring.sign(self._name, body))
        now = self._context.clock.now()

        def step(tx: Tx) -> None:
            for invite in told:
                invites.delivered(tx, invite.id, job.id, now)

        await self._context.database.write(step)

    def _of_job(self, tx: Tx, job: ClaimedJob, callback: Callback) -> list[Invite]:
        association = associations.get(tx, callback.medium, callback.address, self._context.clock.now())
        if association is None or association.mxid != callback.mxid:
            return []  # the address was unbound in the meantime, so the signed statement would be false
        return invites.of_job(tx, job.id)

    def _signed(self, invite: Invite, mxid: str) -> dict[str, Any]:
        return {
            "medium": invite.medium,
            "address": invite.canonical,
            "mxid": mxid,
            "room_id": invite.room_id,
            "sender": invite.sender,
            "signed": self._keyring.sign(self._name, {"mxid": mxid, "token": invite.token}),
        }
