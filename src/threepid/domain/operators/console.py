"""Sessions of the console: an operator pastes a token once, and the pages under `/admin/` know who it is.

A session is the secret in a cookie of the browser. It has the scopes of its token and ends with it, after `IDLE` without use, and
at the age of `LIFE`. docs/decisions/0086-the-console-of-operators.md
"""

import contextlib
from typing import Final

from msgspec import Struct

from threepid.clock import HOUR, MINUTE, SKEW
from threepid.domain import audit
from threepid.domain.authentication import web_sessions
from threepid.domain.authentication.grants import Grant
from threepid.domain.authentication.web_sessions import WebSession
from threepid.domain.context import Context
from threepid.domain.operators.operator import Operator
from threepid.domain.operators.tokens import OperatorTokens, operator_of
from threepid.domain.origin import Origin, of_caller
from threepid.i18n import Text
from threepid.spec.errors import Forbidden, UnknownToken
from threepid.spec.operator_scopes import OF_ADMINISTRATORS, Scope
from threepid.storage import accounts, operator_sessions, operator_tokens
from threepid.storage.engine.database import StorageError, Tx
from threepid.storage.operator_sessions import OperatorSession

IDLE: Final = 30 * MINUTE
LIFE: Final = 12 * HOUR
MOST_SESSIONS: Final = 20
"""Maximum number of sessions of a token. One more ends the one that was not seen for longest."""
_SEEN_EVERY: Final = 5 * MINUTE


class ConsoleSession(Struct, frozen=True):
    """An open session of the console."""

    session_id: str
    """What forms are bound to. It opens nothing."""
    name: str
    """The name of the token or the user ID of the administrator, as the audit log has it."""
    scopes: str

    def may(self, scope: Scope) -> bool:
        """Does the session have a scope?"""
        return scope in self.scopes.split()

    def operator(self, scope: Scope | None, origin: Origin) -> Operator:
        """The operator, who does something that takes `scope`, None for nothing. Raises Forbidden without the scope."""
        return Operator(self.name, origin) if scope is None else operator_of(self.name, self.scopes, scope, origin)


class Console:
    """Opens, finds and ends sessions of the console."""

    def __init__(self, context: Context, tokens: OperatorTokens) -> None:
        """`tokens` are the operator tokens, which know the networks of `[admin]`."""
        self._context = context
        self._tokens = tokens

    def is_near(self, client: str) -> bool:
        """Does the console exist for a caller at this IP address?"""
        return self._tokens.is_near(client)

    async def open(self, token: str, *, client: str, user_agent: str) -> str:
        """Sign a browser in with an operator token, and return the secret for its cookie.

        Raises Unrecognized and UnknownToken, as `OperatorTokens.authorize` does.
        """
        try:
            found = await self._tokens.find(token, client=client)
        except UnknownToken:
            self._tokens.rejected(client)
            raise
        token_hash = self._tokens.hash(token)

        def step(tx: Tx) -> str:
            if operator_tokens.get(tx, token_hash) != found:
                raise UnknownToken  # it was revoked meanwhile
            return self._insert(tx, found.name, client, user_agent, token_hash=token_hash)

        secret = await self._context.database.write(step)
        await self._tokens.used(found)
        return secret

    async def open_by_account(self, session: WebSession, grant: Grant, *, client: str, user_agent: str) -> str:
        """Sign the browser of an administrator's account in, who has just confirmed it, and return the secret for its cookie.

        Raises Unrecognized, and Forbidden if the account may not administer the server or `grant` is not valid.
        """
        self._tokens.require_near(client)

        def step(tx: Tx) -> str:
            grant.consume(tx)
            if not accounts.is_admin(tx, session.user_id):
                raise Forbidden(Text("This account may not administer the server."))
            return self._insert(tx, session.user_id, client, user_agent, web_session_id=session.session_id)

        return await self._context.database.write(step)

    async def of(self, secret: str, *, client: str) -> ConsoleSession | None:
        """The session of a cookie; None if it has ended, or the caller is outside the networks of `[admin]`."""
        if not self.is_near(client):
            return None
        secret_hash, now = self._context.vault.hash_token(secret), self._context.clock.now()
        found = await self._context.database.read(lambda tx: operator_sessions.get(tx, secret_hash))
        session = None if found is None else _opened(found, now)
        if found is not None and session is not None and abs(now - found.seen_at) >= _SEEN_EVERY:
            with contextlib.suppress(StorageError):  # while nothing can be written, operators can still read
                await self._context.database.write(lambda tx: operator_sessions.seen(tx, secret_hash, now))
        return session

    async def end(self, secret: str, *, client: str, user_agent: str) -> None:
        """Sign a browser out. Doing it again is no error."""
        secret_hash, now = self._context.vault.hash_token(secret), self._context.clock.now()

        def step(tx: Tx) -> None:
            found = operator_sessions.get(tx, secret_hash)
            if not operator_sessions.delete(tx, secret_hash) or found is None:
                return
            session = _opened(found, now)
            if session is not None:
                about = session.name if found.token is None else ""
                self._note(tx, audit.Event.CONSOLE_CLOSED, session.name, about, of_caller(now, client, user_agent))

        await self._context.database.write(step)

    def _insert(
        self,
        tx: Tx,
        name: str,
        client: str,
        user_agent: str,
        *,
        token_hash: bytes | None = None,
        web_session_id: str | None = None,
    ) -> str:
        now = self._context.clock.now()
        secret = self._context.entropy.token("tpx_")
        operator_sessions.insert(
            tx,
            secret_hash=self._context.vault.hash_token(secret),
            session_id=self._context.entropy.id(now),
            token_hash=token_hash,
            web_session_id=web_session_id,
            now=now,
            at_most=MOST_SESSIONS,
        )
        about = name if token_hash is None else ""
        self._note(tx, audit.Event.CONSOLE_OPENED, name, about, of_caller(now, client, user_agent))
        return secret

    def _note(self, tx: Tx, event: audit.Event, name: str, about: str, origin: Origin) -> None:
        audit.note(tx, self._context, event, about, origin, by=audit.Caller(audit.CallerKind.OPERATOR, name))


def _opened(found: OperatorSession, now: int) -> ConsoleSession | None:
    """The session with the scopes of what opened it; None if one of both has ended."""
    latest = now + SKEW
    if not (now - IDLE < found.seen_at <= latest and now - LIFE < found.created_at <= latest):
        return None
    if found.token is not None and found.token_created_at is not None and found.token_expires_at is not None:
        if not found.token_created_at <= now < found.token_expires_at:
            return None
        return ConsoleSession(found.session_id, found.token, found.scopes or "")
    if found.user_id is None or found.admin_at is None or found.web_seen_at is None or found.web_created_at is None:
        return None
    if web_sessions.has_ended(created_at=found.web_created_at, seen_at=max(found.web_seen_at, found.seen_at), now=now):
        return None
    return ConsoleSession(found.session_id, found.user_id, " ".join(OF_ADMINISTRATORS))


def delete_expired(tx: Tx, now: int, *, at_most: int) -> int:
    """Delete sessions that have ended by their age; returns how many."""
    return operator_sessions.delete_expired(
        tx, created_before=now - LIFE, seen_before=now - IDLE, latest=now + SKEW, at_most=at_most
    )
