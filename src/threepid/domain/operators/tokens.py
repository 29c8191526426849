"""Operator tokens: what programs and people show to the admin API. Only their hashes are stored.

docs/decisions/0078-operator-tokens.md
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from threepid import config
from threepid.clock import HOUR
from threepid.domain import audit
from threepid.domain.accounts.devices import Devices, allowed_scope
from threepid.domain.context import Context
from threepid.domain.operators.operator import Operator
from threepid.domain.origin import Origin, of_caller
from threepid.domain.sums import Kind, Sums
from threepid.i18n import Text
from threepid.spec.errors import InvalidParam, MissingToken, NotFound, UnknownToken, Unrecognized, UserLocked
from threepid.spec.operator_scopes import OF_ADMINISTRATORS, Scope
from threepid.storage import oauth, operator_tokens
from threepid.storage.engine.database import Tx
from threepid.storage.operator_tokens import OperatorToken

__all__ = ["OperatorToken", "OperatorTokens"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class OperatorTokens:
    """Creates, checks and revokes the tokens of the admin API."""

    def __init__(self, context: Context, sums: Sums, devices: Devices | None) -> None:
        """Keep the tokens in the database of `context`, and serve the networks of `[admin]`. `sums` counts rejected tokens.

        `devices` knows the access tokens of the homeserver, if there is one.
        """
        self._devices = devices
        self._sums = sums
        self._context = context
        self._networks = config.admin_networks(context.config)

    async def authorize(self, token: str | None, scope: Scope, *, client: str) -> Operator:
        """The operator with this token, if it has the scope.

        The token is an operator token, or an access token of the OAuth 2.0 API with `urn:threepid:admin:*`: that one has all
        scopes but `admins:write` while its account may administer the server.

        Raises Unrecognized for a caller outside the networks of `[admin]`, as if there were no admin API; MissingToken;
        UnknownToken, alike for unknown, expired and revoked tokens; and Forbidden without the scope, before anything is read.
        """
        origin = of_caller(self._context.clock.now(), client, "")
        try:
            found = await self.find(token, client=client)
        except UnknownToken:
            user_id = await self._administrator(token or "")
            if user_id is None:
                self.rejected(client)
                raise
            return operator_of(user_id, " ".join(OF_ADMINISTRATORS), scope, origin)
        await self.used(found)
        return operator_of(found.name, found.scopes, scope, origin)

    async def find(self, token: str | None, *, client: str) -> OperatorToken:
        """The valid operator token, whatever its scopes. Raises Unrecognized, MissingToken and UnknownToken."""
        self.require_near(client)
        if token is None:
            raise MissingToken
        token_hash, now = self.hash(token), self._context.clock.now()
        found = await self._context.database.read(lambda tx: operator_tokens.get(tx, token_hash))
        if found is None or not found.created_at <= now < found.expires_at:
            raise UnknownToken
        return found

    def rejected(self, client: str) -> None:
        """Count a token that opens nothing."""
        self._sums.count(Kind.OPERATOR_TOKEN_REJECTED, client)

    async def _administrator(self, token: str) -> str | None:
        """The user ID of an access token of an app that an administrator allowed to help people; None for all others."""
        if self._devices is None:
            return None
        try:
            requester = await self._devices.whose_token(token)
        except (UnknownToken, UserLocked):
            return None  # the answer must not say more about a token than that it does not open the admin API
        if requester is None:
            return None
        user_id, device_id = requester.user_id, requester.device_id
        app = await self._context.database.read(lambda tx: oauth.session(tx, user_id, device_id))
        return user_id if app is not None and allowed_scope(app.scope, app.admin_at).is_operator else None

    def hash(self, token: str) -> bytes:
        """The hash by which a token is stored."""
        return self._context.vault.hash_token(token)

    async def used(self, token: OperatorToken) -> None:
        """Record, to the hour, that a token was used."""
        now = self._context.clock.now()
        if token.used_at is None or abs(now - token.used_at) >= HOUR:
            await self._context.database.write(lambda tx: operator_tokens.used(tx, token.name, now))

    def require_near(self, client: str) -> None:
        """Raise Unrecognized for a caller outside the networks of `[admin]`."""
        if not self.is_near(client):
            raise Unrecognized

    def is_near(self, client: str) -> bool:
        """Is the caller's IP address in one of the networks of `[admin]`?"""
        try:
            address = ip_address(client)
        except ValueError:
            return False  # a request over a Unix socket without a proxy has no IP address
        return any(address in network for network in self._networks)

    async def create(self, name: str, scopes: Iterable[str], *, expires_at: int, operator: Operator) -> str:
        """Create a token and return it. It cannot be read later. Raises InvalidParam."""
        now = self._context.clock.now()
        wanted = sorted(set(scopes))
        if not _NAME.fullmatch(name):
            raise InvalidParam(Text("A name has 1 to 64 of the characters A-Z, a-z, 0-9, '.', '_' and '-'."))
        if not wanted or not set(wanted) <= set(Scope):
            raise InvalidParam(Text("The scopes are %(scopes)s.", scopes=", ".join(Scope)))
        if expires_at <= now:
            raise InvalidParam(Text("The expiry time must be in the future."))
        token = self._context.entropy.token("tpo_")
        row = OperatorToken(name, " ".join(wanted), now, expires_at, None)

        def step(tx: Tx) -> None:
            if not operator_tokens.insert(tx, self._context.vault.hash_token(token), row):
                raise InvalidParam(Text("This token exists already."))
            self._note(tx, audit.Event.OPERATOR_TOKEN_CREATED, operator, row)

        await self._context.database.write(step)
        return token

    async def all_tokens(self) -> list[OperatorToken]:
        """All tokens in the order of their names."""
        return await self._context.database.read_aside(operator_tokens.all_tokens)

    async def revoke(self, name: str, operator: Operator) -> None:
        """Revoke the token with this name. Raises NotFound."""

        def step(tx: Tx) -> None:
            found = [one for one in operator_tokens.all_tokens(tx) if one.name == name]
            if not found or not operator_tokens.delete(tx, name):
                raise NotFound(Text("This token does not exist."))
            self._note(tx, audit.Event.OPERATOR_TOKEN_REVOKED, operator, found[0])

        await self._context.database.write(step)

    def _note(self, tx: Tx, event: audit.Event, operator: Operator, token: OperatorToken) -> None:
        audit.note(
            tx,
            self._context,
            event,
            "",
            operator.origin,
            by=operator.caller,
            token=token.name,
            scopes=token.scopes,
            expires_at=token.expires_at,
        )


def operator_of(name: str, scopes: str, scope: Scope, origin: Origin) -> Operator:
    """The operator with these `scopes`, who does something that takes `scope`. Raises Forbidden without it."""
    found = Operator(name, origin, frozenset(scopes.split()))
    found.require(scope)
    return found
