"""Calls to the homeserver beside us: each tells it of an account, its contacts or its devices.

A job does not say what has changed: it tells what is true when it runs, and so jobs may run in any order and any number of times.
A device list that arrives late deletes devices with their keys. Only one job at a time runs for an account, therefore.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from threepid.domain.addresses import Email
from threepid.domain.context import Context
from threepid.remote.guard import RemoteError, RemoteRefused, Unreachable
from threepid.remote.homeserver.synapse import Failed, Synapse
from threepid.spec.types import parse_user_id
from threepid.storage import accounts, devices, homeserver, threepids
from threepid.storage.engine.database import Tx
from threepid.storage.outbox import ClaimedJob

CHANNEL: Final = "homeserver"
"""Channel of the outbox for these calls. The `recipient` is the user ID."""
NOT_FOUND: Final = "M_NOT_FOUND"
"""The homeserver's error code for a user or a device that it does not have."""


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


class ProvisioningJobs:
    """Does the jobs, one at a time for an account."""

    def __init__(self, context: Context, synapse: Synapse | None) -> None:
        """Without `synapse`, there is nobody to tell."""
        self._context = context
        self._synapse = synapse

    async def carry_out(self, job: ClaimedJob) -> None:
        """Do one job. Raises BusyHere, and the errors of `Synapse`."""
        if self._synapse is None:
            return
        user_id, params = job.recipient, msgspec.json.decode(job.params, type=Params)
        async with self.alone(user_id):
            if job.template == Name.PROVISION:
                await self._provision(user_id, self._synapse)
            elif job.template == Name.SYNC_DEVICES:
                await self._sync_devices(user_id, self._synapse)
            elif job.template == Name.RENAME_DEVICE:
                await self._rename_device(user_id, params.device_id, self._synapse)
            else:
                await self._delete_user(user_id, self._synapse, erase=params.erase)

    @contextlib.asynccontextmanager
    async def alone(self, user_id: str) -> AsyncIterator[None]:
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
            await synapse.provision_user(localpart(user_id), emails=emails, locked=locked)
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
            await synapse.sync_devices(localpart(user_id), device_ids)
        except RemoteRefused as error:
            if error.errcode != NOT_FOUND:
                raise
            await self._provision(user_id, synapse)  # as in `admit`
            await synapse.sync_devices(localpart(user_id), device_ids)

    async def _delete_user(self, user_id: str, synapse: Synapse, *, erase: bool) -> None:
        def look(tx: Tx) -> bool:
            account = accounts.get(tx, user_id)
            return account is not None and account.deactivated_at is not None

        if await self._context.database.read(look):
            try:
                await synapse.delete_user(localpart(user_id), erase=erase)
            except RemoteRefused as error:
                if error.errcode == NOT_FOUND:  # an account that never logged in
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
                await synapse.update_device_display_name(localpart(user_id), device_id, name)
            except RemoteRefused as error:
                if error.errcode != NOT_FOUND:  # a device that only our list has
                    raise


def _emails(tx: Tx, user_id: str) -> list[str]:
    """The canonical email addresses of an account."""
    return [contact.canonical for contact in threepids.of_user(tx, user_id) if contact.medium == Email.medium]


def localpart(user_id: str) -> str:
    """The name by which the homeserver knows the user: exactly, since users of old servers may have capital letters."""
    return parse_user_id(user_id).localpart
