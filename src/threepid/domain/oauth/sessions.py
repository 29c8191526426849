"""Sessions of apps: a device of an account, bound to an app and to what its person allowed."""

from msgspec.structs import replace

from threepid.clock import SECOND
from threepid.domain.accounts.accounts import require_active
from threepid.domain.accounts.devices import Device, Devices, Login
from threepid.domain.accounts.notices import Notices
from threepid.domain.context import Context
from threepid.domain.oauth.clients import Client
from threepid.domain.origin import of_caller
from threepid.spec.oauth.scopes import Scope
from threepid.storage import accounts, associations, oauth, side_tokens
from threepid.storage.engine.database import Tx


class AppSessions:
    """Opens sessions of apps."""

    def __init__(self, context: Context, devices: Devices, notices: Notices) -> None:
        """`devices` issues the tokens, `notices` tells people of a new sign-in."""
        self._context = context
        self._devices = devices
        self._notices = notices
        self._access_life = context.config.oauth.access_token_seconds * SECOND

    def open(
        self,
        tx: Tx,
        user_id: str,
        app: Client,
        scope: Scope,
        *,
        grant_hash: bytes,
        client: str,
        user_agent: str,
    ) -> Login:
        """Open a session. A device that exists already belongs to the app from now on: everything that it had before ends.

        Raises Forbidden if the account is deactivated, or has reached its device limit.
        """
        require_active(tx, user_id)
        now = self._context.clock.now()
        self._notices.new_sign_in(tx, user_id, of_caller(now, client, user_agent))
        side_tokens.delete_of_device(tx, user_id, scope.device_id)
        associations.delete_tokens_of_device(tx, user_id, scope.device_id)
        device = Device(
            device_id=scope.device_id,
            display_name=app.name(()),
            refreshes=True,
            client=client,
            user_agent=user_agent,
            access_life=self._access_life,
        )
        login = self._devices.open(tx, user_id, device)
        oauth.open_session(
            tx,
            user_id=user_id,
            device_id=scope.device_id,
            client_id=app.client_id,
            scope=str(scope),
            grant_hash=grant_hash,
            now=now,
        )
        allowed = scope if accounts.is_admin(tx, user_id) else scope.without_admin()
        return replace(login, scope=str(allowed))
