"""Devices without a browser: they show a code, which their owner enters on another device.

https://spec.matrix.org/latest/client-server-api/#device-authorization-grant
https://www.rfc-editor.org/rfc/rfc8628
"""

import unicodedata
from typing import Final

from msgspec import Struct

from threepid.clock import MINUTE, SECOND, SKEW
from threepid.domain import origin as origins
from threepid.domain.accounts.admission import Admission
from threepid.domain.accounts.devices import Login
from threepid.domain.authentication.grants import Grant
from threepid.domain.context import Context
from threepid.domain.guesses import Guess
from threepid.domain.limits import take_device_code
from threepid.domain.oauth.clients import Client, known_client
from threepid.domain.oauth.consent import Consents
from threepid.domain.oauth.sessions import AppSessions
from threepid.domain.oauth.tokens import Caller
from threepid.domain.origin import Origin
from threepid.i18n import Text
from threepid.spec.errors import Forbidden, Unavailable, UserLocked
from threepid.spec.oauth.clients import DEVICE_CODE
from threepid.spec.oauth.errors import (
    AccessDenied,
    AuthorizationPending,
    ExpiredToken,
    InvalidClient,
    InvalidGrant,
    OAuthError,
    SlowDown,
    UnauthorizedClient,
)
from threepid.spec.oauth.scopes import Scope, parse_scope
from threepid.storage import accounts, oauth
from threepid.storage.engine.database import Tx

LIFE: Final = 20 * MINUTE
INTERVAL: Final = 5 * SECOND
_MORE: Final = 5 * SECOND
"""By how much a device that asks too often must wait longer. https://www.rfc-editor.org/rfc/rfc8628#section-3.5."""
_LONGEST_INTERVAL: Final = MINUTE
_EARLY: Final = SECOND
"""How much too early a device may ask: its clock and its network are not exact."""
_ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""Letters that nobody confuses and that make no words. https://www.rfc-editor.org/rfc/rfc8628#section-6.1."""
_LENGTH: Final = 8
_OPENING: Final = 2 * MINUTE
"""How long the homeserver beside us may take to get a device. After that, the process that told it has died."""
_WRONG: Final = Text("This code is wrong or has expired. Check the device that shows it.")


class Begun(Struct, frozen=True):
    """What a device gets: its secret, and the code for its owner."""

    device_code: str
    user_code: str
    expires_in: int
    """Seconds."""
    interval: int
    """Seconds."""


class Waiting(Struct, frozen=True):
    """A device that waits, as its owner sees it."""

    client: Client
    scope: Scope
    origin: Origin
    user_code: str


class DeviceGrants:
    """The devices that wait for their owners."""

    def __init__(self, context: Context, sessions: AppSessions, admission: Admission) -> None:
        """`sessions` opens the session of a device that its owner has allowed, `admission` tells a homeserver beside us."""
        self._context = context
        self._sessions = sessions
        self._admission = admission

    async def begin(self, client_id: str, scope: str, caller: Caller) -> Begun:
        """Let a device wait for its owner. Raises InvalidClient, UnauthorizedClient, InvalidScope and LimitExceeded."""
        context = self._context
        wanted = parse_scope(scope)
        device_code, letters = context.entropy.token("tpd_"), context.entropy.letters(_LENGTH, _ALPHABET)
        now = context.clock.now()
        asked_from = origins.of_caller(now, caller.client, caller.user_agent)

        def step(tx: Tx) -> bool:
            if not oauth.use_client(tx, client_id, now):
                raise InvalidClient("The client is not registered.")
            client = known_client(tx, client_id)
            if client is None or not client.may_use(DEVICE_CODE):
                raise UnauthorizedClient("The client did not register for the device authorization grant.")
            take_device_code(tx, context, client=caller.client)
            return oauth.insert_device_grant(
                tx,
                device_hash=context.vault.hash_token(device_code),
                user_code_hash=self._hash(letters),
                client_id=client_id,
                scope=str(wanted),
                origin=asked_from.to_text(),
                now=now,
                expires_at=now + LIFE,
                poll_interval=INTERVAL,
            )

        if not await context.database.write(step):  # two devices with one code of 26 thousand million
            return await self.begin(client_id, scope, caller)
        shown = f"{letters[: _LENGTH // 2]}-{letters[_LENGTH // 2 :]}"
        return Begun(device_code, shown, LIFE // SECOND, INTERVAL // SECOND)

    async def waiting(self, user_code: str, *, client: str) -> Waiting:
        """The device that shows this code. Wrong codes count as guesses. Raises Forbidden and LimitExceeded."""

        def step(tx: Tx) -> Waiting | None:
            return self._guessed(tx, user_code, client)

        found = await self._context.database.write(step)
        if found is None:
            raise Forbidden(_WRONG)
        return found

    async def decide(self, user_code: str, user_id: str, grant: Grant, *, allowed: bool, client: str) -> None:
        """Allow or deny a waiting device. Raises Forbidden and LimitExceeded."""
        now = self._context.clock.now()

        def step(tx: Tx) -> bool:
            found = self._guessed(tx, user_code, client)
            if found is None:
                return False
            Consents.check(tx, user_id, grant, is_admin=allowed and found.scope.needs_admin)
            return oauth.decide(tx, self._hash(_letters(user_code)), user_id=user_id, allowed=allowed, now=now)

        if not await self._context.database.write(step):
            raise Forbidden(_WRONG)

    def _guessed(self, tx: Tx, user_code: str, client: str) -> Waiting | None:
        """The device of a code that somebody typed; the guess counts unless it is right."""
        guess = Guess(self._context, client=client)
        guess.take(tx)
        found = oauth.waiting_device(tx, self._hash(_letters(user_code)), self._context.clock.now())
        app = None if found is None else known_client(tx, found.client_id)
        if found is None or app is None:
            return None
        guess.give_back(tx)
        return Waiting(app, parse_scope(found.scope), origins.from_text(found.origin), _letters(user_code))

    async def tokens(self, device_code: str, *, client_id: str, caller: Caller) -> Login:
        """The tokens of a device that its owner has allowed.

        Raises AuthorizationPending, SlowDown, AccessDenied, ExpiredToken, InvalidGrant, and Unavailable if a homeserver beside us
        is away: then the device can ask again.
        """
        device_hash = self._context.vault.hash_token(device_code)
        now = self._context.clock.now()

        def step(tx: Tx) -> Login | OAuthError:
            before = oauth.device_grant(tx, device_hash)
            if before is None or before.client_id != client_id:
                return InvalidGrant(cause="no such device code, or of another client")
            # All transactions lock the account before what it has allowed, so that they do not deadlock. What is allowed
            # in this moment opens a session at the next question.
            if before.user_id is not None and not accounts.lock(tx, before.user_id):
                return AccessDenied(cause="the account is deactivated")
            oauth.poll(tx, device_hash, now)
            found = oauth.device_grant(tx, device_hash)  # again, because only now its row is locked
            if found is None:
                return InvalidGrant(cause="the device code was used before")
            if not now < found.expires_at <= now + LIFE + SKEW:
                return ExpiredToken("The device code has expired.")
            if before.allowed_at is not None and found.allowed_at is not None:
                return self._open(tx, found, device_hash, caller)
            return _undecided(tx, device_hash, before, found, now)

        # An exception would roll back that the device asked, so the step returns the error.
        try:
            answer = await self._context.database.write(step)
        except (Forbidden, UserLocked) as error:
            raise AccessDenied(cause=error.cause) from None
        if isinstance(answer, OAuthError):
            raise answer
        return await self._admitted(answer, device_hash)

    async def _admitted(self, login: Login, device_hash: bytes) -> Login:
        """Let a homeserver beside us have the device. If that fails, the login is undone, and the device can ask again."""
        write = self._context.database.write
        try:
            await self._admission.admit(login)
        except Unavailable:
            await write(lambda tx: oauth.open_device_grant(tx, device_hash, None))
            raise
        await write(lambda tx: oauth.delete_device_grant(tx, device_hash))
        return login

    def _open(self, tx: Tx, found: oauth.DeviceGrant, device_hash: bytes, caller: Caller) -> Login | OAuthError:
        app = known_client(tx, found.client_id)
        if app is None or found.user_id is None:
            return InvalidGrant(cause="the client is gone")
        now = self._context.clock.now()
        if found.opened_at is not None and 0 <= now - found.opened_at < _OPENING:
            return AuthorizationPending("The device is being connected.")
        login = self._sessions.open(
            tx,
            found.user_id,
            app,
            parse_scope(found.scope),
            grant_hash=device_hash,
            client=caller.client,
            user_agent=caller.user_agent,
        )
        oauth.open_device_grant(tx, device_hash, now)
        return login

    def _hash(self, letters: str) -> bytes:
        return self._context.vault.hash_code("user code", letters)


def _undecided(tx: Tx, device_hash: bytes, before: oauth.DeviceGrant, found: oauth.DeviceGrant, now: int) -> OAuthError:
    """What a device is told that nobody has allowed. `before` says when it asked the last time."""
    if found.denied_at is not None:
        return AccessDenied("The person did not allow it.")
    if before.polled_at is not None and 0 <= now - before.polled_at < before.poll_interval - _EARLY:
        oauth.slow_down(tx, device_hash, min(before.poll_interval + _MORE, _LONGEST_INTERVAL))
        return SlowDown("The device asks too often.")
    return AuthorizationPending("The person has not decided yet.")


def _letters(typed: str) -> str:
    """A typed code without blanks, dashes and invisible characters, in capitals. Letters of full width count as plain ones."""
    plain = unicodedata.normalize("NFKC", typed[:64]).upper()
    return "".join(
        letter for letter in plain if not letter.isspace() and unicodedata.category(letter) not in ("Cf", "Pd")
    )
