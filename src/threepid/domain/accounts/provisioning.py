"""Tells a homeserver beside us of accounts, contacts and devices, so that it can serve the users whom we authenticate.

A change puts a job into the outbox, in its own transaction: `provisioning_jobs` says what the job does. A login waits for the job
that began before it, because a device list that arrives late deletes devices with their keys.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from threepid.clock import DAY, SECOND
from threepid.domain import audit, outbox
from threepid.domain.accounts.provisioning_jobs import (
    CHANNEL,
    NOT_FOUND,
    BusyHere,
    Name,
    Params,
    ProvisioningJobs,
    localpart,
)
from threepid.domain.authentication.grants import Grant
from threepid.domain.context import Context
from threepid.domain.outbox import Recipient, Urgency
from threepid.i18n import Text
from threepid.remote.guard import RemoteAnswer, RemoteError, RemoteRefused
from threepid.remote.homeserver.synapse import Synapse
from threepid.spec.errors import Exclusive, InvalidUsername, Unavailable, UserInUse
from threepid.storage import accounts, devices, homeserver
from threepid.storage.engine.database import Tx
from threepid.storage.homeserver import LONGEST

_LIFE: Final = 36_500 * DAY
"""The homeserver must learn of every change, however long it is away."""
_LOOK_SECONDS: Final = 0.05
_BATCH: Final = 500


class Provisioning:
    """Keeps the homeserver's users and devices equal to our accounts and devices."""

    def __init__(self, context: Context, synapse: Synapse | None, wake_delivery: Callable[[], None]) -> None:
        """Without `synapse`, accounts stand alone, and nothing is told to anybody.

        `wake_delivery` tells the delivery that a job waits in the outbox.
        """
        self._context = context
        self._synapse = synapse
        self._wake_delivery = wake_delivery
        self.jobs = ProvisioningJobs(context, synapse)
        """The jobs themselves, which the delivery runs."""

    @property
    def synapse(self) -> Synapse | None:
        """The homeserver beside us."""
        return self._synapse

    # -- in the transaction of a change

    def account_changed(self, tx: Tx, user_id: str) -> None:
        """Queue the job that tells the homeserver of a new account, its contacts, or its lock."""
        self._queue(tx, user_id, Name.PROVISION)

    def devices_changed(self, tx: Tx, user_id: str) -> None:
        """Queue the job that tells it of the devices, so that the tokens of a deleted device die there at once."""
        self._queue(tx, user_id, Name.SYNC_DEVICES)

    def device_renamed(self, tx: Tx, user_id: str, device_id: str) -> None:
        """Queue the job that tells it of a device's display name."""
        self._queue(tx, user_id, Name.RENAME_DEVICE, Params(device_id=device_id))

    def deactivated(self, tx: Tx, user_id: str, *, erase: bool) -> None:
        """Queue the job that deactivates the account there."""
        self._queue(tx, user_id, Name.DELETE_USER, Params(erase))

    async def catch_up(self) -> int:
        """Queue the jobs for accounts that were here before the homeserver, and for their devices; returns for how many."""
        if self._synapse is None:
            return 0

        def step(tx: Tx) -> int:
            found = homeserver.take_unknown(tx, at_most=_BATCH)
            for user_id in found:
                self.account_changed(tx, user_id)
                self.devices_changed(tx, user_id)
            return len(found)

        count = 0
        while taken := await self._context.database.write_aside(step):
            count += taken
        self.hurry()
        return count

    async def tell_again(self, note: Callable[[Tx], None]) -> int:
        """Queue the jobs for every account and its devices, as after a restored backup; returns for how many.

        `note` notes that in the transaction of the first jobs; it is not called without accounts.
        """
        count, last = 0, ""

        def step(tx: Tx) -> list[str]:
            found = [account.user_id for account in accounts.after(tx, last, _BATCH)]
            if found and not last:
                note(tx)
            for user_id in found:
                self._queue_all(tx, user_id)
            return found

        while page := await self._context.database.write_aside(step):
            count, last = count + len(page), page[-1]
        self.hurry()
        return count

    def hurry(self) -> None:
        """Begin with the queued jobs now, after the transaction that queued them."""
        if self._synapse is not None:
            self._wake_delivery()

    def _queue(self, tx: Tx, user_id: str, name: Name, params: Params | None = None) -> None:
        params = params or Params()
        if self._synapse is None or homeserver.hold_waiting(tx, user_id, name, outbox.seal(self._context, params)):
            return
        now = self._context.clock.now()
        job = outbox.Job(
            channel=CHANNEL,
            name=name,
            recipient=Recipient(user_id),
            params=params,
            urgency=Urgency.CODE,
            expires_at=now + _LIFE,
        )
        outbox.put(tx, self._context, job, now=now)

    # -- what a caller waits for

    async def check_username(self, username: str) -> None:
        """Raise InvalidUsername, UserInUse or Exclusive if the homeserver cannot have a new user of this name.

        Raises Unavailable if the homeserver is away.
        """
        if self._synapse is None:
            return
        if username.startswith("_") or username.isdigit():
            raise InvalidUsername(Text("A username must not begin with '_', and must not consist of digits only."))
        try:
            await self._synapse.is_localpart_available(username)
        except RemoteRefused as error:
            refusals = {"M_INVALID_USERNAME": InvalidUsername, "M_USER_IN_USE": UserInUse, "M_EXCLUSIVE": Exclusive}
            raise refusals.get(error.errcode, Unavailable)(cause=str(error)) from error
        except RemoteError as error:
            raise Unavailable(cause=f"homeserver: {error.cause}") from error

    async def admit(self, user_id: str, device_id: str, display_name: str | None) -> None:
        """Let the homeserver have a device that was just logged in, before its client gets the token.

        `display_name` names a new device; None leaves the name of a known one. Raises Unavailable: then nobody may get the token.
        """
        if self._synapse is None:
            return
        database = self._context.database
        try:
            if not await database.read(lambda tx: homeserver.is_provisioned(tx, user_id)):
                await self._provision_first(user_id, self._synapse)
            await self._wait_for_job(user_id)
            try:
                await self._synapse.upsert_device(localpart(user_id), device_id, display_name)
            except RemoteRefused as error:
                if error.errcode != NOT_FOUND:
                    raise
                # The homeserver was restored from a backup that is older than the account.
                await self._provision_first(user_id, self._synapse)
                await self._synapse.upsert_device(localpart(user_id), device_id, display_name)
        except (RemoteError, RemoteRefused) as error:
            raise Unavailable(cause=f"homeserver: {error}") from error
        # The device may have been logged out meanwhile, and the job for that may have run before our call.
        if await database.read(lambda tx: devices.get(tx, user_id, device_id)) is None:
            await database.write(lambda tx: self._queue_all(tx, user_id))
            self.hurry()

    async def reactivate(self, user_id: str) -> None:
        """Undo the deactivation of the account at the homeserver, before it is undone here. Raises Unavailable."""
        if self._synapse is None:
            return
        try:
            async with self.jobs.alone(user_id):
                await self._synapse.reactivate_user(localpart(user_id))
        except (RemoteError, BusyHere) as error:
            raise Unavailable(cause=f"homeserver: {error}") from error
        except RemoteRefused as error:
            if error.errcode != NOT_FOUND:
                raise Unavailable(cause=f"homeserver: {error}") from error

    async def allow_cross_signing_reset(self, user_id: str, grant: Grant) -> None:
        """Let the owner replace the cross-signing keys once in the next ten minutes, and use `grant` up.

        Raises Forbidden, and Unavailable.
        """
        if self._synapse is None:
            return

        def step(tx: Tx) -> None:
            grant.consume(tx)
            audit.note(tx, self._context, audit.Event.KEY_RESET_ALLOWED, user_id, grant.origin)

        await self._context.database.write(step)
        try:
            await self._synapse.allow_cross_signing_reset(localpart(user_id))
        except (RemoteError, RemoteRefused) as error:
            raise Unavailable(cause=f"homeserver: {error}") from error

    async def forward(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> RemoteAnswer:
        """The homeserver's answer to a request that it must answer itself. Raises Unavailable."""
        if self._synapse is None:
            raise Unavailable
        try:
            return await self._synapse.forward(method, target, headers, body)
        except RemoteError as error:
            raise Unavailable(cause=f"homeserver: {error.cause}") from error

    async def _provision_first(self, user_id: str, synapse: Synapse) -> None:
        """Give the homeserver an account that it does not know: only the name, since a job may be telling the rest meanwhile."""
        await synapse.provision_user(localpart(user_id))
        now = self._context.clock.now()

        def step(tx: Tx) -> None:
            homeserver.provisioned(tx, user_id, now)
            self._queue_all(tx, user_id)

        await self._context.database.write(step)

    def _queue_all(self, tx: Tx, user_id: str) -> None:
        """Queue the jobs that tell the homeserver of everything again.

        The account may be deactivated, although a call has just made a user or a device of it there.
        """
        account = accounts.get(tx, user_id)
        if account is None or account.deactivated_at is not None:
            self.deactivated(tx, user_id, erase=False)
        else:
            self.account_changed(tx, user_id)
            self.devices_changed(tx, user_id)

    async def _wait_for_job(self, user_id: str) -> None:
        """Wait for the job that may have read the account's devices before the latest one was committed."""
        clock, database = self._context.clock, self._context.database

        def look(tx: Tx) -> str | None:
            return homeserver.running(tx, user_id, clock.now())

        end = clock.monotonic() + LONGEST / SECOND
        before = await database.read(look)
        while before is not None and await database.read(look) == before:
            if clock.monotonic() > end:
                raise RemoteError("a job of the account takes too long")
            await asyncio.sleep(_LOOK_SECONDS)
