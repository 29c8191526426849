"""Accounts of this server: which one is meant, is this their password, registration, login, the end.

https://spec.matrix.org/latest/client-server-api/#account-registration-and-management
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

from msgspec import UNSET, Struct

from threepid.domain.accounts.devices import Device, Devices, Login
from threepid.domain.accounts.notices import Notices
from threepid.domain.addresses import InvalidAddress, parse_address
from threepid.domain.authentication.failed_logins import FailedLogins
from threepid.domain.authentication.registration_tokens import RegistrationTokens
from threepid.domain.authentication.uia import Grant, Proof, WrongUserError, subjects_of
from threepid.domain.context import Context
from threepid.domain.limits import Guess, known_network, take_registration
from threepid.domain.secrets.passwords import Passwords
from threepid.domain.validation.sessions import Purpose
from threepid.spec.errors import (
    Exclusive,
    Forbidden,
    InvalidUsername,
    LimitExceeded,
    ThreepidInUse,
    UnknownIdentifierType,
    UserInUse,
)
from threepid.spec.types import valid_localpart
from threepid.spec.uia import AuthData, Identifier
from threepid.storage import accounts, devices, terms, threepids, uia, validations
from threepid.storage.accounts import Account, AccountSummary
from threepid.storage.engine.database import Tx
from threepid.storage.threepids import Threepid

T = TypeVar("T")

_MAX_USER_ID: Final = 255
_EVERY_WAY: Final = ("user", "email", "msisdn")
_REPEATS: Final = 5
"""How often a client that lost the answer to its registration may ask again."""
_WRONG: Final = "The name or the password is not right."


class Named(Struct, frozen=True):
    """The account that somebody names, if there is one; `name` is what they typed, in its canonical form, for limits."""

    account: Account | None
    name: str


class _Right(Struct, frozen=True):
    """A password was right: whose, against which hash, and the guess that it was. `owner`: see `Passwords.hash`."""

    guess: Guess
    user_id: str
    password_hash: str
    owner: str | None


class Accounts:
    """The accounts of this server."""

    def __init__(
        self,
        context: Context,
        passwords: Passwords,
        devices: Devices,
        notices: Notices,
        registration_tokens: RegistrationTokens,
    ) -> None:
        """Keep passwords with `passwords`, log in with `devices`, tell of changes with `notices`."""
        self._context = context
        self._passwords = passwords
        self._devices = devices
        self._notices = notices
        self._registration_tokens = registration_tokens
        settings = context.config.accounts
        self._ways = settings.login_with if settings else ()
        self._reserved = settings.reserved_usernames if settings else ()
        self._failed_logins = FailedLogins(context)
        self._tried: Counter[str] = Counter()
        """Guesses of which this process does not know yet whether they count, by the keys of what they count for."""

    # -- who is it

    async def check_password_stage(self, user_id: str, auth: AuthData, client: str) -> None:
        """The password stage of UIA for `user_id`. Raises Forbidden; WrongUserError for another user's right password."""
        nobody_named = auth.identifier is UNSET and auth.user is UNSET and auth.address is UNSET
        if nobody_named:
            named = Named(await self._context.database.read(lambda tx: accounts.get(tx, user_id)), user_id)
        else:
            # Who is logged in already may name themselves in every way, whatever identifies at login.
            named = await self.find(
                auth.identifier, user=auth.user, medium=auth.medium, address=auth.address, ways=_EVERY_WAY
            )
        password = auth.password if isinstance(auth.password, str) else ""
        right = await self._try(named, password, client, logged_in_as=user_id)
        if right is None:
            raise Forbidden("The password is not right.")

        def step(tx: Tx) -> bool:
            # Where a wrong one could not be counted, because nothing can be written, a right one must fail as well.
            if not right.guess.take(tx):
                return False
            right.guess.give_back(tx)
            return True

        if not await self._context.database.write(step):
            self._note_failure(named, client, "too many guesses at the account", logged_in_as=user_id)
            raise Forbidden("The password is not right.")
        if right.user_id != user_id:
            raise WrongUserError

    async def _try(
        self, named: Named, password: str, client: str, *, logged_in_as: str | None = None
    ) -> "_Right | None":
        """What is so if this is their password, else None: the one place that knows. A failure is logged.

        Takes as long for nobody as for somebody. Raises LimitExceeded before the password is looked at, or when it was wrong
        once too often; whoever tells that it was right sees before whether `guess` is left.
        """
        account = named.account
        whose = account.user_id if account else named.name
        logged_in = whose == logged_in_as
        network, turns = known_network(client), self._passwords.turns

        def is_known(tx: Tx) -> bool:
            # One step, also for nobody, and for an account with any number of devices.
            return logged_in or devices.knows(tx, whose, network)

        def look(tx: Tx) -> tuple[Guess, bool, Mapping[str, int]]:
            known = is_known(tx)
            guess = Guess(
                self._context, client=client, typed=named.name, account=whose, known=known, logged_in=logged_in
            )
            return guess, known, guess.full_at(tx)

        try:
            if not turns.has_place():  # a flood: whoever has no place costs no more than that is known
                await turns.refuse_if_full(whose if await self._context.database.read(is_known) else None)
            guess, known, full_at = await self._context.database.read(look)
            owner = whose if known else None
            await turns.refuse_if_full(owner)
            guess.refuse_if_none_is_left(full_at, self._tried)
            # Where only the account's own count refuses, nothing may tell: neither the answer, nor the time that it takes.
            spent = guess.is_spent(full_at, self._tried)
            usable = account if account and account.deactivated_at is None else None
            with self._pending(guess):
                right = await self._passwords.verify(password, usable.password_hash if usable else None, account=owner)
                if usable and usable.password_hash and right and not spent:
                    return _Right(guess, usable.user_id, usable.password_hash, owner)
                if guess.keys:
                    await self._context.database.write(guess.take)
        except LimitExceeded as error:
            self._note_failure(named, client, error.cause, logged_in_as=logged_in_as)
            raise
        self._note_failure(named, client, _cause(account, spent=spent), logged_in_as=logged_in_as)
        return None

    def _note_failure(self, named: Named, client: str, cause: str | None, *, logged_in_as: str | None = None) -> None:
        self._failed_logins.note(
            by="password" if logged_in_as is None else "password stage",
            cause=cause,
            client=client,
            user_id=named.account.user_id if named.account else None,
        )

    @contextlib.contextmanager
    def _pending(self, guess: Guess) -> Iterator[None]:
        """Until it is known whether the guess counts, no more others are looked at than would be left if it did."""
        for key in guess.keys:
            self._tried[key] += 1
        try:
            yield
        finally:
            for key in guess.keys:
                self._tried[key] -= 1
                if not self._tried[key]:
                    del self._tried[key]

    async def find(
        self,
        identifier: Identifier | object = UNSET,
        *,
        user: str | object = UNSET,
        medium: str | object = UNSET,
        address: str | object = UNSET,
        ways: Container[str] | None = None,
    ) -> Named:
        """The account that an identifier, or the older `user` or `medium` and `address`, stands for.

        `ways` are those that are taken; by default what identifies at login. Raises UnknownIdentifierType.
        https://spec.matrix.org/latest/client-server-api/#identifier-types
        """
        taken = self._ways if ways is None else ways
        if isinstance(identifier, Identifier):
            if identifier.type == "m.id.user":
                return await self._by_name(identifier.user, taken)
            if identifier.type == "m.id.thirdparty":
                return await self._by_threepid(identifier.medium, identifier.address, taken)
            if identifier.type == "m.id.phone":
                number = identifier.number if identifier.phone is UNSET else identifier.phone
                return await self._by_threepid("msisdn", number, taken, identifier.country)
            raise UnknownIdentifierType
        if user is not UNSET:
            return await self._by_name(user, taken)
        return await self._by_threepid(medium, address, taken)

    async def get(self, user_id: str) -> Account | None:
        """The account called `user_id`."""
        return await self._context.database.read(lambda tx: accounts.get(tx, user_id))

    # -- login

    async def log_in(self, named: Named, password: str, device: Device) -> Login:
        """Log a device in. Raises Forbidden alike for every cause, LimitExceeded after too many wrong tries."""
        right = await self._try(named, password, device.client)
        if right is None:
            raise Forbidden(_WRONG)
        new_hash = None
        if self._passwords.needs_rehash(right.password_hash):
            with contextlib.suppress(LimitExceeded):  # there is another time for it
                new_hash = await self._passwords.rehash(password, account=right.owner)

        def step(tx: Tx) -> Login | None:
            full_at = right.guess.full_at(tx)
            right.guess.refuse_if_none_is_left(full_at)
            if right.guess.is_spent(full_at):  # since it was looked at
                right.guess.take(tx)
                return None
            # The password was checked outside the transaction: it must still be the one, and stay it until the end.
            if not accounts.hold_password(tx, right.user_id, right.password_hash):
                raise Forbidden(_WRONG, cause="another password meanwhile")
            if new_hash is not None:
                accounts.set_password_hash(tx, right.user_id, new_hash)
            return self._devices.open(tx, right.user_id, device)

        try:
            login = await self._context.database.write(step)
            if login is None:
                raise Forbidden(_WRONG)
        except (Forbidden, LimitExceeded) as error:
            self._note_failure(named, device.client, error.cause)
            raise
        return login

    async def log_in_by_token(self, token: str, device: Device) -> Login:
        """Log a device in by a login token, which is used up. Raises Forbidden, LimitExceeded. A failure is logged."""
        guess = Guess(self._context, client=device.client)

        def step(tx: Tx) -> Login | None:
            guess.take(tx)
            user_id = self._devices.take_login_token(tx, token)
            if user_id is None or not devices.hold_account(tx, user_id):
                return None
            guess.give_back(tx)
            return self._devices.open(tx, user_id, device)

        try:
            # What raises is rolled back: a wrong try must be counted.
            login = await self._context.database.write(step)
            if login is None:
                raise Forbidden("This login token is not known, has expired or was used.", cause="no such token")
        except (Forbidden, LimitExceeded) as error:
            self._failed_logins.note(by="login token", cause=error.cause, client=device.client)
            raise
        return login

    async def log_in_again(self, user_id: str, device: Device, grant: Grant) -> Login:
        """Give the device that a finished registration opened its tokens again, for a client that lost the answer.

        Raises Forbidden after five times, or if the device was logged out; no other device is opened.
        """

        def step(tx: Tx) -> Login:
            id_hash = grant.id_hash
            device_id = None if id_hash is None else uia.repeated_device(tx, id_hash)
            if (
                id_hash is None
                or device_id is None
                or not devices.hold_account(tx, user_id)
                or not devices.hold_device(tx, user_id, device_id)
                or not uia.take_repeat(tx, id_hash)
            ):
                raise Forbidden("This registration is finished. Log in with your password.", cause="finished")
            return self._devices.open_again(tx, user_id, device_id, device)

        return await self._context.database.write(step)

    # -- registration

    async def check_username(self, username: str, *, by_operator: bool = False) -> str:
        """The user ID that this username would get, in small letters.

        Raises InvalidUsername, UserInUse, Exclusive (not for operators).
        https://spec.matrix.org/latest/appendices/#user-identifiers
        """
        username = _in_small_letters(username)
        user_id = f"@{username}:{self._context.server_name}"
        if not valid_localpart(username) or len(user_id.encode()) > _MAX_USER_ID:
            raise InvalidUsername
        if not by_operator and any(fnmatchcase(username, pattern) for pattern in self._reserved):
            raise Exclusive("This username is reserved.")
        if await self.get(user_id) is not None:
            raise UserInUse
        return user_id

    def check_new_password(self, password: str, user_id: str) -> None:
        """Raise WeakPassword or InvalidParam if this cannot become the password of the account."""
        self._passwords.check(password, username=user_id)

    def generate_username(self) -> str:
        """A username for somebody who did not choose one."""
        return "u" + self._context.entropy.letters(10, "abcdefghjkmnpqrstuvwxyz23456789")

    async def register(
        self, user_id: str, password: str | None, device: Device | None, grant: Grant | None = None, *, client: str = ""
    ) -> Login | None:
        """Make the account, with the addresses that the authentication proved as its contacts; log `device` in unless None.

        `client` is the IP address of who registers, '' for an operator. Raises UserInUse, ThreepidInUse, WeakPassword,
        Forbidden if the registration token is used up, LimitExceeded.
        """
        password_hash = None if password is None else await self._passwords.hash(password, username=user_id)
        now = self._context.clock.now()

        def step(tx: Tx) -> Login | None:
            if client:
                take_registration(tx, self._context, client=client)
            if grant is not None:
                grant.consume(tx, result=user_id)
            if not accounts.insert(tx, user_id=user_id, password_hash=password_hash, created_at=now):
                raise UserInUse
            if grant is not None:
                self._keep_what_was_proven(tx, user_id, grant)
            if device is None:
                return None
            login = self._devices.open(tx, user_id, device)
            if grant is not None and grant.id_hash is not None:
                uia.allow_repeats(tx, grant.id_hash, user_id=user_id, device_id=login.device_id, repeats=_REPEATS)
            return login

        return await self._context.database.write(step)

    def _keep_what_was_proven(self, tx: Tx, user_id: str, grant: Grant) -> None:
        now = self._context.clock.now()
        token = grant.registration_token
        if token is not None and not self._registration_tokens.use(tx, token):
            raise Forbidden("This registration token has been used up.")
        for proof in grant.proofs:
            if not threepids.insert(tx, user_id, _as_threepid(proof, now)):
                raise ThreepidInUse
        for document, version in grant.terms:
            terms.accept(tx, user_id=user_id, document=document, version=version, now=now)

    # -- changes

    async def change_password(
        self,
        user_id: str,
        password: str,
        grant: Grant,
        *,
        log_out_devices: bool,
        device_id: str | None,
        also: Callable[[Tx], Any],
    ) -> None:
        """Set a new password, and end what an intruder could still hold, in one transaction.

        With `log_out_devices`, all devices but `device_id` are logged out and `also` is done. Raises WeakPassword,
        InvalidParam, Forbidden.
        """
        password_hash = await self._passwords.hash(password, username=user_id, account=user_id)
        now = self._context.clock.now()

        def step(tx: Tx) -> None:
            grant.consume(tx)
            if not accounts.set_password_hash(tx, user_id, password_hash):
                raise Forbidden("This account has ended.")
            if log_out_devices:
                devices.delete_all(tx, user_id, but=device_id)
                also(tx)
            for threepid in threepids.of_user(tx, user_id):
                validations.close_of_address(
                    tx, medium=threepid.medium, canonical=threepid.canonical, purpose=Purpose.RESET, now=now
                )
            uia.delete_of_user(tx, user_id, subjects=subjects_of(user_id))
            self._notices.password_changed(tx, user_id)

        await self._context.database.write_aside(step)

    async def deactivate(self, user_id: str, grant: Grant, also: Callable[[Tx], T]) -> T:
        """End the account and all that belongs to it, in one transaction with `also`, whose result is returned."""
        now = self._context.clock.now()

        def step(tx: Tx) -> T:
            grant.consume(tx)
            # First, so that who logs in at this moment is done before the devices are ended, or finds the account so.
            if not accounts.deactivate(tx, user_id, now):
                raise Forbidden("This account has ended already.")
            devices.delete_all(tx, user_id)
            uia.delete_of_user(tx, user_id, subjects=subjects_of(user_id))
            validations.close_of_owner(tx, user_id, now)
            self._notices.deactivated(tx, user_id)
            return also(tx)

        return await self._context.database.write_aside(step)

    async def owner_of(self, proof: Proof) -> str:
        """The account that has a proven address. Raises Forbidden if none has."""
        account = await self._context.database.read(lambda tx: accounts.by_threepid(tx, proof.medium, proof.canonical))
        if account is None or account.deactivated_at is not None:
            raise Forbidden("No account has this address.")
        return account.user_id

    async def list_after(self, user_id: str, count: int) -> list[AccountSummary]:
        """The next `count` accounts after `user_id` in alphabetical order."""
        return await self._context.database.read(lambda tx: accounts.after(tx, user_id, count))

    async def _by_name(self, user: str | object, ways: Container[str]) -> Named:
        if not isinstance(user, str):
            return Named(None, "")
        localpart, colon, server_name = user.removeprefix("@").partition(":")
        if not user.startswith("@"):
            localpart, colon, server_name = user, ":", self._context.server_name
        usual = f"@{_in_small_letters(localpart)}{colon}{server_name}"
        if "user" not in ways:
            return Named(None, usual)

        def step(tx: Tx) -> Account | None:
            # Accounts of other servers that were taken over may have capital letters.
            typed = f"@{localpart}{colon}{server_name}"
            exact = accounts.get(tx, typed)
            return accounts.get(tx, usual) if exact is None and typed != usual else exact

        return Named(await self._context.database.read(step), usual)

    async def _by_threepid(
        self, medium: str | object, address: str | object, ways: Container[str], country: str | object = UNSET
    ) -> Named:
        if not isinstance(medium, str) or not isinstance(address, str) or medium not in ways:
            return Named(None, "")
        try:
            canonical = parse_address(medium, address, country.upper() if isinstance(country, str) else None).canonical
        except InvalidAddress:
            return Named(None, "")
        account = await self._context.database.read(lambda tx: accounts.by_threepid(tx, medium, canonical))
        return Named(account, f"{medium} {canonical}")


def _in_small_letters(username: str) -> str:
    # Only these: letters of other scripts have small ones that are ours, and no username has them.
    return username.lower() if username.isascii() else username


def _cause(account: Account | None, *, spent: bool) -> str:
    """Why a password was refused: for the log, since the caller is told nothing of it."""
    if account is None:
        return "no such account"
    if account.deactivated_at is not None:
        return "deactivated"
    if account.password_hash is None:
        return "no password"
    return "too many guesses at the account" if spent else "wrong password"


def _as_threepid(proof: Proof, now: int) -> Threepid:
    return Threepid(proof.medium, proof.canonical, proof.address, proof.validated_at, now)
