"""Accounts of this server: whose token is this, is this their password, registration, login, logout.

https://spec.matrix.org/latest/client-server-api/#account-registration-and-management
"""

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import UNSET, Struct

from threepid.clock import HOUR
from threepid.domain.addresses import InvalidAddress, parse_email
from threepid.domain.context import Context
from threepid.domain.credentials import Passwords
from threepid.domain.uia import Grant, Proof, WrongUserError
from threepid.domain.validation import Purpose
from threepid.spec.errors import Forbidden, InvalidUsername, ThreepidInUse, UserInUse
from threepid.spec.types import valid_localpart
from threepid.spec.uia import AuthData, Identifier
from threepid.storage import accounts, sessions, threepids, uia
from threepid.storage.accounts import Account, AccountSummary, Requester
from threepid.storage.database import Tx
from threepid.storage.threepids import Threepid

OPENID_LIFE: Final = HOUR
_MAX_USER_ID: Final = 255


class Login(Struct, frozen=True):
    """A device that was logged in: its secret token is here and nowhere else."""

    user_id: str
    device_id: str
    access_token: str


class Device(Struct, frozen=True):
    """What a client says of the device that logs in; both may be absent."""

    device_id: str | None = None
    display_name: str | None = None


class Accounts:
    """The accounts of this server."""

    def __init__(self, context: Context, passwords: Passwords) -> None:
        """Keep passwords with `passwords`."""
        self._context = context
        self._passwords = passwords
        settings = context.config.accounts
        self._ways = settings.login_with if settings else ()

    async def whose_token(self, access_token: str) -> Requester | None:
        """The account and device of an access token, or None: the one place that knows."""
        token_hash = self._context.vault.hash_token(access_token)
        now = self._context.clock.now()
        return await self._context.database.read(lambda tx: accounts.requester(tx, token_hash, now))

    async def check_password(self, account: Account | None, password: str) -> bool:
        """Is this their password? The one place that knows. Takes as long for nobody as for somebody."""
        usable = account is not None and account.deactivated_at is None
        right = await self._passwords.verify(password, account.password_hash if account and usable else None)
        return right and usable

    async def check_password_stage(self, user_id: str, auth: AuthData) -> None:
        """The password stage of UIA for `user_id`. Raises Forbidden; WrongUserError for another user's right password."""
        account = await self.find(auth.identifier, user=auth.user, medium=auth.medium, address=auth.address)
        nobody_named = auth.identifier is UNSET and auth.user is UNSET and auth.address is UNSET
        if nobody_named:
            account = await self._context.database.read(lambda tx: accounts.get(tx, user_id))
        right = await self.check_password(account, auth.password if isinstance(auth.password, str) else "")
        if not right:
            raise Forbidden("The password is not right.")
        if account is None or account.user_id != user_id:
            raise WrongUserError

    async def find(
        self,
        identifier: Identifier | object = UNSET,
        *,
        user: str | object = UNSET,
        medium: str | object = UNSET,
        address: str | object = UNSET,
    ) -> Account | None:
        """The account that an identifier, or the older `user` or `medium` and `address`, stands for; None for all else."""
        if isinstance(identifier, Identifier):
            if identifier.type == "m.id.user":
                return await self._by_name(identifier.user)
            if identifier.type == "m.id.thirdparty":
                return await self._by_threepid(identifier.medium, identifier.address)
            return None
        if user is not UNSET:
            return await self._by_name(user)
        return await self._by_threepid(medium, address)

    async def log_in(self, account: Account | None, password: str, device: Device) -> Login:
        """Log a device in. Raises Forbidden alike for every cause."""
        if not await self.check_password(account, password) or account is None:
            raise Forbidden("The name or the password is not right.")
        user_id = account.user_id

        def step(tx: Tx, login: Login) -> None:
            self._still_active(tx, user_id, account.password_hash)
            self._open(tx, login, device)

        login = self._new_login(user_id, device)
        await self._context.database.write(lambda tx: step(tx, login))
        return login

    async def log_in_again(self, user_id: str, device: Device) -> Login:
        """Log in the account that a finished registration made, for a client that asks again."""
        login = self._new_login(user_id, device)

        def step(tx: Tx) -> None:
            account = accounts.get(tx, user_id)
            if account is None or account.deactivated_at is not None:
                raise Forbidden
            self._open(tx, login, device)

        await self._context.database.write(step)
        return login

    async def check_username(self, username: str) -> str:
        """The user ID that this username would get. Raises InvalidUsername or UserInUse."""
        user_id = f"@{username}:{self._context.server_name}"
        if not valid_localpart(username) or len(user_id.encode()) > _MAX_USER_ID:
            raise InvalidUsername
        if await self._context.database.read(lambda tx: accounts.get(tx, user_id)) is not None:
            raise UserInUse
        return user_id

    def check_new_password(self, password: str) -> None:
        """Raise WeakPassword or InvalidParam if this cannot become a password."""
        self._passwords.check(password)

    def generate_username(self) -> str:
        """A username for somebody who did not choose one."""
        return "u" + self._context.entropy.letters(10, "abcdefghjkmnpqrstuvwxyz23456789")

    async def register(
        self, user_id: str, password: str | None, device: Device | None, grant: Grant | None = None
    ) -> Login | None:
        """Make the account, with the addresses that the authentication proved as its contacts; log `device` in unless None.

        Raises UserInUse, ThreepidInUse, WeakPassword.
        """
        password_hash = None if password is None else await self._passwords.hash(password)
        now = self._context.clock.now()
        login = None if device is None else self._new_login(user_id, device)

        def step(tx: Tx) -> None:
            if grant is not None:
                grant.consume(tx, result=user_id)
            if not accounts.insert(tx, user_id=user_id, password_hash=password_hash, created_at=now):
                raise UserInUse
            for proof in grant.proofs if grant else ():
                if not threepids.insert(tx, user_id, _as_threepid(proof, now)):
                    raise ThreepidInUse
            if login is not None and device is not None:
                self._open(tx, login, device)

        await self._context.database.write(step)
        return login

    async def change_password(
        self, user_id: str, password: str, grant: Grant, *, log_out_devices: bool, device_id: str | None
    ) -> None:
        """Set a new password, and end what an intruder could still hold, in one transaction.

        With `log_out_devices`, all devices but `device_id` are logged out. Raises WeakPassword, InvalidParam, Forbidden.
        """
        password_hash = await self._passwords.hash(password)
        now = self._context.clock.now()

        def step(tx: Tx) -> None:
            grant.consume(tx)
            if not accounts.set_password_hash(tx, user_id, password_hash):
                raise Forbidden("This account has ended.")
            if log_out_devices:
                accounts.delete_devices(tx, user_id, but=device_id)
            for threepid in threepids.of_user(tx, user_id):
                sessions.close_of_address(
                    tx, medium=threepid.medium, canonical=threepid.canonical, purpose=Purpose.RESET, now=now
                )
            uia.delete_of_user(tx, user_id)

        await self._context.database.write(step)

    async def deactivate(self, user_id: str, grant: Grant, also: Callable[[Tx], bool]) -> bool:
        """End the account and all that belongs to it, in one transaction with `also`, whose result is returned."""
        now = self._context.clock.now()

        def step(tx: Tx) -> bool:
            grant.consume(tx)
            result = also(tx)
            sessions.close_of_owner(tx, user_id, now)
            uia.delete_of_user(tx, user_id)
            if not accounts.deactivate(tx, user_id, now):
                raise Forbidden("This account has ended already.")
            return result

        return await self._context.database.write(step)

    async def owner_of(self, proof: Proof) -> str:
        """The account that has a proven address. Raises Forbidden if none has."""
        account = await self._context.database.read(lambda tx: accounts.by_threepid(tx, proof.medium, proof.canonical))
        if account is None or account.deactivated_at is not None:
            raise Forbidden("No account has this address.")
        return account.user_id

    async def devices(self, user_id: str) -> list[accounts.Device]:
        """The devices of the account, oldest first."""
        return await self._context.database.read(lambda tx: accounts.devices(tx, user_id))

    async def rename_device(self, user_id: str, device_id: str, display_name: str | None) -> bool:
        """Give a device another name; False if the account has no such device."""
        return await self._context.database.write(
            lambda tx: accounts.rename_device(tx, user_id, device_id, display_name)
        )

    async def delete_devices(self, user_id: str, device_ids: Iterable[str], grant: Grant) -> None:
        """Log devices out; those that are not there are no error."""

        def step(tx: Tx) -> None:
            grant.consume(tx)
            for device_id in device_ids:
                accounts.delete_device(tx, user_id, device_id)

        await self._context.database.write(step)

    async def list_after(self, user_id: str, count: int) -> list[AccountSummary]:
        """The next `count` accounts after `user_id` in alphabetical order."""
        return await self._context.database.read(lambda tx: accounts.after(tx, user_id, count))

    async def log_out(self, requester: Requester) -> None:
        """End the device that asks."""
        await self._context.database.write(
            lambda tx: accounts.delete_device(tx, requester.user_id, requester.device_id)
        )

    async def log_out_everywhere(self, user_id: str) -> None:
        """End all devices of the account."""
        await self._context.database.write(lambda tx: accounts.delete_devices(tx, user_id))

    async def openid_token(self, user_id: str) -> tuple[str, int]:
        """A token with which the user can show others who they are, and its life in seconds."""
        token = self._context.entropy.token()
        token_hash = self._context.vault.hash_token(token)
        expires_at = self._context.clock.now() + OPENID_LIFE

        def step(tx: Tx) -> None:
            accounts.insert_openid_token(tx, token_hash=token_hash, user_id=user_id, expires_at=expires_at)

        await self._context.database.write(step)
        return token, OPENID_LIFE // 1000

    async def openid_user(self, token: str) -> str | None:
        """The user whose OpenID token this is, or None."""
        token_hash = self._context.vault.hash_token(token)
        now = self._context.clock.now()
        return await self._context.database.read(lambda tx: accounts.openid_user(tx, token_hash, now))

    async def _by_name(self, user: str | object) -> Account | None:
        if not isinstance(user, str) or "user" not in self._ways:
            return None
        user_id = user if user.startswith("@") else f"@{user}:{self._context.server_name}"
        return await self._context.database.read(lambda tx: accounts.get(tx, user_id))

    async def _by_threepid(self, medium: str | object, address: str | object) -> Account | None:
        if medium != "email" or not isinstance(address, str) or "email" not in self._ways:
            return None
        try:
            canonical = parse_email(address).canonical
        except InvalidAddress:
            return None
        return await self._context.database.read(lambda tx: accounts.by_threepid(tx, "email", canonical))

    def _new_login(self, user_id: str, device: Device) -> Login:
        entropy = self._context.entropy
        return Login(user_id, device.device_id or entropy.letters(10), entropy.token("tp_"))

    def _open(self, tx: Tx, login: Login, device: Device) -> None:
        accounts.open_device(
            tx,
            user_id=login.user_id,
            device_id=login.device_id,
            display_name=device.display_name,
            token_hash=self._context.vault.hash_token(login.access_token),
            now=self._context.clock.now(),
        )

    @staticmethod
    def _still_active(tx: Tx, user_id: str, password_hash: str | None) -> None:
        """The password was checked outside the transaction: it must still be the one."""
        account = accounts.get(tx, user_id)
        if account is None or account.deactivated_at is not None or account.password_hash != password_hash:
            raise Forbidden("The name or the password is not right.")


def _as_threepid(proof: Proof, now: int) -> Threepid:
    return Threepid(proof.medium, proof.canonical, proof.address, proof.validated_at, now)
