"""Login tokens: each logs in once, on another device or in an app. https://spec.matrix.org/latest/client-server-api/#login."""

from threepid import config
from threepid.clock import SECOND
from threepid.domain.accounts.accounts import require_active
from threepid.domain.accounts.devices import MOST_TOKENS
from threepid.domain.authentication.grants import Grant
from threepid.domain.context import Context
from threepid.spec.errors import UnknownToken
from threepid.storage import side_tokens
from threepid.storage.engine.database import Tx
from threepid.storage.web_sessions import WebSession


class LoginTokens:
    """Issues login tokens and uses them up."""

    def __init__(self, context: Context, settings: config.Accounts) -> None:
        """`settings` say how long a login token is valid."""
        self._context = context
        self._life = settings.login_token_seconds * SECOND

    async def issue(self, user_id: str, grant: Grant) -> tuple[str, int]:
        """A token for one login as `user_id`, and its life in milliseconds. Logging out the grant's device revokes it.

        Raises UnknownToken if that device was logged out.
        https://spec.matrix.org/latest/client-server-api/#post_matrixclientv1loginget_token
        """
        token = self._context.entropy.token("tpl_")

        def step(tx: Tx) -> None:
            grant.consume(tx)
            if grant.device is None:
                raise UnknownToken
            self._keep(tx, token, user_id, device_id=grant.device[1])

        await self._context.database.write(step)
        return token, self._life

    async def issue_to_browser(self, session: WebSession, grant: Grant) -> str:
        """A token for one login by the app that the person of `session` lets in. The end of that session revokes it.

        `grant` is the browser's permission. Raises Forbidden if the browser was signed out.
        https://spec.matrix.org/latest/client-server-api/#sso-client-loginauthentication
        """
        token = self._context.entropy.token("tpl_")

        def step(tx: Tx) -> None:
            require_active(tx, session.user_id)
            grant.hold_browser(tx)
            self._keep(tx, token, session.user_id, session_id=session.session_id)

        await self._context.database.write(step)
        return token

    def _keep(self, tx: Tx, token: str, user_id: str, **owner: str) -> None:
        side_tokens.insert_login_token(
            tx,
            token_hash=self._context.vault.hash_token(token),
            user_id=user_id,
            expires_at=self._context.clock.now() + self._life,
            at_most=MOST_TOKENS,
            **owner,
        )

    def take(self, tx: Tx, token: str) -> str | None:
        """Use a login token up. Returns its user ID, or None if the token is not valid."""
        return side_tokens.take_login_token(tx, self._context.vault.hash_token(token), self._context.clock.now())
