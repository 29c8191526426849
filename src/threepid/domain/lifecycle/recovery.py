"""Password changes, authenticated by the old password or by a contact of the account.

https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountpassword
"""

from threepid.domain.accounts.accounts import require_active
from threepid.domain.accounts.notices import Notices
from threepid.domain.authentication.uia import Authentication, subjects_of
from threepid.domain.context import Context
from threepid.domain.identity.associations import Associations
from threepid.domain.lifecycle.owner import authenticate_owner
from threepid.domain.secrets.passwords import Passwords
from threepid.domain.validation.sessions import Purpose
from threepid.storage import accounts, devices, threepids, uia, validations
from threepid.storage.engine.database import Tx


class Recovery:
    """Sets new passwords."""

    def __init__(
        self, context: Context, passwords: Passwords, notices: Notices, associations: Associations | None
    ) -> None:
        """`associations` is our own identity server, if there is one: the account's tokens there are revoked too."""
        self._context = context
        self._passwords = passwords
        self._notices = notices
        self._associations = associations

    async def change_password(self, password: str, authentication: Authentication, *, log_out_devices: bool) -> None:
        """Set a new password and delete the account's open password resets and authentication sessions, in one transaction.

        With `log_out_devices`, also log out all devices but the caller's. Raises WeakPassword, InvalidParam and Forbidden.
        """
        self._passwords.check(password, username=authentication.user_id or "")
        user_id, grant = await authenticate_owner(self._context, authentication)
        password_hash = await self._passwords.hash(password, username=user_id, account=user_id)
        now = self._context.clock.now()

        def step(tx: Tx) -> None:
            grant.consume(tx)
            require_active(tx, user_id)
            accounts.set_password_hash(tx, user_id, password_hash)
            if log_out_devices:
                devices.delete_all(tx, user_id, but=authentication.device_id)
                if self._associations is not None:
                    self._associations.forget(tx, user_id)
            for threepid in threepids.of_user(tx, user_id):
                validations.close_of_address(
                    tx, medium=threepid.medium, canonical=threepid.canonical, purpose=Purpose.RESET, now=now
                )
            uia.delete_of_user(tx, user_id, subjects=subjects_of(user_id))
            self._notices.password_changed(tx, user_id)

        await self._context.database.write_aside(step)
