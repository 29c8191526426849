"""What a person allows an app. It is asked every time: equal metadata makes equal apps, so any program can be "the same" app."""

from typing import Final

from threepid.clock import MINUTE, SKEW
from threepid.domain.accounts.accounts import require_active
from threepid.domain.authentication.grants import Grant
from threepid.domain.authentication.web_sessions import WebSession
from threepid.domain.context import Context
from threepid.domain.oauth.requests import Wish
from threepid.i18n import Text
from threepid.spec.errors import Forbidden
from threepid.storage import accounts, devices, oauth
from threepid.storage.engine.database import Tx

CODE_LIFE: Final = 10 * MINUTE
REPLAYS_NOTED: Final = 60 * MINUTE
"""How long after its end the second use of a code is still noticed."""
NOT_AN_ADMIN: Final = Text("This account may not administer the server.")


class Consents:
    """Codes for apps that people have allowed."""

    def __init__(self, context: Context) -> None:
        """Keep the codes in the database of `context`."""
        self._context = context

    async def is_admin(self, user_id: str) -> bool:
        """May the account allow an app to administer the homeserver?"""
        return await self._context.database.read(lambda tx: accounts.is_admin(tx, user_id))

    async def knows_device(self, user_id: str, device_id: str) -> bool:
        """Has the account a device with this ID, which the app would take over?"""
        return await self._context.database.read(lambda tx: devices.get(tx, user_id, device_id)) is not None

    async def allow(self, wish: Wish, session: WebSession, grant: Grant) -> str:
        """The authorization code of a request that the person of `session` has allowed.

        `grant` is the browser's permission to change the account; the administration of the homeserver requires it to be
        confirmed. Raises Forbidden.
        """
        code = self._context.entropy.token("tpc_")
        code_hash = self._context.vault.hash_token(code)
        now = self._context.clock.now()

        def step(tx: Tx) -> None:
            self.check(tx, session.user_id, grant, is_admin=wish.scope.needs_admin)
            if not oauth.use_client(tx, wish.target.client.client_id, now):
                raise Forbidden(cause="the app was deleted meanwhile")
            oauth.insert_code(
                tx,
                code_hash=code_hash,
                session_id=session.session_id,
                code=oauth.Code(
                    client_id=wish.target.client.client_id,
                    user_id=session.user_id,
                    redirect_uri=wish.target.redirect_uri,
                    challenge=wish.challenge,
                    scope=str(wish.scope),
                    expires_at=now + CODE_LIFE,
                    used_at=None,
                ),
            )

        await self._context.database.write(step)
        return code

    @staticmethod
    def check(tx: Tx, user_id: str, grant: Grant, *, is_admin: bool) -> None:
        """Check that the browser is still signed in and, for the administration, that its person may do it and confirmed it.

        Raises Forbidden.
        """
        require_active(tx, user_id)
        if is_admin:
            grant.consume(tx)
            if not accounts.is_admin(tx, user_id):
                raise Forbidden(NOT_AN_ADMIN)
        else:
            grant.hold_browser(tx)


def delete_expired(tx: Tx, now: int, *, at_most: int) -> int:
    """Delete codes and waiting devices that have expired some time ago; returns how many."""
    return oauth.delete_expired_codes(
        tx, now, expired_before=now - REPLAYS_NOTED, at_most=at_most
    ) + oauth.delete_expired_device_grants(tx, now, expired_before=now - SKEW, at_most=at_most)
