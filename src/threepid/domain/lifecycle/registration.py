"""Registration of accounts.

https://spec.matrix.org/latest/client-server-api/#account-registration-and-management
"""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from msgspec import Struct

from threepid import config
from threepid.domain import audit
from threepid.domain.accounts.accounts import in_small_letters, refuse_locked
from threepid.domain.accounts.admission import Admission
from threepid.domain.accounts.devices import Device, Devices, Login
from threepid.domain.accounts.provisioning import Provisioning
from threepid.domain.authentication import flows
from threepid.domain.authentication.authentication import Authentication
from threepid.domain.authentication.grants import AT_THE_SERVER, Grant
from threepid.domain.authentication.registration_tokens import RegistrationTokens
from threepid.domain.authentication.web_sessions import WebSessions
from threepid.domain.context import Context
from threepid.domain.languages import fitting
from threepid.domain.limits import take_registration
from threepid.domain.secrets.passwords import Passwords
from threepid.i18n import Text
from threepid.spec.errors import Exclusive, Forbidden, InvalidUsername, MissingParam, ThreepidInUse, UserInUse
from threepid.spec.types import valid_localpart
from threepid.spec.uia import AuthenticationRequiredError
from threepid.storage import accounts, devices, preferences, terms, threepids, uia
from threepid.storage.engine.database import Tx
from threepid.storage.threepids import Threepid

T = TypeVar("T")

_MAX_USER_ID: Final = 255
FINISHED: Final = Text("This registration is finished. Sign in with your password.")
_REPEATS: Final = 5
"""Number of times that a client that lost the response to its registration may repeat the request."""


class NewAccount(Struct, frozen=True, kw_only=True):
    """A client's registration request. Without a `username`, the server generates one."""

    username: str | None
    password: str | None
    device: Device
    logs_in: bool
    """Does the client want `device` to be logged in?"""
    languages: tuple[str, ...] = ()
    """The languages that the client accepts, best first."""


class Registered(Struct, frozen=True):
    """The new account's user ID, and the login of its first device if the client wanted one."""

    user_id: str
    login: Login | None


class Registration:
    """Registers accounts for clients of the API, for people in browsers and for operators."""

    def __init__(
        self,
        context: Context,
        settings: config.Accounts,
        passwords: Passwords,
        devices: Devices,
        web_sessions: WebSessions,
        registration_tokens: RegistrationTokens,
        provisioning: Provisioning,
        admission: Admission,
    ) -> None:
        """`passwords` hashes passwords, `devices` logs the first device in, `web_sessions` the first browser.

        `provisioning` tells a homeserver beside us of the account, `admission` of its first device.
        """
        self._context = context
        self._settings = settings
        self._passwords = passwords
        self._devices = devices
        self._web_sessions = web_sessions
        self._registration_tokens = registration_tokens
        self._provisioning = provisioning
        self._admission = admission

    def check_open(self) -> None:
        """Raise Forbidden if registration is closed."""
        if self._settings.registration == "closed":
            raise Forbidden(Text("Registration is closed on this server."))

    async def check_username(self, username: str, *, by_operator: bool = False) -> str:
        """The user ID for this username, in lower case.

        Raises InvalidUsername, UserInUse, Unavailable if a homeserver beside us is away and, except for operators, Exclusive.
        https://spec.matrix.org/latest/appendices/#user-identifiers
        """
        username = in_small_letters(username)
        user_id = f"@{username}:{self._context.server_name}"
        if not valid_localpart(username) or len(user_id.encode()) > _MAX_USER_ID:
            raise InvalidUsername
        if not by_operator and any(fnmatchcase(username, pattern) for pattern in self._settings.reserved_usernames):
            raise Exclusive(Text("This username is reserved."))
        if await self._context.database.read(lambda tx: accounts.get(tx, user_id)) is not None:
            raise UserInUse
        await self._provisioning.check_username(username)
        return user_id

    async def register(self, wish: NewAccount, authentication: Authentication, *, client: str) -> Registered:
        """Register an account for the caller at the IP address `client` when the authentication is complete.

        The addresses that the authentication proved become its contacts. Repeating a finished registration logs the same device
        in again. Raises Forbidden, InvalidUsername, UserInUse, Exclusive, WeakPassword, InvalidParam, MissingParam,
        ThreepidInUse, LimitExceeded, and AuthenticationRequiredError until the authentication is complete.
        """
        try:
            return await self._register(wish, authentication, client)
        except (Forbidden, UserInUse, AuthenticationRequiredError):
            # The page that a mail leads to, and the one where the registration was begun, may finish it at once.
            if await authentication.result() is None:
                raise
        return await self._register(wish, authentication, client)

    async def _register(self, wish: NewAccount, authentication: Authentication, client: str) -> Registered:
        self.check_open()
        finished = await authentication.result()
        username = self._generated_username() if wish.username is None else wish.username
        if finished is None:
            user_id = await self.check_username(username)
            if wish.password is not None:
                self._passwords.check(wish.password, username=user_id)
        grant = await authentication.require(flows.of_registration(self._context.config))
        if grant.result is not None:
            # The session ID appears in page URLs, so it alone must not log anyone in: the client repeats the whole body.
            quiet = not wish.logs_in or authentication.is_recalled
            login = None if quiet else await self._log_in_again(grant.result, wish.device, grant)
            return Registered(grant.result, login)
        # Clients send an empty body to learn the flows, so the password is required only after the authentication.
        if wish.password is None:
            raise MissingParam.named("password")
        login = await self._create(
            user_id,
            wish.password,
            grant,
            client,
            lambda tx: self._log_in(tx, user_id, wish.device, grant) if wish.logs_in else None,
            languages=wish.languages,
        )
        if login is not None:
            # The device stays even if this fails, so that the client can repeat the finished registration.
            login = await self._admission.admit(login, keeps_device=True)
        return Registered(user_id, login)

    async def create(self, username: str, password: str | None, grant: Grant = AT_THE_SERVER) -> str:
        """Create an account for the operator and return its user ID.

        Without a password, nobody can sign in before a contact is added by which a password can be chosen.
        Raises InvalidUsername, UserInUse and WeakPassword.
        """
        user_id = await self.check_username(username, by_operator=True)
        await self._create(user_id, password, grant, "", lambda _tx: None)
        return user_id

    async def register_in_browser(
        self,
        username: str,
        password: str,
        authentication: Authentication,
        *,
        client: str,
        user_agent: str,
        languages: Iterable[str],
    ) -> str:
        """Register an account and sign the person's browser in, in one transaction. Returns the secret for its cookie.

        `languages` are those that the person has chosen or the browser accepts, best first.
        Raises as `register`, and Forbidden if the authentication was used before: then the account exists.
        """
        self.check_open()
        if await authentication.result() is not None:
            raise _finished()
        user_id = await self.check_username(username)
        self._passwords.check(password, username=user_id)
        grant = await authentication.require(flows.of_registration(self._context.config))
        if grant.result is not None:
            raise _finished()
        return await self._create(
            user_id,
            password,
            grant,
            client,
            lambda tx: self._web_sessions.open(tx, user_id, client=client, user_agent=user_agent),
            languages=languages,
        )

    async def _create(
        self,
        user_id: str,
        password: str | None,
        grant: Grant,
        client: str,
        open_: Callable[[Tx], T],
        *,
        languages: Iterable[str] = (),
    ) -> T:
        """Create an account that speaks the first of `languages` that is offered.

        Returns what `open_` returns in the same transaction.
        """
        wishes = tuple(languages)
        password_hash = None if password is None else await self._passwords.hash(password, username=user_id)
        now = self._context.clock.now()

        def step(tx: Tx) -> T:
            grant.consume(tx, result=user_id)
            if client:
                take_registration(tx, self._context, client=client)
            if not accounts.insert(tx, user_id=user_id, password_hash=password_hash, created_at=now):
                raise UserInUse
            audit.note(tx, self._context, audit.Event.REGISTERED, user_id, grant.origin, by=grant.by)
            if wishes:
                # Notices come without a request of the person, so that only the account can know their language.
                preferences.set_language(tx, user_id, fitting(self._context.config, wishes))
            self._keep_what_was_proven(tx, user_id, grant)
            self._provisioning.account_changed(tx, user_id)
            return open_(tx)

        opened = await self._context.database.write(step)
        self._provisioning.hurry()
        return opened

    def _log_in(self, tx: Tx, user_id: str, device: Device, grant: Grant) -> Login:
        """Log the first device in, and allow the client to repeat that."""
        login = self._devices.open(tx, user_id, device)
        if grant.id_hash is not None:
            uia.allow_repeats(tx, grant.id_hash, user_id=user_id, device_id=login.device_id, repeats=_REPEATS)
        return login

    def _keep_what_was_proven(self, tx: Tx, user_id: str, grant: Grant) -> None:
        now = self._context.clock.now()
        token = grant.registration_token
        if token is not None and not self._registration_tokens.use(tx, token):
            raise Forbidden(Text("This registration token has no uses left."))
        for proof in grant.proofs:
            contact = Threepid(proof.medium, proof.canonical, proof.address, proof.validated_at, now)
            if not threepids.insert(tx, user_id, contact):
                raise ThreepidInUse
        for document, version in grant.terms:
            terms.accept(tx, user_id=user_id, document=document, version=version, now=now)

    async def _log_in_again(self, user_id: str, device: Device, grant: Grant) -> Login:
        """Log in the device of a finished registration again, for a client that lost the response.

        Raises Forbidden after `_REPEATS` times, or if the device was logged out. Opens no other device.
        """

        def step(tx: Tx) -> Login:
            id_hash = grant.id_hash
            device_id = None if id_hash is None else uia.repeated_device(tx, id_hash)
            if (
                id_hash is None
                or device_id is None
                or not accounts.lock(tx, user_id)
                or not devices.hold_device(tx, user_id, device_id)
                or not uia.take_repeat(tx, id_hash)
            ):
                raise _finished()
            refuse_locked(tx, user_id)
            return self._devices.open_again(tx, user_id, device_id, device)

        return await self._admission.admit(await self._context.database.write(step))

    def _generated_username(self) -> str:
        return "u" + self._context.entropy.letters(10, "abcdefghjkmnpqrstuvwxyz23456789")


def _finished() -> Forbidden:
    return Forbidden(FINISHED, cause="finished")
