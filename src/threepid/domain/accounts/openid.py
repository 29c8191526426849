"""OpenID tokens, which prove a user's identity to third parties. https://spec.matrix.org/latest/client-server-api/#openid."""

from typing import Final

from threepid.clock import HOUR, SECOND
from threepid.domain.accounts.devices import MOST_TOKENS
from threepid.domain.context import Context
from threepid.domain.limits import take_openid_token
from threepid.spec.errors import UnknownToken
from threepid.storage import accounts, devices, side_tokens
from threepid.storage.device_tokens import Requester
from threepid.storage.engine.database import Tx

OPENID_LIFE: Final = HOUR


async def issue_openid_token(context: Context, requester: Requester) -> tuple[str, int]:
    """A token that proves the user's identity to third parties, and its life in seconds.

    Logging out its device revokes it. Raises UnknownToken if the device was logged out, and LimitExceeded.
    """
    token = context.entropy.token()
    token_hash = context.vault.hash_token(token)
    expires_at = context.clock.now() + OPENID_LIFE

    user_id, device_id = requester.user_id, requester.device_id

    def step(tx: Tx) -> None:
        if not accounts.lock(tx, user_id) or not devices.hold_device(tx, user_id, device_id):
            raise UnknownToken
        take_openid_token(tx, context, account=user_id)
        side_tokens.insert_openid_token(
            tx,
            token_hash=token_hash,
            user_id=user_id,
            device_id=device_id,
            expires_at=expires_at,
            at_most=MOST_TOKENS,
        )

    await context.database.write(step)
    return token, OPENID_LIFE // SECOND


async def openid_user(context: Context, token: str) -> str | None:
    """The user ID of an OpenID token, or None."""
    token_hash = context.vault.hash_token(token)
    now = context.clock.now()
    owner = await context.database.read(lambda tx: side_tokens.openid_owner(tx, token_hash, now))
    return None if owner is None else owner.user_id
