"""Requests to other identity servers to unbind an address.

A server is asked once immediately. If that fails, the job stays in the outbox, so no operation here depends on another server.
"""

import asyncio
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from threepid.clock import DAY, SECOND
from threepid.domain import outbox
from threepid.domain.context import Context
from threepid.domain.outbox import Job, Recipient, Urgency
from threepid.remote.guard import RemoteError, RemoteRefused
from threepid.remote.identity import IdentityClient
from threepid.spec.signing import Signer
from threepid.storage import outbox as stored
from threepid.storage import threepids
from threepid.storage.engine.database import StorageError, Tx
from threepid.storage.outbox import ClaimedJob

_log = structlog.get_logger()

CHANNEL: Final = "unbind"
"""Channel of the outbox for requests to other identity servers. The `recipient` is the server's name."""
_REPEAT_AFTER: Final = 30 * SECOND
"""When the worker takes over: well after the immediate attempt has ended."""
_LIFE: Final = 7 * DAY


class Unbind(Struct, frozen=True):
    """A request to an identity server to unbind an address of the user `mxid`."""

    mxid: str
    medium: str
    address: str


class Plan(Struct, frozen=True):
    """The requests to other servers after an unbinding's transaction. `known`: are all addresses unbound if these succeed?"""

    known: bool
    jobs: tuple[ClaimedJob, ...] = ()
    besides: tuple[ClaimedJob, ...] = ()
    """Further requests, whose results do not matter for `known`."""


class UnbindRequests:
    """Sends the requests, at once and from the outbox."""

    def __init__(self, context: Context, signer: Signer, identity: IdentityClient, seconds: float) -> None:
        """`identity` calls other servers, and `signer` signs the calls; a caller waits for them for `seconds`."""
        self._context = context
        self._signer = signer
        self._identity = identity
        self._seconds = seconds

    def put(
        self, tx: Tx, user_id: str, medium: str, canonical: str, id_server: str, *, keep: bool = True
    ) -> ClaimedJob:
        """A request to `id_server` to unbind an address. With `keep`, it is put into the outbox, but only once."""
        now = self._context.clock.now()
        unbind = Unbind(user_id, medium, canonical)
        params = msgspec.json.encode(unbind).decode("utf-8")
        waiting = stored.waiting_unbind(tx, id_server, outbox.seal(self._context, unbind))
        if waiting is not None and not _is_moot(tx, waiting, unbind):
            return msgspec.structs.replace(waiting, params=params)
        expires_at = now + _LIFE
        job_id = ""
        if keep:
            job = Job(
                channel=CHANNEL,
                name=CHANNEL,
                recipient=Recipient(id_server),
                params=unbind,
                urgency=Urgency.CALL,
                caller=user_id,
                expires_at=expires_at,
                due_at=now + _REPEAT_AFTER,
            )
            job_id = outbox.put(tx, self._context, job, now=now)
        return ClaimedJob(
            id=job_id or self._context.entropy.id(now),
            channel=CHANNEL,
            recipient=id_server,
            language="",
            template=CHANNEL,
            params=params,
            created_at=now,
            expires_at=expires_at,
            attempts=0,
        )

    async def carry_out(self, plan: Plan) -> bool:
        """Send the requests of `plan` to other identity servers. True if all addresses are known to be unbound.

        Takes `seconds` at most: unfinished requests stay in the outbox.
        """
        if not plan.jobs and not plan.besides:
            return plan.known
        tries = [asyncio.create_task(self._try(job)) for job in (*plan.jobs, *plan.besides)]
        done, late = await asyncio.wait(tries, timeout=self._seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        counted = tries[: len(plan.jobs)]
        return plan.known and all(task in done and task.result() for task in counted)

    async def repeat(self, job: ClaimedJob) -> None:
        """Send a request from the outbox. Raises RemoteRefused if it failed for good, RemoteError if it may succeed later."""
        unbind = msgspec.json.decode(job.params, type=Unbind)
        if await self._context.database.read(lambda tx: _is_moot(tx, job, unbind)):
            return
        await self._ask(job, unbind)
        await self._context.database.write(lambda tx: _forget_until(tx, job, unbind))

    async def _try(self, job: ClaimedJob) -> bool:
        unbind = msgspec.json.decode(job.params, type=Unbind)
        now = self._context.clock.now()
        refusal = None
        try:
            await self._ask(job, unbind)
        except RemoteRefused as error:
            refusal = str(error)
        except RemoteError as error:
            _log.warning("unbind_delayed", id_server=job.recipient, cause=error.cause)
            return False

        def note(tx: Tx) -> None:
            if refusal is None:
                stored.sent(tx, job.id, now)
                _forget_until(tx, job, unbind)
            else:
                stored.failed(tx, job, now=now, last_error=refusal)

        try:
            await self._context.database.write(note)
        except StorageError as error:  # the worker then repeats the request, which is harmless
            _log.warning("unbind_not_noted", cause=type(error).__name__, order=job.id)
        if refusal is not None:
            _log.info("unbind_refused", id_server=job.recipient, cause=refusal)
        return refusal is None

    async def _ask(self, job: ClaimedJob, unbind: Unbind) -> None:
        await self._identity.unbind(
            job.recipient,
            self._signer,
            mxid=unbind.mxid,
            medium=unbind.medium,
            address=unbind.address,
        )


def _is_moot(tx: Tx, job: ClaimedJob, unbind: Unbind) -> bool:
    """Was the address bound at that server again after the request to unbind it?"""
    known = threepids.bindings(tx, unbind.mxid, unbind.medium, unbind.address)
    return any(binding.id_server == job.recipient and binding.bound_at > job.created_at for binding in known)


def _forget_until(tx: Tx, job: ClaimedJob, unbind: Unbind) -> None:
    threepids.delete_binding(
        tx,
        user_id=unbind.mxid,
        medium=unbind.medium,
        canonical=unbind.address,
        id_server=job.recipient,
        bound_until=job.created_at,
    )
