"""What a homeserver that trusts our tokens learns of one of them. https://www.rfc-editor.org/rfc/rfc7662."""

import hmac

from msgspec import Struct

from threepid.clock import SECOND
from threepid.domain.accounts.devices import Devices, allowed_scope
from threepid.domain.context import Context
from threepid.spec.errors import UnknownToken, Unrecognized, UserLocked
from threepid.spec.oauth.errors import InvalidClient
from threepid.spec.oauth.scopes import BOTH_APIS
from threepid.storage import device_tokens

OLD_LOGIN = "legacy"
"""The client ID of tokens of the old login, as other authentication services call it."""


class LivingToken(Struct, frozen=True):
    """An access token that is valid now."""

    username: str
    user_id: str
    device_id: str
    scope: str
    client_id: str
    expires_in: int | None
    """Whole seconds; None if it does not expire."""
    names_device: bool
    """Does the scope name the device?"""


class Introspection:
    """Answers a homeserver that shares a secret with us."""

    def __init__(self, context: Context, known_devices: Devices, secret: str) -> None:
        """`secret` is known to the homeserver and to nobody else."""
        self._context = context
        self._devices = known_devices
        self._secret = secret.encode("utf-8")

    def require(self, secret: str | None) -> None:
        """Raise InvalidClient unless this is the shared secret, and Unrecognized if there is none.

        Takes equally long for every wrong one.
        """
        if not self._secret:
            raise Unrecognized
        given = (secret or "").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(given, self._secret):
            raise InvalidClient("The secret is wrong.")

    async def of(self, token: str) -> LivingToken | None:
        """What an access token is good for; None for everything that is not a valid one."""
        token_hash = self._context.vault.hash_token(token)
        # One statement, because the homeserver's client waits for the answer.
        found = await self._context.database.read(lambda tx: device_tokens.introspected(tx, token_hash))
        if found is None:
            return None
        try:
            if await self._devices.check(token_hash, found) is None:
                return None
        except (UnknownToken, UserLocked):
            return None
        left = None if found.expires_at is None else (found.expires_at - self._context.clock.now()) // SECOND
        return LivingToken(
            username=found.user_id.removeprefix("@").partition(":")[0],
            user_id=found.user_id,
            device_id=found.device_id,
            scope=BOTH_APIS if found.scope is None else allowed_scope(found.scope, found.admin_at).for_homeserver(),
            client_id=OLD_LOGIN if found.client_id is None else found.client_id,
            expires_in=left,
            names_device=found.scope is not None,
        )
