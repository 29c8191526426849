"""Tokens of apps: for a code, for a refresh token, and their end.

https://spec.matrix.org/latest/client-server-api/#token-refresh-flow
https://www.rfc-editor.org/rfc/rfc7009
"""

from typing import Final

from msgspec import Struct

from threepid.clock import SECOND, SKEW
from threepid.domain import audit
from threepid.domain.accounts.admission import Admission
from threepid.domain.accounts.devices import Devices, Login
from threepid.domain.accounts.notices import Notices
from threepid.domain.accounts.provisioning import Provisioning
from threepid.domain.context import Context
from threepid.domain.limits import take_authentication
from threepid.domain.oauth.clients import known_client
from threepid.domain.oauth.consent import CODE_LIFE
from threepid.domain.oauth.sessions import AppSessions
from threepid.domain.origin import Origin, of_caller
from threepid.spec.errors import Forbidden, LimitExceeded, Unavailable, UnknownToken, UserLocked
from threepid.spec.oauth import pkce
from threepid.spec.oauth.errors import InvalidGrant
from threepid.spec.oauth.scopes import parse_scope
from threepid.storage import accounts, associations, device_tokens, devices, oauth
from threepid.storage.engine.database import Tx

_WHILE_LOCKED: Final = 60
"""After how many seconds the app of a locked account may ask again."""


class Caller(Struct, frozen=True):
    """The program that asks: its IP address and user agent."""

    client: str
    user_agent: str


class AppTokens:
    """Issues and revokes tokens of apps."""

    def __init__(
        self,
        context: Context,
        devices: Devices,
        sessions: AppSessions,
        notices: Notices,
        admission: Admission,
        provisioning: Provisioning,
    ) -> None:
        """`devices` keeps the tokens, `sessions` opens sessions, `notices` tells people of a stolen code.

        `admission` lets a homeserver beside us have the device, `provisioning` tells it of the end of one.
        """
        self._context = context
        self._devices = devices
        self._sessions = sessions
        self._notices = notices
        self._admission = admission
        self._provisioning = provisioning

    async def exchange(self, code: str, *, client_id: str, redirect_uri: str, verifier: str, caller: Caller) -> Login:
        """The tokens for an authorization code, which works once. A second use ends the session that the first one opened.

        Raises InvalidGrant, LimitExceeded, and Unavailable if a homeserver beside us is away.
        """
        code_hash = self._context.vault.hash_token(code)
        now = self._context.clock.now()

        def step(tx: Tx) -> Login | InvalidGrant:
            found = oauth.code(tx, code_hash)
            if found is None:
                take_authentication(tx, self._context, client=caller.client)
                return InvalidGrant(cause="no such code")
            if not _matches(found, client_id, redirect_uri, verifier):
                return InvalidGrant(cause="the code is of another client, redirect URI or challenge")
            if not accounts.lock(tx, found.user_id):
                return InvalidGrant(cause="the account is deactivated")
            if not oauth.use_code(tx, code_hash, now):
                self._end_replayed(tx, found.user_id, code_hash, of_caller(now, caller.client, caller.user_agent))
                return InvalidGrant(cause="the code was used before")
            app = known_client(tx, found.client_id)
            if app is None or not now < found.expires_at <= now + CODE_LIFE + SKEW:
                return InvalidGrant(cause="the code has expired")
            return self._sessions.open(
                tx,
                found.user_id,
                app,
                parse_scope(found.scope),
                grant_hash=code_hash,
                client=caller.client,
                user_agent=caller.user_agent,
            )

        # An exception would roll the end of a replayed code's session back, so the step returns the error.
        try:
            answer = await self._context.database.write(step)
        except UserLocked:
            raise InvalidGrant("The account is locked.") from None
        except Forbidden as error:
            raise InvalidGrant("The account has too many devices.", cause=error.cause) from None
        if isinstance(answer, InvalidGrant):
            self._provisioning.hurry()
            raise answer
        return await self._admitted(answer, code_hash)

    async def _admitted(self, login: Login, code_hash: bytes) -> Login:
        """Let a homeserver beside us have the device. If that fails, the login is undone, and its code works again."""
        try:
            return await self._admission.admit(login)
        except Unavailable:
            await self._context.database.write(lambda tx: oauth.release_code(tx, code_hash))
            raise

    def _end_replayed(self, tx: Tx, user_id: str, code_hash: bytes, origin: Origin) -> None:
        """End the session of a code that was used twice: one of the two users has stolen it."""
        device_id = oauth.device_of_grant(tx, user_id, code_hash)
        if device_id is not None and devices.delete(tx, user_id, device_id):
            associations.delete_tokens_without_device(tx, user_id)
            stranger = audit.CallerKind.STRANGER
            audit.note(tx, self._context, audit.Event.TOKEN_REUSED, user_id, origin, by=stranger, device_id=device_id)
            self._notices.suspicious(tx, user_id, origin)
            self._provisioning.devices_changed(tx, user_id)

    async def refresh(self, refresh_token: str, *, client_id: str, caller: Caller) -> Login:
        """Exchange a refresh token of the app.

        Raises InvalidGrant, upon which apps log out and delete their keys, and Unavailable if the same token may work later.
        """
        try:
            return await self._devices.refresh(
                refresh_token, client=caller.client, user_agent=caller.user_agent, client_id=client_id
            )
        except UnknownToken:
            raise InvalidGrant(cause="no such refresh token, or not of this client") from None
        except UserLocked:
            raise Unavailable(cause="the account is locked", retry_after=_WHILE_LOCKED) from None
        except LimitExceeded as error:
            raise Unavailable(cause="too many refreshes", retry_after=-(-error.retry_after_ms // SECOND)) from None

    async def revoke(self, token: str, origin: Origin) -> None:
        """End the session of an access or refresh token. An unknown token is no error: it is not valid, as the caller wants.

        Whoever has the token may end its session, whatever client it is of: it may have leaked.
        """
        token_hash = self._context.vault.hash_token(token)

        def step(tx: Tx) -> None:
            found = device_tokens.requester(tx, token_hash) or device_tokens.refresh_token(tx, token_hash)
            if found is not None:
                self._devices.end(tx, found.user_id, found.device_id, origin)

        await self._context.database.write(step)
        self._provisioning.hurry()


def _matches(code: oauth.Code, client_id: str, redirect_uri: str, verifier: str) -> bool:
    """Is this the client that asked for the code? https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3."""
    same = (code.client_id, code.redirect_uri) == (client_id, redirect_uri)
    return same and pkce.proves(verifier, code.challenge)
