"""User-Interactive Authentication: its sessions, and the permission that a completed flow gives.

https://spec.matrix.org/latest/client-server-api/#user-interactive-authentication-api
A session belongs to one request (operation, subject, body) and is used up in the transaction of that request's operation.
The session ID is the client's secret: the database stores only its hash, and the stored request is encrypted with it.
"""

import contextlib
import json
from typing import Any, Final

import msgspec
from canonicaljson import encode_canonical_json
from msgspec import UNSET, Struct

from threepid.clock import DAY, MINUTE
from threepid.domain import origin as origins
from threepid.domain.authentication.grants import Grant
from threepid.domain.authentication.stages import (
    Completed,
    Request,
    StageResult,
    Stages,
    Subject,
    Task,
    TooEarlyError,
    completed_from,
    completed_text,
    subject_text,
)
from threepid.domain.authentication.views import Page, View
from threepid.domain.context import Context
from threepid.domain.limits import take_authentication
from threepid.domain.secrets.vault import same
from threepid.domain.validation.purposes import Consumer, Purpose
from threepid.i18n import Text
from threepid.spec.errors import (
    Forbidden,
    LimitExceeded,
    MatrixError,
    NotFound,
    TooLarge,
    UnknownToken,
    Unrecognized,
    UpstreamFailed,
)
from threepid.spec.uia import AuthData, AuthenticationRequiredError, Operation, Stage
from threepid.storage import devices, uia
from threepid.storage.engine.database import Tx
from threepid.storage.uia import UiaSession

IDLE: Final = 15 * MINUTE
LIFE: Final = 2 * DAY
OPEN_SESSIONS: Final = 20
"""Maximum number of open sessions of one device. A new session beyond it closes the oldest."""
OPEN_SESSIONS_OF_ACCOUNT: Final = 100
"""Maximum number of open sessions of all devices of an account, because each may store up to 64 kB."""
KEPT_WITHOUT_TOKEN: Final = 4096
"""Maximum number of bytes stored of a request without an access token."""


class Recalled(Struct, frozen=True):
    """What is stored of a session's first body, and the MAC of the whole body."""

    fields: dict[str, Any]
    request_mac: bytes


class Uia:
    """Collects stages until one of the offered flows is complete."""

    def __init__(self, context: Context, stages: Stages) -> None:
        """`stages` checks the stages."""
        self._context = context
        self._stages = stages

    async def recall(self, operation: Operation, session: str) -> Recalled | None:
        """The first body of a session for `operation`, for clients that do not repeat it; None if there is no such session."""
        stored = await self._load(session)
        if stored is None or Task.from_text(stored.operation).operation is not operation:
            return None
        return Recalled(self._kept(session, stored), stored.request_mac)

    async def result_of(self, task: Task, auth: AuthData | None) -> str | None:
        """The result of a session that was finished before, so that its request is not checked again; otherwise None."""
        if auth is None or auth.session is UNSET:
            return None
        stored = await self._load(auth.session)
        return stored.result if stored is not None and Task.from_text(stored.operation) == task else None

    async def view(self, session: str) -> View | None:
        """A session as pages show it; None if there is no such session, or it was used up."""
        stored = await self._load(session)
        if stored is None or stored.consumed_at is not None:
            return None
        request = _request_of(stored)
        account = request.user_id
        if request.consumer is Consumer.REGISTER_STAGE and account is None:
            username = self._kept(session, stored).get("username")
            account = f"@{username.lower()}:{self._context.server_name}" if isinstance(username, str) else None
        return View(
            operation=request.task.operation,
            user_id=request.user_id,
            account=account,
            flows=request.flows,
            completed=tuple(completed_from(stored.completed)),
            params=self._stages.params(request.flows),
            purpose=Purpose.REGISTER if request.consumer is Consumer.REGISTER_STAGE else Purpose.RESET,
            origin=request.origin,
        )

    async def complete(self, session: str, auth: AuthData, *, client: str) -> tuple[Stage, ...]:
        """Complete a stage on a page instead of in its request. Returns all completed stages.

        Raises NotFound if there is no such session or no page for the stage, and the errors of the stage.
        https://spec.matrix.org/latest/client-server-api/#fallback
        """
        stored = await self._load(session)
        view = await self.view(session)
        if stored is None or view is None or view.page_of(str(auth.type)) is not Page.OPEN:
            raise NotFound(Text("This authentication session is unknown or has expired."))
        completed = completed_from(stored.completed)
        if auth.type not in completed:
            try:
                completed = await self._attempt(_request_of(stored, client), auth, session, stored)
            except AuthenticationRequiredError as error:
                raise error.failure or error from error
        return tuple(completed)

    async def authenticate(self, request: Request, auth: AuthData | None) -> Grant:
        """The permission when a flow is complete. Raises AuthenticationRequiredError (401) until then.

        Raises Forbidden, and deletes the session, if the request has changed.
        """
        if auth is None or (auth.session is UNSET and auth.type is UNSET):
            raise await self._begin(request)
        if auth.session is UNSET:
            return await self._in_one_request(request, auth)
        stored = await self._load(auth.session)
        if stored is None:
            raise await self._begin(request, Forbidden(Text("This authentication session is unknown or has expired.")))
        id_hash = self._context.vault.hash_token(auth.session)
        if not self._is_same_request(stored, request) and not await self._fill_in(stored, request, auth.session):
            await self._context.database.write(lambda tx: uia.delete(tx, id_hash))
            raise Forbidden(Text("This request differs from the one that the authentication session was started for."))
        if stored.consumed_at is not None:
            if stored.result is None:
                raise await self._begin(request, Forbidden(Text("This authentication session has already been used.")))
            return Grant(self._context.clock.now(), id_hash, result=stored.result)
        completed = completed_from(stored.completed)
        if auth.type is UNSET:
            completed = await self._attempt_again(request, auth.session, stored)
        elif auth.type not in completed:
            completed = await self._attempt(request, auth, auth.session, stored)
        if tuple(completed) not in request.flows:
            raise self._required(request, auth.session, completed)
        return _grant(self._context.clock.now(), id_hash, request, completed)

    async def _in_one_request(self, request: Request, auth: AuthData) -> Grant:
        """The permission, if one stage completes a flow; otherwise begin a session in which this first stage is complete."""
        if not any(flow[0] == auth.type for flow in request.flows):
            raise await self._begin(request, _not_offered())
        try:
            detail = await self._stage(request, auth)
        except _StageFailedError as failed:
            raise await self._begin(request, failed.failure, early=_early(auth, failed.failure)) from failed
        completed = {str(auth.type): detail}
        if tuple(completed) not in request.flows:
            raise await self._begin(request, completed=completed)
        return _grant(self._context.clock.now(), None, request, completed)

    async def _attempt(self, request: Request, auth: AuthData, session: str, stored: UiaSession) -> Completed:
        completed = completed_from(stored.completed)
        stage = str(auth.type)
        following = (*completed, stage)
        if not any(flow[: len(following)] == following for flow in request.flows):
            raise self._required(request, session, completed, _not_offered())
        try:
            completed[stage] = await self._stage(request, auth)
        except _StageFailedError as failed:
            await self._keep_early(session, stored, _early(auth, failed.failure))
            raise self._required(request, session, completed, failed.failure) from failed
        now = self._context.clock.now()
        id_hash = self._context.vault.hash_token(session)
        text = completed_text(completed)
        if not await self._context.database.write(
            lambda tx: uia.complete(tx, id_hash, before=stored.completed, completed=text, now=now)
        ):
            again = await self._load(session)
            if again is not None and again.consumed_at is None and stage in (found := completed_from(again.completed)):
                return found  # the same stage was sent twice at once
            raise self._required(
                request,
                session,
                completed_from(stored.completed),
                Forbidden(Text("Another stage was completed first.")),
            )
        return completed

    async def _attempt_again(self, request: Request, session: str, stored: UiaSession) -> Completed:
        """The completed stages, after trying credentials again that came too early. A failure is not reported."""
        completed = completed_from(stored.completed)
        for stage, creds in self._early_of(session, stored).items():
            if stage not in completed:
                with contextlib.suppress(AuthenticationRequiredError):
                    return await self._attempt(request, AuthData(type=stage, threepid_creds=creds), session, stored)
        return completed

    async def _keep_early(self, session: str, stored: UiaSession, early: dict[Stage, Any]) -> None:
        known = self._early_of(session, stored)
        if all(known.get(stage) == creds for stage, creds in early.items()):
            return  # so that clients that poll every second cause no writes
        vault = self._context.vault
        id_hash, sealed = vault.hash_token(session), vault.seal(session, {**known, **early})
        await self._context.database.write(lambda tx: uia.keep_early(tx, id_hash, sealed))

    def _early_of(self, session: str, stored: UiaSession) -> dict[Stage, Any]:
        """The credentials that came too early, by stage."""
        if stored.early is None:
            return {}
        early: dict[Stage, Any] = json.loads(self._context.vault.unseal(session, stored.early))
        return early

    def _kept(self, session: str, stored: UiaSession) -> dict[str, Any]:
        """What is stored of the body."""
        body: dict[str, Any] = json.loads(self._context.vault.unseal(session, stored.request))
        return body

    async def _stage(self, request: Request, auth: AuthData) -> StageResult:
        """What the stage proved. Raises _StageFailedError, or an error that must reach the client unchanged."""
        try:
            return await self._stages.check(request, auth)
        except (WrongUserError, LimitExceeded, UpstreamFailed):
            raise
        except MatrixError as failure:
            raise _StageFailedError(failure) from failure

    async def _begin(
        self,
        request: Request,
        failure: MatrixError | None = None,
        *,
        completed: Completed | None = None,
        early: dict[Stage, Any] | None = None,
    ) -> AuthenticationRequiredError:
        context = self._context
        session = context.entropy.token(count=24)
        now = context.clock.now()
        id_hash = context.vault.hash_token(session)
        request_mac = self._mac_of(request)
        sealed = self._seal(session, request)
        sealed_early = context.vault.seal(session, early) if early else None
        subject = subject_text(request.subject)

        def step(tx: Tx) -> None:
            take_authentication(tx, context, client=request.client, account=request.user_id)
            if request.subject is not None:
                # This locks the device until the transaction ends, so that concurrent requests count each other's sessions.
                if not devices.hold_device(tx, request.subject.user_id, request.subject.device_id):
                    raise UnknownToken
                uia.end_oldest(tx, subject, but=OPEN_SESSIONS - 1)
                uia.end_oldest_of_user(tx, request.subject.user_id, but=OPEN_SESSIONS_OF_ACCOUNT - 1)
            uia.insert(
                tx,
                id_hash,
                operation=request.task.text,
                subject=subject,
                user_id=request.user_id,
                flows=json.dumps(request.flows),
                consumer=request.consumer.name,
                request_mac=request_mac,
                request=sealed,
                completed=completed_text(completed or {}),
                now=now,
                expires_at=now + LIFE,
                origin=request.origin.to_text(),
                early=sealed_early,
            )

        await context.database.write(step)
        return self._required(request, session, completed or {}, failure)

    def _required(
        self, request: Request, session: str, completed: Completed, failure: MatrixError | None = None
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
        """Store the body of a registration in a session that began with nothing; False if that is not allowed.

        Clients send an empty body first, to learn the flows, or one of members that this server does not know: iOS apps send
        `x_show_msisdn` there alone. They may fill it in once.
        """
        if request.consumer is not Consumer.REGISTER_STAGE or (Task.from_text(stored.operation), stored.subject) != (
            request.task,
            "",
        ):
            return False
        if self._kept(session, stored):
            return False
        id_hash, request_mac = self._context.vault.hash_token(session), self._mac_of(request)
        sealed = self._seal(session, request)
        return await self._context.database.write(
            lambda tx: uia.fill_in(tx, id_hash, before=stored.request_mac, request_mac=request_mac, request=sealed)
        )

    def _seal(self, session: str, request: Request) -> bytes:
        """Encrypt what is stored of a request. Raises TooLarge if that is too long for a request without an access token."""
        if request.subject is None and len(encode_canonical_json(request.kept)) > KEPT_WITHOUT_TOKEN:
            raise TooLarge(
                Text(
                    "Without an access token, the body of this request may have at most %(count)s bytes.",
                    count=KEPT_WITHOUT_TOKEN,
                )
            )
        return self._context.vault.seal(session, request.kept)

    def _mac_of(self, request: Request) -> bytes:
        return request.recalled or self._context.vault.mac_request(request.body)

    def _is_same_request(self, stored: UiaSession, request: Request) -> bool:
        return (
            Task.from_text(stored.operation) == request.task
            and stored.subject == subject_text(request.subject)
            and same(stored.request_mac, self._mac_of(request))
        )


class WrongUserError(Forbidden):
    """The password is right, but for another account than the caller's."""


class _StageFailedError(Exception):
    def __init__(self, failure: MatrixError) -> None:
        self.failure = failure
        super().__init__(failure.text)


def _not_offered() -> MatrixError:
    return Unrecognized(Text("This stage is not part of any flow, or not the next one."))


def _early(auth: AuthData, failure: MatrixError) -> dict[Stage, Any]:
    """The credentials of an attempt that can be tried again later."""
    return {str(auth.type): failure.creds} if isinstance(failure, TooEarlyError) else {}


def _request_of(stored: UiaSession, client: str = "") -> Request:
    """The request that a session belongs to, without its body."""
    return Request(
        task=Task.from_text(stored.operation),
        subject=msgspec.json.decode(stored.subject, type=Subject) if stored.subject else None,
        flows=tuple(map(tuple, json.loads(stored.flows))),
        consumer=Consumer[stored.consumer],
        client=client,
        origin=origins.from_text(stored.origin),
    )


def _grant(now: int, id_hash: bytes | None, request: Request, completed: Completed) -> Grant:
    results = completed.values()
    return Grant(
        now,
        id_hash,
        proofs=tuple(result.proof for result in results if result.proof is not None),
        registration_token=next(
            (one.registration_token for one in results if one.registration_token is not None), None
        ),
        terms=tuple(accepted for result in results for accepted in result.terms),
        device=(request.subject.user_id, request.subject.device_id) if request.subject else None,
        origin=request.origin,
    )
