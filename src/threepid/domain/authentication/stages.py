"""The stages of User-Interactive Authentication: what each requires and proves.

https://spec.matrix.org/latest/client-server-api/#authentication-types
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Self

import msgspec
from msgspec import UNSET, Struct

from threepid import config
from threepid.domain.addresses import parse_address
from threepid.domain.authentication.registration_tokens import RegistrationTokens
from threepid.domain.context import Context
from threepid.domain.origin import Origin
from threepid.domain.policy import check_address, policies
from threepid.domain.validation.purposes import Consumer
from threepid.domain.validation.resets import refuse_stale
from threepid.domain.validation.sessions import Validation
from threepid.i18n import Text
from threepid.remote.captcha import Captcha
from threepid.remote.guard import RemoteError
from threepid.spec import threepid_creds
from threepid.spec.errors import (
    BadJson,
    CaptchaInvalid,
    CaptchaNeeded,
    Forbidden,
    MatrixError,
    MissingParam,
    SessionNotValidated,
    ThreepidAuthFailed,
    Unauthorized,
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
from threepid.storage import validations
from threepid.storage.engine.database import Tx

MEDIA: Final = {EMAIL_IDENTITY: "email", MSISDN: "msisdn"}
"""The medium whose address a stage proves."""


class Task(Struct, frozen=True, array_like=True):
    """The operation to authenticate, and the object that its path names, if any."""

    operation: Operation
    about: str | None = None

    @property
    def text(self) -> str:
        """The stored form."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Decode the stored form, including that of earlier versions, which joined the two members with a space."""
        if text.startswith("["):
            return msgspec.json.decode(text, type=cls)
        name, blank, about = text.partition(" ")
        return cls(Operation(name), about if blank else None)


class Proof(Struct, frozen=True):
    """An address that a stage proved with the validation session `sid`."""

    sid: str
    medium: str
    canonical: str
    address: str
    validated_at: int


class StageResult(Struct, frozen=True, omit_defaults=True):
    """What a completed stage proved.

    At most one member is set: an address, the hash of the registration token to use up, or the accepted documents and versions.
    """

    proof: Proof | None = None
    registration_token: str | None = None
    terms: tuple[tuple[str, str], ...] = ()


Completed = dict[Stage, StageResult]
"""The completed stages, in the order of completion."""


def completed_from(text: str) -> Completed:
    """Decode stored stages, including those of earlier versions, which stored a proof's members without the name `proof`."""
    stored: dict[Stage, dict[str, Any]] = msgspec.json.decode(text)
    return {
        stage: msgspec.convert({"proof": result} if "sid" in result else result, StageResult)
        for stage, result in stored.items()
    }


def completed_text(completed: Completed) -> str:
    """The stored form."""
    return msgspec.json.encode(completed).decode()


class Subject(Struct, frozen=True, array_like=True):
    """The user and device that send the request. Stored as a JSON array, because a device ID may contain any character."""

    user_id: str
    device_id: str


def subject_text(subject: Subject | None) -> str:
    """The stored form; '' for a caller who is not logged in."""
    return "" if subject is None else msgspec.json.encode(subject).decode()


class Request(Struct, frozen=True, kw_only=True):
    """A request to authenticate. `subject` is None if the caller is not logged in."""

    task: Task
    subject: Subject | None
    flows: tuple[Flow, ...] = ()
    body: dict[str, Any] = {}
    """The whole body without `auth`. The authentication is valid for this body alone."""
    kept: dict[str, Any] = {}
    """The body's known members, stored for clients that do not send them again."""
    recalled: bytes | None = None
    """The MAC of the session's first body, if this request was rebuilt from what is stored of it."""
    consumer: Consumer = Consumer.REGISTER_STAGE
    client: str = ""
    """The caller's IP address."""
    user_agent: str = ""
    """The caller's user agent; '' on a page that completes a stage for an app."""
    origin: Origin = Origin()

    @property
    def user_id(self) -> str | None:
        """The logged-in user."""
        return None if self.subject is None else self.subject.user_id


class TooEarlyError(ThreepidAuthFailed):
    """The credentials name one of our validation sessions, but it is not validated yet.

    Its errcode is that of Synapse: Element for Android and iOS wait for the click or the code while they get this one, and
    Element Web shows every other one as a problem.
    """

    errcode = Unauthorized.errcode

    def __init__(self, creds: dict[str, str]) -> None:
        """`creds` can be tried again later."""
        super().__init__(Text("This address has not been validated yet."), cause="SessionNotValidated")
        self.creds = creds


PasswordCheck = Callable[[str, AuthData, str, str], Awaitable[None]]
"""Raises Forbidden unless the auth data hold the account's password. Arguments: user ID, auth data, IP address, user agent."""


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
        """`captcha` is the client of the captcha provider, if one is configured."""
        self._context = context
        self._settings = settings
        self._validation = validation
        self._check_password = check_password
        self._tokens = tokens
        self._captcha = captcha

    async def check(self, request: Request, auth: AuthData) -> StageResult:
        """Check the stage of `auth` and return what it proved. Raises a MatrixError if the check fails."""
        if auth.type == DUMMY:
            return StageResult()
        if auth.type == PASSWORD and request.user_id is not None:
            await self._check_password(request.user_id, auth, request.client, request.user_agent)
            return StageResult()
        if auth.type in MEDIA:
            proven = await self._check_contact(request, auth, MEDIA[str(auth.type)])
            if request.consumer is Consumer.REGISTER_STAGE:  # the identity server opens its sessions by other rules
                address = parse_address(proven.medium, proven.address)
                check_address(self._context.config, address, new_account=True)
            return StageResult(proven)
        if auth.type == TERMS:
            return StageResult(terms=tuple((document.id, document.version) for document in self._settings.terms))
        if auth.type == REGISTRATION_TOKEN:
            return await self._check_token(request, auth)
        if auth.type == RECAPTCHA and self._captcha is not None:
            await self._check_captcha(self._captcha, request, auth)
            return StageResult()
        raise Unrecognized(Text("This stage is not part of any flow, or not the next one."))

    def params(self, flows: tuple[Flow, ...]) -> dict[str, Any]:
        """The parameters that clients need for the stages in `flows`."""
        found: dict[str, Any] = {}
        stages = {stage for flow in flows for stage in flow}
        if TERMS in stages:
            found[TERMS] = {"policies": policies(self._settings.terms)}
        if RECAPTCHA in stages and self._settings.captcha is not None:
            found[RECAPTCHA] = {"public_key": self._settings.captcha.site_key}
        return found

    async def _check_contact(self, request: Request, auth: AuthData, medium: str) -> Proof:
        given = auth.threepid_creds if auth.threepid_creds is not UNSET else auth.legacy_threepid_creds
        if isinstance(given, list):
            if len(given) != 1:
                raise BadJson(Text("Give exactly one set of third-party credentials."))
            given = given[0]
        if given is UNSET:
            raise MissingParam.named("threepid_creds")
        creds = threepid_creds.read(given, threepid_creds.ThreepidCreds)

        def step(tx: Tx) -> validations.Session:
            session = self._validation.check(
                tx, creds.sid, creds.client_secret, request.consumer, request.user_id or ""
            )
            if request.consumer is Consumer.RESET_STAGE:
                refuse_stale(tx, self._context, session)
            return session

        try:
            session = await self._context.database.read(step)
        except Forbidden:
            raise
        except SessionNotValidated:
            raise TooEarlyError({"sid": creds.sid, "client_secret": creds.client_secret}) from None
        except MatrixError as error:
            raise ThreepidAuthFailed(
                Text("This address has not been validated yet."), cause=type(error).__name__
            ) from error
        if session.consumed_at is not None or session.medium != medium or session.validated_at is None:
            raise ThreepidAuthFailed(Text("The validation of this address has already been used."))
        return Proof(session.sid, session.medium, session.canonical, session.address, session.validated_at)

    async def _check_token(self, request: Request, auth: AuthData) -> StageResult:
        if auth.token is UNSET:
            raise MissingParam.named("token")
        if not await self._tokens.guess(auth.token, client=request.client):
            raise Forbidden(Text("This registration token is unknown, has expired or has no uses left."))
        return StageResult(registration_token=self._tokens.hash(auth.token))

    @staticmethod
    async def _check_captcha(captcha: Captcha, request: Request, auth: AuthData) -> None:
        if auth.response is UNSET:
            raise CaptchaNeeded
        try:
            right = await captcha.verify(auth.response, client=request.client)
        except RemoteError as error:
            raise UpstreamFailed(
                Text("We could not verify the captcha. Please try again."), cause=error.cause
            ) from error
        if not right:
            raise CaptchaInvalid
