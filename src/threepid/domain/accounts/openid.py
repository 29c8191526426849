"""Users of OpenID tokens that this server issued. https://spec.matrix.org/latest/client-server-api/#openid."""

from threepid.domain.context import Context
from threepid.storage import devices


async def openid_user(context: Context, token: str) -> str | None:
    """The user ID of an OpenID token, or None."""
    token_hash = context.vault.hash_token(token)
    now = context.clock.now()
    owner = await context.database.read(lambda tx: devices.openid_owner(tx, token_hash, now))
    return None if owner is None else owner.user_id
