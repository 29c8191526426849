"""The stages of User-Interactive Authentication: what each of them asks for, and what it proves.

https://spec.matrix.org/latest/client-server-api/#authentication-types
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Self

import msgspec
from msgspec import UNSET, Struct

from threepid import config
from threepid.clock import DAY
from threepid.domain.authentication.registration_tokens import RegistrationTokens
from threepid.domain.context import Context
from threepid.domain.origin import Origin
from threepid.domain.policy import policies
from threepid.domain.validation.sessions import Consumer, Validation
from threepid.remote.captcha import Captcha
from threepid.remote.guard import RemoteError
from threepid.spec import threepid_creds
from threepid.spec.errors import (
    BadJson,
    Forbidden,
    MatrixError,
    MissingParam,
    SessionNotValidated,
    ThreepidAuthFailed,
    Unrecognized,
    UpstreamFailed,
)
from threepid.spec.uia import (
    DUMMY,
    EMAIL_IDENTITY,
    MSISDN,
    PASSWORD,
    RECAPTCHA,
    REGISTRATION_TOKEN,
    TERMS,
    AuthData,
    Flow,
    Operation,
    Stage,
)
from threepid.storage import threepids, validations
from threepid.storage.engine.database import Tx

MEDIA: Final = {EMAIL_IDENTITY: "email", MSISDN: "msisdn"}
"""The medium whose address a stage proves."""


class Task(Struct, frozen=True, array_like=True):
    """What is to be done: the operation, and what its path names, where it names something."""

    operation: Operation
    about: str | None = None

    @property
    def text(self) -> str:
        """As it is stored."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What was stored, also by versions that joined the two with a blank."""
        if text.startswith("["):
            return msgspec.json.decode(text, type=cls)
        name, blank, about = text.partition(" ")
        return cls(Operation(name), about if blank else None)


class Proof(Struct, frozen=True):
    """An address that a stage proved, by the validation session `sid`."""

    sid: str
    medium: str
    canonical: str
    address: str
    validated_at: int


class StageResult(Struct, frozen=True, omit_defaults=True):
    """What a completed stage proved.

    An address; the hash of a registration token that is to be used up; the documents and versions that were accepted; or nothing
    but that the stage is complete.
    """

    proof: Proof | None = None
    registration_token: str | None = None
    terms: tuple[tuple[str, str], ...] = ()


Completed = dict[Stage, StageResult]
"""The stages that are complete, in their order."""


def completed_from(text: str) -> Completed:
    """The stages that were stored, also by versions that stored the members of a proof without its name."""
    stored: dict[Stage, dict[str, Any]] = msgspec.json.decode(text)
    return {
        stage: msgspec.convert({"proof": result} if "sid" in result else result, StageResult)
        for stage, result in stored.items()
    }


def completed_text(completed: Completed) -> str:
    """As it is stored."""
    return msgspec.json.encode(completed).decode()


class Subject(Struct, frozen=True, array_like=True):
    """Who asks: a device of a user. An array as it is stored, because a device ID may be any text."""

    user_id: str
    device_id: str


def subject_text(subject: Subject | None) -> str:
    """As it is stored: '' for nobody."""
    return "" if subject is None else msgspec.json.encode(subject).decode()


class Request(Struct, frozen=True, kw_only=True):
    """What is to be authenticated, for `subject` if somebody is logged in."""

    task: Task
    subject: Subject | None
    flows: tuple[Flow, ...] = ()
    body: dict[str, Any] = {}
    """The whole body without `auth`, which the authentication is bound to."""
    kept: dict[str, Any] = {}
    """What of it means something, which is kept for clients that do not send it again."""
    recalled: bytes | None = None
    """The MAC of the body that the session has, where this request is what was kept of that one."""
    consumer: Consumer = Consumer.REGISTER_STAGE
    client: str = ""
    """The caller's IP address."""
    origin: Origin = Origin()

    @property
    def user_id(self) -> str | None:
        """The user who is logged in."""
        return None if self.subject is None else self.subject.user_id


class TooEarlyError(ThreepidAuthFailed):
    """These are credentials of ours, but nobody has confirmed the address yet."""

    def __init__(self, creds: dict[str, str]) -> None:
        """`creds` are worth another try later."""
        super().__init__("The address has not been confirmed yet.", cause="SessionNotValidated")
        self.creds = creds


PasswordCheck = Callable[[str, AuthData, str], Awaitable[None]]
"""Raises Forbidden unless the auth data hold the password of the account (first argument); last, the caller's IP address."""


class Stages:
    """Checks stages."""

    def __init__(
        self,
        context: Context,
        settings: config.Accounts,
        validation: Validation,
        check_password: PasswordCheck,
        tokens: RegistrationTokens,
        captcha: Captcha | None,
    ) -> None:
        """`captcha` asks its provider, if there is one."""
        self._context = context
        self._settings = settings
        self._validation = validation
        self._check_password = check_password
        self._tokens = tokens
        self._captcha = captcha

    async def check(self, request: Request, auth: AuthData) -> StageResult:
        """What the stage of `auth` proved. Raises a MatrixError if it did not."""
        if auth.type == DUMMY:
            return StageResult()
        if auth.type == PASSWORD and request.user_id is not None:
            await self._check_password(request.user_id, auth, request.client)
            return StageResult()
        if auth.type in MEDIA:
            return await self._check_contact(request, auth, MEDIA[str(auth.type)])
        if auth.type == TERMS:
            return StageResult(terms=tuple((document.id, document.version) for document in self._settings.terms))
        if auth.type == REGISTRATION_TOKEN:
            return await self._check_token(request, auth)
        if auth.type == RECAPTCHA and self._captcha is not None:
            await self._check_captcha(self._captcha, request, auth)
            return StageResult()
        raise Unrecognized("This stage is not offered here, or not in this order.")

    def params(self, flows: tuple[Flow, ...]) -> dict[str, Any]:
        """What clients must know of the stages in `flows`."""
        found: dict[str, Any] = {}
        stages = {stage for flow in flows for stage in flow}
        if TERMS in stages:
            found[TERMS] = {"policies": policies(self._settings.terms)}
        if RECAPTCHA in stages and self._settings.captcha is not None:
            found[RECAPTCHA] = {"public_key": self._settings.captcha.site_key}
        return found

    async def _check_contact(self, request: Request, auth: AuthData, medium: str) -> StageResult:
        given = auth.threepid_creds if auth.threepid_creds is not UNSET else auth.legacy_threepid_creds
        if isinstance(given, list):
            if len(given) != 1:
                raise BadJson("Exactly one set of third-party credentials is needed.")
            given = given[0]
        if given is UNSET:
            raise MissingParam("'threepid_creds' is missing.")
        creds = threepid_creds.read(given, threepid_creds.ThreepidCreds)

        def step(tx: Tx) -> validations.Session:
            session = self._validation.check(
                tx, creds.sid, creds.client_secret, request.consumer, request.user_id or ""
            )
            if request.consumer is Consumer.RESET_STAGE:
                self._refuse_stale(tx, session)
            return session

        try:
            session = await self._context.database.read(step)
        except Forbidden:
            raise
        except SessionNotValidated:
            raise TooEarlyError({"sid": creds.sid, "client_secret": creds.client_secret}) from None
        except MatrixError as error:
            raise ThreepidAuthFailed("The address has not been confirmed yet.", cause=type(error).__name__) from error
        if session.consumed_at is not None or session.medium != medium or session.validated_at is None:
            raise ThreepidAuthFailed("The validation of the address has been used already.")
        return StageResult(Proof(session.sid, session.medium, session.canonical, session.address, session.validated_at))

    def _refuse_stale(self, tx: Tx, session: validations.Session) -> None:
        """An address that changed hands since it was confirmed must not open its former owner's account."""
        days = self._context.config.policy.reset_contact_max_age_days
        if not days:
            return
        contact = threepids.get(tx, session.medium, session.canonical)
        if contact is not None and contact.validated_at < self._context.clock.now() - days * DAY:
            raise Forbidden("This address was confirmed too long ago to recover an account by it.")

    async def _check_token(self, request: Request, auth: AuthData) -> StageResult:
        if auth.token is UNSET:
            raise MissingParam("'token' is missing.")
        if not await self._tokens.guess(auth.token, client=request.client):
            raise Forbidden("This registration token is not known, has expired or has been used up.")
        return StageResult(registration_token=self._tokens.hash(auth.token))

    @staticmethod
    async def _check_captcha(captcha: Captcha, request: Request, auth: AuthData) -> None:
        if auth.response is UNSET:
            raise MissingParam("'response' is missing.")
        try:
            right = await captcha.verify(auth.response, client=request.client)
        except RemoteError as error:
            raise UpstreamFailed("The captcha could not be checked.", cause=error.cause) from error
        if not right:
            raise Forbidden("The captcha was not solved.")
