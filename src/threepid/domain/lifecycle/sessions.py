"""Everything that is signed in to an account: devices of apps, and browsers."""

from threepid.domain import audit
from threepid.domain.accounts.accounts import require_active
from threepid.domain.accounts.provisioning import Provisioning
from threepid.domain.authentication.grants import Grant
from threepid.domain.context import Context
from threepid.domain.identity.associations import Associations
from threepid.storage import devices, uia, web_sessions
from threepid.storage.engine.database import Tx


class Sessions:
    """Signs out devices and browsers of an account together."""

    def __init__(self, context: Context, associations: Associations | None, provisioning: Provisioning) -> None:
        """`associations` is our own identity server, if there is one: the account's tokens there are revoked too.

        `provisioning` tells a homeserver beside us of devices.
        """
        self._context = context
        self._associations = associations
        self._provisioning = provisioning

    async def end_others(self, user_id: str, session_id: str, grant: Grant) -> None:
        """Sign out every device, and every browser but the one with the session `session_id`. Raises Forbidden."""

        def step(tx: Tx) -> None:
            grant.consume(tx)
            require_active(tx, user_id, by=grant.by)
            devices.delete_all(tx, user_id)
            web_sessions.delete_of_user(tx, user_id, but=session_id)
            uia.delete_of_user(tx, user_id)
            if self._associations is not None:
                self._associations.forget(tx, user_id)
            self._provisioning.devices_changed(tx, user_id)
            audit.note(tx, self._context, audit.Event.SIGNED_OUT_EVERYWHERE, user_id, grant.origin, by=grant.by)

        await self._context.database.write_aside(step)
        self._provisioning.hurry()
