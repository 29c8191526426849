"""Password changes, authenticated by the old password or by a contact of the account.

https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountpassword
"""

from threepid.domain.accounts.accounts import require_active
from threepid.domain.accounts.notices import Notices
from threepid.domain.authentication.grants import Grant
from threepid.domain.authentication.uia import Authentication, subjects_of
from threepid.domain.authentication.web_sessions import WebSession
from threepid.domain.context import Context
from threepid.domain.identity.associations import Associations
from threepid.domain.lifecycle.owner import authenticate_owner
from threepid.domain.secrets.passwords import Passwords
from threepid.domain.validation.sessions import close_resets
from threepid.storage import accounts, devices, threepids, uia, web_sessions
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
        """Set a new password for the caller, as `_set` does. Raises WeakPassword, InvalidParam and Forbidden."""
        self._passwords.check(password, username=authentication.user_id or "")
        user_id, grant = await authenticate_owner(self._context, authentication)
        password_hash = await self._passwords.hash(password, username=user_id, account=user_id)

        def step(tx: Tx) -> None:
            grant.consume(tx)
            require_active(tx, user_id)
            self._set(tx, user_id, password_hash, log_out_devices=log_out_devices, but_device=authentication.device_id)

        await self._context.database.write_aside(step)

    async def change_in_browser(
        self, session: WebSession, password: str, grant: Grant, *, log_out_devices: bool
    ) -> None:
        """Set the account's new or first password in a browser that stays signed in, as `_set` does.

        Raises WeakPassword, InvalidParam, LimitExceeded under overload, and Forbidden if the session has ended or must be
        confirmed again.
        """
        user_id = session.user_id
        password_hash = await self._passwords.hash(password, username=user_id, account=user_id)

        def step(tx: Tx) -> None:
            grant.consume(tx)
            require_active(tx, user_id)
            self._set(tx, user_id, password_hash, log_out_devices=log_out_devices, but_session=session.session_id)

        await self._context.database.write_aside(step)

    def _set(
        self,
        tx: Tx,
        user_id: str,
        password_hash: str,
        *,
        log_out_devices: bool,
        but_device: str | None = None,
        but_session: str = "",
    ) -> None:
        """Set a password, and end what an old one may have opened.

        That is: all browser sessions but `but_session`, open resets and authentication sessions and, with `log_out_devices`, all
        devices but `but_device`. Notifies the account's contacts. The transaction must have locked the account.
        """
        accounts.set_password_hash(tx, user_id, password_hash)
        if log_out_devices:
            devices.delete_all(tx, user_id, but=but_device)
            if self._associations is not None:
                self._associations.forget(tx, user_id)
        web_sessions.delete_of_user(tx, user_id, but=but_session)
        now = self._context.clock.now()
        for threepid in threepids.of_user(tx, user_id):
            close_resets(tx, medium=threepid.medium, canonical=threepid.canonical, now=now)
        uia.delete_of_user(tx, user_id, subjects=subjects_of(user_id))
        self._notices.password_changed(tx, user_id)
