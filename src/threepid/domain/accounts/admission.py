"""The last step of every login: a homeserver beside us gets the device, before its client gets the tokens."""

from threepid.domain.accounts.devices import Login
from threepid.domain.accounts.provisioning import Provisioning
from threepid.domain.context import Context
from threepid.spec.errors import Unavailable
from threepid.storage import device_tokens, devices
from threepid.storage.engine.database import Tx


class Admission:
    """Lets devices in that were just logged in. Without a homeserver beside us, there is nothing to do."""

    def __init__(self, context: Context, provisioning: Provisioning) -> None:
        """`provisioning` tells the homeserver."""
        self._context = context
        self._provisioning = provisioning

    async def admit(self, login: Login, *, keeps_device: bool = False) -> Login:
        """Let the homeserver have the device that was logged in, and return `login`.

        If that fails, the login is undone, and Unavailable is raised. Then a new device is deleted unless `keeps_device`. A known
        one stays without tokens, because the homeserver has its keys.
        """
        try:
            await self._provisioning.admit(login.user_id, login.device_id, login.new_name)
        except Unavailable:
            await self._context.database.write(lambda tx: self._undo(tx, login, keeps_device=keeps_device))
            raise
        return login

    def _undo(self, tx: Tx, login: Login, *, keeps_device: bool) -> None:
        user_id, device_id = login.user_id, login.device_id
        token_hash = self._context.vault.hash_token(login.access_token)
        if not devices.hold_device(tx, user_id, device_id) or device_tokens.requester(tx, token_hash) is None:
            return  # a later login has replaced this one
        if login.new_name is not None and not keeps_device:
            devices.delete(tx, user_id, device_id)
        else:
            device_tokens.delete_tokens(tx, user_id, device_id, self._context.clock.now())
        self._provisioning.devices_changed(tx, user_id)
