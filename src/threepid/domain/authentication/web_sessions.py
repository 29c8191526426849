"""Sessions of browsers: a person signs in once, and the pages of the account know who it is.

A session is the secret in a cookie of the browser. It opens nothing under `/_matrix/`. It ends when it is not used for `IDLE`, at
the age of `LIFE`, and with a new password. Changes take a proof of ownership that is not older than `CONFIRMED`; each proof gives
the session a new secret.
"""

import contextlib
from typing import Final

from threepid.clock import DAY, MINUTE, SKEW
from threepid.domain import audit
from threepid.domain.authentication.grants import CONFIRMED, Grant
from threepid.domain.context import Context
from threepid.domain.origin import Origin, of_caller
from threepid.i18n import Text
from threepid.spec.errors import Forbidden
from threepid.storage import accounts, web_sessions
from threepid.storage.engine.database import StorageError, Tx
from threepid.storage.web_sessions import WebSession

__all__ = ["IDLE", "LIFE", "WebSession", "WebSessions", "delete_expired"]

IDLE: Final = DAY
LIFE: Final = 14 * DAY
MOST_SESSIONS: Final = 50
"""Maximum number of sessions of an account. One more ends the one that was not seen for longest."""
_SEEN_EVERY: Final = 5 * MINUTE
_USER_AGENT_LENGTH: Final = 256


class WebSessions:
    """The browser sessions of this server's accounts."""

    def __init__(self, context: Context) -> None:
        """Keep the sessions in the database of `context`."""
        self._context = context

    def open(self, tx: Tx, user_id: str, *, client: str, user_agent: str) -> str:
        """Sign a browser in, and return the secret for its cookie. The transaction must have locked the account."""
        now = self._context.clock.now()
        token = self._context.entropy.token("tpw_")
        web_sessions.insert(
            tx,
            token_hash=self._context.vault.hash_token(token),
            session_id=self._context.entropy.id(now),
            user_id=user_id,
            now=now,
            seen_from=client,
            user_agent=user_agent[:_USER_AGENT_LENGTH],
            at_most=MOST_SESSIONS,
        )
        origin = of_caller(now, client, user_agent)
        audit.note(tx, self._context, audit.Event.SIGNED_IN, user_id, origin, session="browser")
        return token

    async def of(self, token: str, *, client: str, user_agent: str) -> WebSession | None:
        """The session of a cookie, or None if it has ended. Notes from time to time that it was seen."""
        token_hash = self._context.vault.hash_token(token)
        session = await self._context.database.read(lambda tx: web_sessions.get(tx, token_hash))
        now = self._context.clock.now()
        if session is None or _has_ended(session, now):
            return None
        if abs(now - session.seen_at) >= _SEEN_EVERY:
            agent = user_agent[:_USER_AGENT_LENGTH]
            with contextlib.suppress(StorageError):  # while nothing can be written, people can still read
                await self._context.database.write(
                    lambda tx: web_sessions.seen(tx, token_hash, now=now, seen_from=client, user_agent=agent)
                )
        return session

    def is_open(self, session: WebSession) -> bool:
        """Has the session not ended by its age?"""
        return not _has_ended(session, self._context.clock.now())

    def is_confirmed(self, session: WebSession) -> bool:
        """Did the person prove ownership of the account a short time ago?"""
        return abs(self._context.clock.now() - session.confirmed_at) <= CONFIRMED

    def grant(self, token: str, user_id: str, origin: Origin) -> Grant:
        """The permission for one change of the account by a confirmed session. It is checked when it is consumed."""
        token_hash = self._context.vault.hash_token(token)
        return Grant(self._context.clock.now(), browser=(user_id, token_hash), origin=origin)

    def confirm(self, tx: Tx, token: str, user_id: str) -> str:
        """Note that the person of a session has proved ownership, and return the new secret for the cookie.

        Raises Forbidden if the session has ended.
        """
        now = self._context.clock.now()
        new = self._context.entropy.token("tpw_")
        hashed = self._context.vault.hash_token
        if not accounts.lock(tx, user_id) or not web_sessions.confirm(tx, hashed(token), new_hash=hashed(new), now=now):
            raise Forbidden(Text("You have been signed out. Please sign in again."))
        return new

    async def list_of(self, user_id: str) -> list[WebSession]:
        """The account's sessions, oldest first."""
        now = self._context.clock.now()
        found = await self._context.database.read(lambda tx: web_sessions.of_user(tx, user_id))
        return [session for session in found if not _has_ended(session, now)]

    async def end(self, user_id: str, session_id: str, origin: Origin, *, grant: Grant | None = None) -> None:
        """Sign one browser of the account out, and use `grant` up, if there is one. Doing it again is no error.

        Raises Forbidden if the permission is not valid any more. A browser that signs itself out needs none.
        """

        def step(tx: Tx) -> None:
            if grant is not None:
                grant.consume(tx)
            if web_sessions.delete(tx, user_id, session_id):
                by = audit.OWNER if grant is None else grant.by
                audit.note(tx, self._context, audit.Event.SIGNED_OUT, user_id, origin, by=by, session="browser")

        await self._context.database.write(step)


def _has_ended(session: WebSession, now: int) -> bool:
    return has_ended(created_at=session.created_at, seen_at=session.seen_at, now=now)


def has_ended(*, created_at: int, seen_at: int, now: int) -> bool:
    """Is a session of these times too old, or was it stored by a clock that was ahead?"""
    latest = now + SKEW
    return not (now - IDLE < seen_at <= latest and now - LIFE < created_at <= latest)


def delete_expired(tx: Tx, now: int, *, at_most: int) -> int:
    """Delete sessions that have ended by their age; returns how many."""
    return web_sessions.delete_expired(
        tx, created_before=now - LIFE, seen_before=now - IDLE, latest=now + SKEW, at_most=at_most
    )
