"""What operators do to accounts: lock and unlock them, undo a deactivation, and choose administrators.

A locked account keeps its devices, contacts and keys, but nobody can sign in to it or use it until it is unlocked.
https://spec.matrix.org/latest/client-server-api/#account-locking
"""

from collections.abc import Callable

from threepid.domain import audit
from threepid.domain.accounts.provisioning import Provisioning
from threepid.domain.authentication.grants import AT_THE_SERVER, Grant
from threepid.domain.context import Context
from threepid.domain.identity.associations import Associations
from threepid.domain.secrets.passwords import Passwords
from threepid.i18n import Text
from threepid.spec.errors import Forbidden
from threepid.storage import accounts, side_tokens, uia, web_sessions
from threepid.storage.engine.database import Tx


class Administration:
    """Changes accounts for operators. Every change is in the account's security log."""

    def __init__(
        self, context: Context, passwords: Passwords, associations: Associations | None, provisioning: Provisioning
    ) -> None:
        """`associations` is our own identity server, if there is one; `provisioning` tells a homeserver beside us."""
        self._context = context
        self._passwords = passwords
        self._associations = associations
        self._provisioning = provisioning

    async def lock(self, user_id: str, grant: Grant = AT_THE_SERVER) -> bool:
        """Lock the account, and sign its browsers out. False if it is locked already, or is deactivated.

        Raises Forbidden if `grant` does not include the account.
        """
        now = self._context.clock.now()

        def step(tx: Tx) -> bool:
            grant.consume(tx)
            if not accounts.set_locked(tx, user_id, now):
                return False
            web_sessions.delete_of_user(tx, user_id)
            uia.delete_of_user(tx, user_id)
            side_tokens.delete_of_user(tx, user_id)
            if self._associations is not None:
                self._associations.forget(tx, user_id)
            self._provisioning.account_changed(tx, user_id)
            self._note(tx, audit.Event.LOCKED, user_id, grant)
            return True

        return await self._write(step)

    async def unlock(self, user_id: str, grant: Grant = AT_THE_SERVER) -> bool:
        """Unlock the account: its devices go on. False if it is not locked, or is deactivated. Raises as `lock` does."""

        def step(tx: Tx) -> bool:
            grant.consume(tx)
            if not accounts.set_locked(tx, user_id, None):
                return False
            self._provisioning.account_changed(tx, user_id)
            self._note(tx, audit.Event.UNLOCKED, user_id, grant)
            return True

        return await self._write(step)

    async def reactivate(self, user_id: str, password: str | None, grant: Grant = AT_THE_SERVER) -> None:
        """Undo a deactivation, first at a homeserver beside us. Contacts, devices and the right to administer do not come back.

        Without a new `password`, nobody can sign in. Raises WeakPassword, Forbidden if the account is not deactivated or
        `grant` does not include it, and Unavailable.
        """
        account = await self._context.database.read(lambda tx: accounts.get(tx, user_id))
        if account is None or account.deactivated_at is None:
            raise Forbidden(Text("This account is not deactivated."))
        password_hash = None if password is None else await self._passwords.hash(password, username=user_id)
        await self._provisioning.reactivate(user_id)

        def step(tx: Tx) -> bool:
            grant.consume(tx)
            if not accounts.reactivate(tx, user_id):
                return False
            if password_hash is not None:
                accounts.set_password_hash(tx, user_id, password_hash)
            self._provisioning.account_changed(tx, user_id)
            self._note(tx, audit.Event.REACTIVATED, user_id, grant)
            return True

        await self._write(step)

    async def set_admin(self, user_id: str, grant: Grant = AT_THE_SERVER, *, is_admin: bool) -> bool:
        """Let apps of an active account ask for the homeserver's administration, or not; False if it is not active."""
        admin_at = self._context.clock.now() if is_admin else None

        def step(tx: Tx) -> bool:
            grant.consume(tx)
            if not accounts.set_admin(tx, user_id, admin_at):
                return False
            self._note(tx, audit.Event.ADMIN_GRANTED if is_admin else audit.Event.ADMIN_REVOKED, user_id, grant)
            return True

        return await self._write(step)

    def _note(self, tx: Tx, event: audit.Event, user_id: str, grant: Grant) -> None:
        audit.note(tx, self._context, event, user_id, grant.origin, by=grant.by)

    async def _write(self, step: Callable[[Tx], bool]) -> bool:
        done = await self._context.database.write_aside(step)
        self._provisioning.hurry()
        return done
