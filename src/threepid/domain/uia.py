"""User-Interactive Authentication: stages, the sessions that collect them, and the permission that comes of it.

https://spec.matrix.org/latest/client-server-api/#user-interactive-authentication-api
A session belongs to one request (operation, subject, body) and is used up in the transaction of that request's effect.
Its id is a secret of the client: the database has only its hash, and the remembered request is sealed with it.
"""

import json
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType

from threepid.clock import DAY, MINUTE
from threepid.domain.context import Context
from threepid.domain.credentials import same
from threepid.domain.limits import take_authentication
from threepid.domain.stages import Request, Stages
from threepid.domain.validation import Consumer, Purpose
from threepid.spec.errors import (
    Forbidden,
    LimitExceeded,
    MatrixError,
    NotFound,
    UnknownToken,
    Unrecognized,
    UpstreamFailed,
)
from threepid.spec.uia import AuthData, AuthenticationRequiredError, Flow, Stage
from threepid.storage import devices, sessions, uia
from threepid.storage.database import Tx
from threepid.storage.uia import UiaSession

IDLE: Final = 15 * MINUTE
LIFE: Final = 2 * DAY


class Proof(Struct, frozen=True):
    """An address that a stage proved, by the validation session `sid`."""

    sid: str
    medium: str
    canonical: str
    address: str
    validated_at: int


class Grant(Struct, frozen=True):
    """Permission for one effect. `result` is what came of it if the session was finished before.

    `registration_token` is the hash of one that is to be used up, `terms` the documents and versions that were accepted.
    `device` are the user and device that it was given to, if it was given to one: it ends with that.
    """

    now: int
    id_hash: bytes | None = None
    proofs: tuple[Proof, ...] = ()
    result: str | None = None
    registration_token: str | None = None
    terms: tuple[tuple[str, str], ...] = ()
    device: tuple[str, str] | None = None

    def consume(self, tx: Tx, result: str | None = None) -> None:
        """Use the permission up in the transaction of its effect.

        Raises Forbidden if somebody else did, UnknownToken if the device was logged out in the meantime.
        """
        if self.device is not None:
            user_id, device_id = self.device
            if not devices.hold_account(tx, user_id) or not devices.hold_device(tx, user_id, device_id):
                raise UnknownToken
        if self.id_hash is not None and not uia.consume(tx, self.id_hash, now=self.now, result=result):
            raise Forbidden("This authentication session has been used already.")
        for proof in self.proofs:
            if not sessions.consume(tx, proof.sid, self.now):
                raise Forbidden("The validation of the address has been used already.")


class View(Struct, frozen=True):
    """An authentication session as a page shows it. `purpose` is that of validation sessions for its stages."""

    operation: str
    user_id: str | None
    flows: tuple[Flow, ...]
    completed: tuple[Stage, ...]
    params: dict[str, Any]
    purpose: Purpose


class Uia:
    """Collects stages until one of the offered flows is complete."""

    def __init__(self, context: Context, stages: Stages) -> None:
        """Check the stages with `stages`."""
        self._context = context
        self._stages = stages

    async def recall(self, operation: str, session: str) -> dict[str, Any] | None:
        """The first body of a session, for clients that do not repeat it; None if there is no such session.

        One that has a result is not recalled: its id alone must log nobody in.
        """
        stored = await self._load(session)
        if stored is None or stored.operation != operation or stored.result is not None:
            return None
        body: dict[str, Any] = json.loads(self._context.vault.unseal(session, stored.request))
        return body

    async def result_of(self, operation: str, auth: AuthData | UnsetType) -> str | None:
        """What came of a session that was finished before, for checks that must not be made twice."""
        if auth is UNSET or auth.session is UNSET:
            return None
        stored = await self._load(auth.session)
        return stored.result if stored is not None and stored.operation == operation else None

    async def view(self, session: str) -> View | None:
        """What a session is for and what of it is done; None if there is no such session, or it was used."""
        stored = await self._load(session)
        if stored is None or stored.consumed_at is not None:
            return None
        request = _request_of(stored)
        return View(
            operation=stored.operation,
            user_id=request.user_id,
            flows=request.flows,
            completed=tuple(json.loads(stored.completed)),
            params=self._stages.params(request.flows),
            purpose=Purpose.REGISTER if request.consumer is Consumer.REGISTER_STAGE else Purpose.RESET,
        )

    async def complete(self, session: str, auth: AuthData, *, client: str) -> tuple[Stage, ...]:
        """Complete a stage outside its request, on a page; returns all stages that are done.

        Raises NotFound if there is no such session, else what the stage raises.
        https://spec.matrix.org/latest/client-server-api/#fallback
        """
        stored = await self._load(session)
        if stored is None or stored.consumed_at is not None:
            raise NotFound("This authentication session is unknown or has expired.")
        completed = json.loads(stored.completed)
        if auth.type not in completed:
            try:
                completed = await self._attempt(_request_of(stored, client), auth, session, stored)
            except AuthenticationRequiredError as error:
                raise error.failure or error from error
        return tuple(completed)

    async def authenticate(self, request: Request, auth: AuthData | None) -> Grant:
        """The permission, once a flow is complete; until then raises AuthenticationRequiredError (401).

        Raises Forbidden for a changed request, after which the session is dead.
        """
        if auth is None or (auth.session is UNSET and auth.type is UNSET):
            raise await self._begin(request)
        if auth.session is UNSET:
            return await self._in_one_request(request, auth)
        stored = await self._load(auth.session)
        if stored is None:
            raise await self._begin(request, Forbidden("This authentication session is unknown or has expired."))
        id_hash = self._context.vault.hash_token(auth.session)
        if not self._is_same_request(stored, request) and not await self._fill_in(stored, request, auth.session):
            await self._context.database.write(lambda tx: uia.delete(tx, id_hash))
            raise Forbidden("The request is not the one that the authentication was begun for.")
        if stored.consumed_at is not None:
            if stored.result is None:
                raise await self._begin(request, Forbidden("This authentication session has been used already."))
            return Grant(self._context.clock.now(), id_hash, result=stored.result)
        completed = json.loads(stored.completed)
        if auth.type is not UNSET and auth.type not in completed:
            completed = await self._attempt(request, auth, auth.session, stored)
        if tuple(completed) not in request.flows:
            raise self._required(request, auth.session, completed)
        return _grant(self._context.clock.now(), id_hash, request, completed)

    async def _in_one_request(self, request: Request, auth: AuthData) -> Grant:
        """The permission, if one stage is all that it takes; else a session in which this first one is done."""
        if not any(flow[0] == auth.type for flow in request.flows):
            raise await self._begin(request, _not_offered())
        try:
            detail = await self._stage(request, auth)
        except _StageFailedError as failed:
            raise await self._begin(request, failed.failure) from failed
        completed = {str(auth.type): detail}
        if tuple(completed) not in request.flows:
            raise await self._begin(request, completed=completed)
        return _grant(self._context.clock.now(), None, request, completed)

    async def _attempt(self, request: Request, auth: AuthData, session: str, stored: UiaSession) -> dict[Stage, Any]:
        completed: dict[Stage, Any] = json.loads(stored.completed)
        stage = str(auth.type)
        following = (*completed, stage)
        if not any(flow[: len(following)] == following for flow in request.flows):
            raise self._required(request, session, completed, _not_offered())
        try:
            completed[stage] = await self._stage(request, auth)
        except _StageFailedError as failed:
            raise self._required(request, session, completed, failed.failure) from failed
        now = self._context.clock.now()
        id_hash = self._context.vault.hash_token(session)
        text = json.dumps(completed)
        if not await self._context.database.write(
            lambda tx: uia.complete(tx, id_hash, before=stored.completed, completed=text, now=now)
        ):
            raise self._required(request, session, json.loads(stored.completed), Forbidden("Another stage came first."))
        return completed

    async def _stage(self, request: Request, auth: AuthData) -> Any:
        """What the stage proved. Raises _StageFailedError, or what must reach the client as it is."""
        try:
            return await self._stages.check(request, auth)
        except (WrongUserError, LimitExceeded, UpstreamFailed):
            raise
        except MatrixError as failure:
            raise _StageFailedError(failure) from failure

    async def _begin(
        self, request: Request, failure: MatrixError | None = None, *, completed: dict[Stage, Any] | None = None
    ) -> AuthenticationRequiredError:
        context = self._context
        session = context.entropy.token(count=24)
        now = context.clock.now()
        id_hash = context.vault.hash_token(session)
        request_mac = context.vault.mac_request(request.body)
        sealed = context.vault.seal(session, request.body)

        def step(tx: Tx) -> None:
            take_authentication(tx, context, client=request.client)
            uia.insert(
                tx,
                id_hash,
                operation=request.operation,
                subject=request.subject,
                flows=json.dumps(request.flows),
                consumer=request.consumer.name,
                request_mac=request_mac,
                request=sealed,
                completed=json.dumps(completed or {}),
                now=now,
                expires_at=now + LIFE,
            )

        await context.database.write(step)
        return self._required(request, session, completed or {}, failure)

    def _required(
        self, request: Request, session: str, completed: dict[Stage, Any], failure: MatrixError | None = None
    ) -> AuthenticationRequiredError:
        return AuthenticationRequiredError(
            session=session,
            flows=request.flows,
            completed=tuple(completed),
            params=self._stages.params(request.flows),
            failure=failure,
        )

    async def _load(self, session: str) -> UiaSession | None:
        id_hash = self._context.vault.hash_token(session)
        now = self._context.clock.now()
        return await self._context.database.read(lambda tx: uia.get(tx, id_hash, now=now, idle_since=now - IDLE))

    async def _fill_in(self, stored: UiaSession, request: Request, session: str) -> bool:
        """Clients ask with nothing which flows a registration has, and say in that session, once, what they wish."""
        vault = self._context.vault
        nothing = vault.mac_request({})
        if request.consumer is not Consumer.REGISTER_STAGE or (stored.operation, stored.subject) != (
            request.operation,
            "",
        ):
            return False
        if not same(stored.request_mac, nothing):
            return False
        id_hash, request_mac = vault.hash_token(session), vault.mac_request(request.body)
        sealed = vault.seal(session, request.body)
        return await self._context.database.write(
            lambda tx: uia.fill_in(tx, id_hash, before=nothing, request_mac=request_mac, request=sealed)
        )

    def _is_same_request(self, stored: UiaSession, request: Request) -> bool:
        return (
            stored.operation == request.operation
            and stored.subject == request.subject
            and same(stored.request_mac, self._context.vault.mac_request(request.body))
        )


class WrongUserError(Forbidden):
    """This is not the account that the request is about."""


class _StageFailedError(Exception):
    def __init__(self, failure: MatrixError) -> None:
        self.failure = failure
        super().__init__(failure.message)


def _not_offered() -> MatrixError:
    return Unrecognized("This stage is not offered here, or not in this order.")


def _request_of(stored: UiaSession, client: str = "") -> Request:
    """The request that a session belongs to, as far as its stages need to know it."""
    return Request(
        operation=stored.operation,
        subject=stored.subject,
        body={},
        flows=tuple(map(tuple, json.loads(stored.flows))),
        user_id=stored.subject.partition(" ")[0] or None,
        consumer=Consumer[stored.consumer],
        client=client,
    )


def _grant(now: int, id_hash: bytes | None, request: Request, completed: dict[Stage, Any]) -> Grant:
    details = completed.values()
    user_id, blank, device_id = request.subject.partition(" ")
    return Grant(
        now,
        id_hash,
        proofs=tuple(Proof(**detail) for detail in details if "sid" in detail),
        registration_token=next((one["registration_token"] for one in details if "registration_token" in one), None),
        terms=tuple((document, version) for detail in details for document, version in detail.get("terms", ())),
        device=(user_id, device_id) if blank else None,
    )
