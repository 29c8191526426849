"""Login by password or login token, and the password stage of User-Interactive Authentication.

https://spec.matrix.org/latest/client-server-api/#login
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from msgspec import UNSET, Struct

from threepid.domain import audit
from threepid.domain.accounts.accounts import Accounts, Named, refuse_locked
from threepid.domain.accounts.admission import Admission
from threepid.domain.accounts.devices import Device, Devices, Login
from threepid.domain.accounts.login_tokens import LoginTokens
from threepid.domain.accounts.notices import Notices
from threepid.domain.authentication.failed_logins import FailedLogins
from threepid.domain.authentication.uia import WrongUserError
from threepid.domain.authentication.web_sessions import WebSessions
from threepid.domain.context import Context
from threepid.domain.guesses import Guess
from threepid.domain.networks import known_network
from threepid.domain.origin import Origin, of_caller
from threepid.domain.secrets.passwords import Passwords
from threepid.domain.sums import Sums
from threepid.i18n import Text
from threepid.spec.errors import Forbidden, LimitExceeded, MissingParam
from threepid.spec.uia import AuthData
from threepid.storage import accounts, devices
from threepid.storage.accounts import Account
from threepid.storage.engine.database import Tx

T = TypeVar("T")

_EVERY_WAY: Final = ("user", "email", "msisdn")
WRONG: Final = Text("The username or password is wrong.")
"""Said alike of every wrong login."""
ACCEPTED: Final = "accepted"


class _Right(Struct, frozen=True):
    """A right password: its account, the hash that it matched, and the guess that it counts as. `owner`: see `Passwords.hash`."""

    guess: Guess
    user_id: str
    password_hash: str
    owner: str | None


class Logins:
    """Checks passwords and login tokens, and logs devices in."""

    def __init__(
        self,
        context: Context,
        accounts: Accounts,
        passwords: Passwords,
        devices: Devices,
        login_tokens: LoginTokens,
        web_sessions: WebSessions,
        notices: Notices,
        admission: Admission,
        sums: Sums,
    ) -> None:
        """`accounts` finds the account, `passwords` and `login_tokens` check its secret, `devices` and `web_sessions` log in."""
        self._context = context
        self._accounts = accounts
        self._passwords = passwords
        self._devices = devices
        self._login_tokens = login_tokens
        self._web_sessions = web_sessions
        self._notices = notices
        self._admission = admission
        self._failed_logins = FailedLogins(context, sums)
        self.outcomes = self._failed_logins.outcomes
        """Logins so far by their way and outcome: the cause of a failure, or ACCEPTED."""
        self._tried: Counter[str] = Counter()
        """Number of guesses that this process is checking, by limit key."""

    async def check_password_stage(self, user_id: str, auth: AuthData, client: str, user_agent: str) -> None:
        """Check the password stage of UIA for `user_id`. Raises Forbidden, or WrongUserError for another account's password.

        Raises MissingParam without a password: that is a mistake of the app, so it does not count as a guess.
        """
        if not isinstance(auth.password, str):
            raise MissingParam.named("password")
        nobody_named = auth.identifier is UNSET and auth.user is UNSET and auth.address is UNSET
        if nobody_named:
            named = Named(await self._context.database.read(lambda tx: accounts.get(tx, user_id)), user_id)
        else:
            # A logged-in user may use every kind of identifier, whatever `login_with` allows.
            named = await self._accounts.find(
                auth.identifier, user=auth.user, medium=auth.medium, address=auth.address, ways=_EVERY_WAY
            )
        right = await self._try(named, auth.password, client, user_agent, logged_in_as=user_id)
        if right is None:
            raise Forbidden(Text("The password is wrong."))

        def step(tx: Tx) -> bool:
            # If the database is read-only, a wrong guess cannot be counted. So a right one must fail as well.
            if not right.guess.take(tx):
                return False
            right.guess.give_back(tx)
            return True

        if not await self._context.database.write(step):
            self._note_failure(named, client, "too many guesses at the account", logged_in_as=user_id)
            raise Forbidden(Text("The password is wrong."))
        if right.user_id != user_id:
            raise WrongUserError

    async def _try(
        self, named: Named, password: str, client: str, user_agent: str, *, logged_in_as: str | None = None
    ) -> "_Right | None":
        """Check the password of `named`; None if it is wrong. Every password check goes through here. Logs a failure.

        Takes equally long whether or not the account exists. Raises LimitExceeded before the password is checked, or if a wrong
        one exceeds a limit. A caller that reveals a right password must first check the limits of `guess` once more.
        """
        account = named.account
        whose = account.user_id if account else named.name
        logged_in = whose == logged_in_as
        network, turns = known_network(client), self._passwords.turns

        def is_known(tx: Tx) -> bool:
            # One query, whether or not the account exists and however many devices it has, so that the time reveals nothing.
            return logged_in or devices.knows(tx, whose, network)

        def look(tx: Tx) -> tuple[Guess, bool, Mapping[str, int]]:
            known = is_known(tx)
            guess = Guess(
                self._context, client=client, typed=named.name, account=whose, known=known, logged_in=logged_in
            )
            return guess, known, guess.full_at(tx)

        try:
            if not turns.has_place():  # in a flood, a rejected caller costs only this query
                await turns.refuse_if_full(whose if await self._context.database.read(is_known) else None)
            guess, known, full_at = await self._context.database.read(look)
            owner = whose if known else None
            await turns.refuse_if_full(owner)
            guess.refuse_if_none_is_left(full_at, self._tried)
            # If only the account's own limit rejects the guess, neither the answer nor its time may reveal that.
            spent = guess.is_spent(full_at, self._tried)
            usable = account if account and account.deactivated_at is None else None
            with self._pending(guess):
                right = await self._passwords.verify(password, usable.password_hash if usable else None, account=owner)
                if usable and usable.password_hash and right and not spent:
                    return _Right(guess, usable.user_id, usable.password_hash, owner)
                origin = self._origin(client, user_agent)
                # The same statement for nobody: the time must not reveal whether there is an account.
                at = usable.user_id if usable else ""

                def count(tx: Tx) -> None:
                    guess.take(tx)
                    audit.note_failure(tx, self._context, at, origin, by_owner=logged_in)

                await self._context.database.write(count)
        except LimitExceeded as error:
            self._note_failure(named, client, error.cause, logged_in_as=logged_in_as)
            raise
        self._note_failure(named, client, _cause(account, spent=spent), logged_in_as=logged_in_as)
        return None

    def _origin(self, client: str, user_agent: str) -> Origin:
        return of_caller(self._context.clock.now(), client, user_agent)

    def _note_failure(self, named: Named, client: str, cause: str | None, *, logged_in_as: str | None = None) -> None:
        self._failed_logins.note(
            by="password" if logged_in_as is None else "password stage",
            cause=cause,
            client=client,
            user_id=named.account.user_id if named.account else None,
        )

    @contextlib.contextmanager
    def _pending(self, guess: Guess) -> Iterator[None]:
        """Count the guess as pending while it is checked, so that concurrent guesses cannot exceed the limits."""
        for key in guess.keys:
            self._tried[key] += 1
        try:
            yield
        finally:
            for key in guess.keys:
                self._tried[key] -= 1
                if not self._tried[key]:
                    del self._tried[key]

    async def log_in(self, named: Named, password: str, device: Device) -> Login:
        """Log a device in. Raises LimitExceeded, UserLocked, and Forbidden, alike for all wrong logins or at the limit.

        A deactivated account is among the wrong logins: its password is deleted, so nobody can prove that it is theirs, and
        M_USER_DEACTIVATED would tell strangers that it existed. The specification permits M_FORBIDDEN for that.
        """
        return await self._admission.admit(
            await self._open(
                named,
                password,
                device.client,
                device.user_agent,
                lambda tx, user_id: self._devices.open(tx, user_id, device),
            )
        )

    async def sign_in(self, named: Named, password: str, *, client: str, user_agent: str) -> str:
        """Sign a browser in, and return the secret for its cookie. Raises LimitExceeded, and Forbidden as `log_in` does."""
        return await self._open(
            named,
            password,
            client,
            user_agent,
            lambda tx, user_id: self._web_sessions.open(tx, user_id, client=client, user_agent=user_agent),
        )

    async def confirm(self, user_id: str, password: str, *, token: str, client: str, user_agent: str) -> str:
        """Confirm a browser session by the password, and return the new secret for its cookie. Raises as `sign_in` does."""
        await self.check_password_stage(user_id, AuthData(password=password), client, user_agent)
        return await self._context.database.write(lambda tx: self._web_sessions.confirm(tx, token, user_id))

    async def _open(
        self, named: Named, password: str, client: str, user_agent: str, open_: Callable[[Tx, str], T]
    ) -> T:
        """Check the password of `named`, and return what `open_` returns in the transaction that has locked the account."""
        right = await self._try(named, password, client, user_agent)
        if right is None:
            raise Forbidden(WRONG)
        new_hash = None
        if self._passwords.needs_rehash(right.password_hash):
            with contextlib.suppress(LimitExceeded):  # the next login can do it
                new_hash = await self._passwords.rehash(password, account=right.owner)

        def step(tx: Tx) -> T | None:
            full_at = right.guess.full_at(tx)
            right.guess.refuse_if_none_is_left(full_at)
            if right.guess.is_spent(full_at):  # by other guesses since the check
                right.guess.take(tx)
                return None
            # The password was checked outside the transaction. Lock its hash: it must not have changed, nor change until commit.
            if not accounts.hold_password(tx, right.user_id, right.password_hash):
                raise Forbidden(WRONG, cause="another password meanwhile")
            refuse_locked(tx, right.user_id)
            if new_hash is not None:
                accounts.set_password_hash(tx, right.user_id, new_hash)
            self._notices.new_sign_in(tx, right.user_id, self._origin(client, user_agent))
            return open_(tx, right.user_id)

        try:
            opened = await self._context.database.write(step)
            if opened is None:
                raise Forbidden(WRONG)
        except (Forbidden, LimitExceeded) as error:
            self._note_failure(named, client, error.cause)
            raise
        self.outcomes["password", ACCEPTED] += 1
        return opened

    async def log_in_by_token(self, token: str, device: Device) -> Login:
        """Log a device in by a login token, and use the token up. Raises Forbidden and LimitExceeded. Logs a failure."""
        guess = Guess(self._context, client=device.client)

        def step(tx: Tx) -> Login | None:
            guess.take(tx)
            user_id = self._login_tokens.take(tx, token)
            if user_id is None or not accounts.lock(tx, user_id):
                return None
            refuse_locked(tx, user_id)
            guess.give_back(tx)
            self._notices.new_sign_in(tx, user_id, self._origin(device.client, device.user_agent))
            return self._devices.open(tx, user_id, device)

        try:
            # An exception would roll the count of a wrong guess back, so the step returns None instead.
            login = await self._context.database.write(step)
            if login is None:
                raise Forbidden(
                    Text("This login token is unknown, has expired or was used before."), cause="no such token"
                )
        except (Forbidden, LimitExceeded) as error:
            self._failed_logins.note(by="login token", cause=error.cause, client=device.client)
            raise
        self.outcomes["login token", ACCEPTED] += 1
        return await self._admission.admit(login)


def _cause(account: Account | None, *, spent: bool) -> str:
    """Why a password was rejected, for the log alone: the caller must not learn it."""
    if account is None:
        return "no such account"
    if account.deactivated_at is not None:
        return "deactivated"
    if account.password_hash is None:
        return "no password"
    return "too many guesses at the account" if spent else "wrong password"
