"""Tells a homeserver beside us of accounts, contacts and devices, so that it can serve the users whom we authenticate.

A change orders a job in its own transaction. A job does not say what has changed: it tells what is true when it runs, and so jobs
may run in any order and any number of times. A device list that arrives late deletes devices with their keys. Only one job at a
time runs for an account, therefore, and a login waits for the one that began before it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from threepid.clock import DAY, SECOND
from threepid.domain import audit, outbox
from threepid.domain.addresses import Email
from threepid.domain.authentication.grants import Grant
from threepid.domain.context import Context
from threepid.domain.outbox import Recipient, Urgency
from threepid.i18n import Text
from threepid.remote.guard import RemoteAnswer, RemoteError, RemoteRefused, Unreachable
from threepid.remote.homeserver.synapse import Failed, Synapse
from threepid.spec.errors import Exclusive, InvalidUsername, Unavailable, UserInUse
from threepid.spec.types import parse_user_id
from threepid.storage import accounts, devices, homeserver, threepids
from threepid.storage.engine.database import Tx
from threepid.storage.homeserver import LONGEST
from threepid.storage.outbox import ClaimedJob

CHANNEL: Final = "homeserver"
_LIFE: Final = 36_500 * DAY
"""The homeserver must learn of every change, however long it is away."""
_LOOK_SECONDS: Final = 0.05
_NOT_FOUND: Final = "M_NOT_FOUND"
_BATCH: Final = 500


class Name(StrEnum):
    """The jobs."""

    PROVISION = "provision"
    """The account exists, with its email addresses, and is locked or not."""
    SYNC_DEVICES = "sync_devices"
    """The account has these devices and no others."""
    RENAME_DEVICE = "rename_device"
    """A device has another display name."""
    DELETE_USER = "delete_user"
    """The account is deactivated."""


class Params(Struct, frozen=True, omit_defaults=True):
    """What a job cannot see when it runs."""

    erase: bool = False
    """Did the owner ask to forget as much as possible?"""
    device_id: str = ""
    """The device of RENAME_DEVICE: the others keep the names that clients gave them at the homeserver."""


class BusyHere(Exception):
    """Another job of the account is running. Try again in a moment."""


class Provisioning:
    """Keeps the homeserver's users and devices equal to our accounts and devices."""

    def __init__(self, context: Context, synapse: Synapse | None, wake_delivery: Callable[[], None]) -> None:
        """Without `synapse`, accounts stand alone, and nothing is told to anybody.

        `wake_delivery` tells the delivery that a job waits in the outbox.
        """
        self._context = context
        self._synapse = synapse
        self._wake_delivery = wake_delivery

    @property
    def synapse(self) -> Synapse | None:
        """The homeserver beside us."""
        return self._synapse

    # -- in the transaction of a change

    def account_changed(self, tx: Tx, user_id: str) -> None:
        """Order that the homeserver learns of a new account, its contacts, or its lock."""
        self._order(tx, user_id, Name.PROVISION)

    def devices_changed(self, tx: Tx, user_id: str) -> None:
        """Order that the homeserver learns of the devices, so that the tokens of a deleted device die there at once."""
        self._order(tx, user_id, Name.SYNC_DEVICES)

    def device_renamed(self, tx: Tx, user_id: str, device_id: str) -> None:
        """Order that the homeserver learns of a device's display name."""
        self._order(tx, user_id, Name.RENAME_DEVICE, Params(device_id=device_id))

    def deactivated(self, tx: Tx, user_id: str, *, erase: bool) -> None:
        """Order that the homeserver deactivates the account."""
        self._order(tx, user_id, Name.DELETE_USER, Params(erase))

    async def catch_up(self) -> int:
        """Order that the homeserver learns of accounts that were here before it, and of their devices; returns of how many."""
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

    async def tell_again(self) -> int:
        """Order that the homeserver learns of every account and its devices, as after its backup; returns of how many."""
        count, last = 0, ""

        def step(tx: Tx) -> list[str]:
            found = [account.user_id for account in accounts.after(tx, last, _BATCH)]
            for user_id in found:
                self._order_all(tx, user_id)
            return found

        while page := await self._context.database.write_aside(step):
            count, last = count + len(page), page[-1]
        self.hurry()
        return count

    def hurry(self) -> None:
        """Begin with ordered jobs now, after the transaction that ordered them."""
        if self._synapse is not None:
            self._wake_delivery()

    def _order(self, tx: Tx, user_id: str, name: Name, params: Params | None = None) -> None:
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
                await self._synapse.upsert_device(_localpart(user_id), device_id, display_name)
            except RemoteRefused as error:
                if error.errcode != _NOT_FOUND:
                    raise
                # The homeserver was restored from a backup that is older than the account.
                await self._provision_first(user_id, self._synapse)
                await self._synapse.upsert_device(_localpart(user_id), device_id, display_name)
        except (RemoteError, RemoteRefused) as error:
            raise Unavailable(cause=f"homeserver: {error}") from error
        # The device may have been logged out meanwhile, and the order for that may have run before ours.
        if await database.read(lambda tx: devices.get(tx, user_id, device_id)) is None:
            await database.write(lambda tx: self._order_all(tx, user_id))
            self.hurry()

    async def reactivate(self, user_id: str) -> None:
        """Undo the deactivation of the account at the homeserver, before it is undone here. Raises Unavailable."""
        if self._synapse is None:
            return
        try:
            async with self._alone(user_id):
                await self._synapse.reactivate_user(_localpart(user_id))
        except (RemoteError, BusyHere) as error:
            raise Unavailable(cause=f"homeserver: {error}") from error
        except RemoteRefused as error:
            if error.errcode != _NOT_FOUND:
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
            await self._synapse.allow_cross_signing_reset(_localpart(user_id))
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
        await synapse.provision_user(_localpart(user_id))
        now = self._context.clock.now()

        def step(tx: Tx) -> None:
            homeserver.provisioned(tx, user_id, now)
            self._order_all(tx, user_id)

        await self._context.database.write(step)

    def _order_all(self, tx: Tx, user_id: str) -> None:
        """Order that the homeserver learns of everything again.

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

    # -- jobs

    async def carry_out(self, order: ClaimedJob) -> None:
        """Do one job. Raises BusyHere, and the errors of `Synapse`."""
        if self._synapse is None:
            return
        user_id, params = order.recipient, msgspec.json.decode(order.params, type=Params)
        async with self._alone(user_id):
            if order.template == Name.PROVISION:
                await self._provision(user_id, self._synapse)
            elif order.template == Name.SYNC_DEVICES:
                await self._sync_devices(user_id, self._synapse)
            elif order.template == Name.RENAME_DEVICE:
                await self._rename_device(user_id, params.device_id, self._synapse)
            else:
                await self._delete_user(user_id, self._synapse, erase=params.erase)

    @contextlib.asynccontextmanager
    async def _alone(self, user_id: str) -> AsyncIterator[None]:
        """Run the only job of the account.

        While it is unknown whether the homeserver still works on a call, the next one must wait: the job ends by its age only.
        """
        now, database = self._context.clock.now(), self._context.database
        run_id = self._context.entropy.id(now)
        if not await database.write(lambda tx: homeserver.begin(tx, user_id, run_id, now)):
            raise BusyHere
        is_over = True
        try:
            yield
        except (RemoteError, asyncio.CancelledError) as error:
            is_over = isinstance(error, Failed | Unreachable)
            raise
        finally:
            if is_over:
                await database.write(lambda tx: homeserver.end(tx, user_id, run_id))

    async def _provision(self, user_id: str, synapse: Synapse) -> None:
        def look(tx: Tx) -> tuple[list[str], bool] | None:
            account = accounts.get(tx, user_id)
            # A deactivated account has no contacts. Telling of it would undo a part of the deactivation.
            if account is None or account.deactivated_at is not None:
                return None
            return _emails(tx, user_id), account.locked_at is not None

        found = await self._context.database.read(look)
        if found is not None:
            emails, locked = found
            await synapse.provision_user(_localpart(user_id), emails=emails, locked=locked)
            now = self._context.clock.now()
            await self._context.database.write(lambda tx: homeserver.provisioned(tx, user_id, now))

    async def _sync_devices(self, user_id: str, synapse: Synapse) -> None:
        def look(tx: Tx) -> tuple[bool, list[str], bool] | None:
            account = accounts.get(tx, user_id)
            # A locked account keeps its devices, and a deactivated one has lost them there already.
            if account is None or account.deactivated_at is not None:
                return None
            is_bridged = accounts.application_service(tx, user_id) is not None
            return homeserver.is_provisioned(tx, user_id), devices.ids(tx, user_id), is_bridged

        found = await self._context.database.read(look)
        if found is None:
            return
        is_provisioned, device_ids, is_bridged = found
        if not is_provisioned:
            await self._provision(user_id, synapse)
        if is_bridged:
            # The application service has made devices that we do not know. Our list would delete them with their keys.
            return
        try:
            await synapse.sync_devices(_localpart(user_id), device_ids)
        except RemoteRefused as error:
            if error.errcode != _NOT_FOUND:
                raise
            await self._provision(user_id, synapse)  # as in `admit`
            await synapse.sync_devices(_localpart(user_id), device_ids)

    async def _delete_user(self, user_id: str, synapse: Synapse, *, erase: bool) -> None:
        def look(tx: Tx) -> bool:
            account = accounts.get(tx, user_id)
            return account is not None and account.deactivated_at is not None

        if await self._context.database.read(look):
            try:
                await synapse.delete_user(_localpart(user_id), erase=erase)
            except RemoteRefused as error:
                if error.errcode == _NOT_FOUND:  # an account that never logged in
                    return
                # This also says that an identity server, which may be away, did not unbind an address. The user is active still.
                raise Failed(str(error)) from error

    async def _rename_device(self, user_id: str, device_id: str, synapse: Synapse) -> None:
        def look(tx: Tx) -> str | None:
            device = devices.get(tx, user_id, device_id)
            return None if device is None else device.display_name or ""

        name = await self._context.database.read(look)
        if name is not None:
            try:
                await synapse.update_device_display_name(_localpart(user_id), device_id, name)
            except RemoteRefused as error:
                if error.errcode != _NOT_FOUND:  # a device that only our list has
                    raise


def _emails(tx: Tx, user_id: str) -> list[str]:
    """The canonical email addresses of an account."""
    return [contact.canonical for contact in threepids.of_user(tx, user_id) if contact.medium == Email.medium]


def _localpart(user_id: str) -> str:
    """The name by which the homeserver knows the user: exactly, since users of old servers may have capital letters."""
    return parse_user_id(user_id).localpart
